"""Use cases: services that sign in with keys of their own."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from svoykrug_server.auth import assertions, key_material
from svoykrug_server.auth.access_tokens import AccessTokens, Party
from svoykrug_server.auth.assertions import AssertionRefused, Claimed, Proof
from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.key_material import PublicKey
from svoykrug_server.auth.key_model import KeysRefused, ServiceAccount, ServiceKey, ServiceToken
from svoykrug_server.auth.model import Revocation, SessionLimits
from svoykrug_server.auth.repository import revocation_feed
from svoykrug_server.auth.repository import service_accounts as repository
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, PermissionDenied, Unauthenticated
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import ActorKind, AuditEvent, AuditResult
from svoykrug_server.storage.postgres import Postgres, Transaction

_NAME = re.compile(r"[a-z][a-z0-9-]{1,62}")
_SCOPE = re.compile(r"[a-z_]+(\.[a-z_]+)+")


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """How long things of services live; each number is a setting.

    Attributes:
        assertion_life: How far ahead an assertion's `exp` may be.
        session: The lives that all access tokens share.
    """

    assertion_life: timedelta
    session: SessionLimits


class ServiceTokens:
    """Gives services their access tokens.

    Args:
        postgres: Where accounts are kept.
        tokens: Makes access tokens.
        party: Whom assertions must be for.
        limits: How long things live.
        clock: Tells the time.
    """

    def __init__(
        self, postgres: Postgres, tokens: AccessTokens, party: Party, limits: ServiceLimits, clock: Clock
    ) -> None:
        self._postgres = postgres
        self._tokens = tokens
        self._party = party
        self._limits = limits
        self._clock = clock

    async def issue(self, assertion: str, scopes: frozenset[str], call: Call) -> ServiceToken:
        """Exchanges an assertion for an access token. The assertion is used up also when the scopes are refused.

        Args:
            assertion: A JWT signed with the account's key.
            scopes: What is asked for; everything the account may when empty.
            call: Where it came from.

        Raises:
            Unauthenticated: ASSERTION_INVALID, whatever is wrong with it.
            PermissionDenied: SCOPE_DENIED.
        """
        try:
            who = assertions.claimed(assertion)
        except AssertionRefused as error:
            raise Unauthenticated("ASSERTION_INVALID") from error
        async with self._postgres.transaction() as tx:
            outcome = await self._issue(tx, assertion, who, scopes, call)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def _issue(
        self, tx: Transaction, assertion: str, who: Claimed, scopes: frozenset[str], call: Call
    ) -> ServiceToken | DomainError:
        account = await repository.get(tx, who.service_account_id)
        key = await repository.key(tx, who.service_account_id, who.kid)
        now = self._clock.now()
        proof = None if key is None else self._proof(assertion, who, key, now)
        if account is None or proof is None:
            return Unauthenticated("ASSERTION_INVALID")
        if not await repository.use_assertion(tx, account.service_account_id, proof.jti_hash, proof.expire_time):
            await self._audit(tx, call, "ASSERTION_REPLAYED", account, now, AuditResult.REFUSED)
            return Unauthenticated("ASSERTION_INVALID")
        if account.disable_time is not None or not scopes <= account.scopes:
            await self._audit(tx, call, "SCOPE_DENIED", account, now, AuditResult.REFUSED)
            return PermissionDenied("SCOPE_DENIED")
        await self._audit(tx, call, "SERVICE_TOKEN_ISSUED", account, now, AuditResult.DONE)
        return self._tokens.for_service(account, scopes or account.scopes, now)

    def _proof(self, assertion: str, who: Claimed, key: ServiceKey, now: datetime) -> Proof | None:
        limits = self._limits
        try:
            return assertions.prove(
                assertion, who, key, self._party.issuer, now, limits.assertion_life, limits.session.leeway
            )
        except AssertionRefused:
            return None

    async def _audit(
        self, tx: Transaction, call: Call, action: str, account: ServiceAccount, now: datetime, result: AuditResult
    ) -> None:
        target = ("service_account", str(account.service_account_id))
        event = event_of(call, action, now, target=target, actor_id=account.service_account_id, result=result)
        await audit.append(tx, event)


class ServiceAccounts:
    """Makes, lists and disables service accounts; for operators.

    Args:
        postgres: Where accounts are kept.
        limits: How long things live.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, limits: ServiceLimits, clock: Clock) -> None:
        self._postgres = postgres
        self._limits = limits
        self._clock = clock

    async def create(self, name: str, scopes: frozenset[str], public_key: PublicKey) -> ServiceAccount:
        """Makes an account with a key.

        Raises:
            KeysRefused: The name is taken, or the name, a scope or the key has another form.
        """
        if not _NAME.fullmatch(name):
            raise KeysRefused("a name is 2 to 63 lower case letters, digits and dashes, and begins with a letter")
        if not scopes or not all(_SCOPE.fullmatch(scope) for scope in scopes):
            raise KeysRefused("at least one scope is needed, each in the form users.write")
        key = service_key(public_key)
        now = self._clock.now()
        account = ServiceAccount(uuid7(now), name, scopes, access_epoch=1, create_time=now, key_ids=(key.kid,))
        async with self._postgres.transaction() as tx:
            if not await repository.insert(tx, account):
                raise KeysRefused(f"there is a service account {name} already")
            await repository.insert_key(tx, account.service_account_id, key, now)
            await self._audit(tx, "SERVICE_ACCOUNT_CREATED", account.service_account_id, now)
        return account

    async def listed(self) -> tuple[ServiceAccount, ...]:
        """Returns all accounts by name."""
        async with self._postgres.transaction() as tx:
            return await repository.every(tx)

    async def disable(self, name: str) -> None:
        """Shuts an account out: it gets no more tokens, and those it has are dead within a second.

        Raises:
            KeysRefused: There is no such account, or it is shut out already.
        """
        async with self._postgres.transaction() as tx:
            account = await repository.lock_by_name(tx, name)
            if account is None:
                raise KeysRefused(f"there is no service account {name}")
            now = self._clock.now()
            epoch = await repository.disable(tx, account.service_account_id, now)
            if epoch is None:
                raise KeysRefused(f"the service account {name} is disabled already")
            session = self._limits.session
            until_time = now + session.access_life + 2 * session.leeway
            await revocation_feed.announce(tx, Revocation(account.service_account_id, True, epoch, until_time), now)
            await self._audit(tx, "SERVICE_ACCOUNT_DISABLED", account.service_account_id, now)

    async def _audit(self, tx: Transaction, action: str, service_account_id: UUID, now: datetime) -> None:
        target_id = str(service_account_id)
        event = AuditEvent(action, now, ActorKind.OPERATOR, target_kind="service_account", target_id=target_id)
        await audit.append(tx, event)


def service_key(public_key: PublicKey) -> ServiceKey:
    """Returns a public key as an account holds it.

    Raises:
        KeysRefused: It is neither a P-256 key nor an RSA key of 2048 bits or more.
    """
    try:
        algorithm = key_material.algorithm_of(public_key)
    except ValueError as error:
        raise KeysRefused(str(error)) from error
    return ServiceKey(key_material.thumbprint(public_key), algorithm, key_material.public_to_der(public_key))
