"""Use case: a service exchanges an assertion that it signed for an access token."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from svoykrug_server.auth import assertions
from svoykrug_server.auth.access_tokens import AccessTokens, Party
from svoykrug_server.auth.assertions import AssertionRefused, Claimed, Proof
from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.key_model import AssertionKey, ServiceAccount, ServiceToken
from svoykrug_server.auth.model import SessionLimits
from svoykrug_server.auth.repository import service_accounts as repository
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, PermissionDenied, Unauthenticated
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult
from svoykrug_server.storage.postgres import Postgres, Transaction


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """How long things of services live; each number is a setting.

    Attributes:
        assertion_life: How far ahead an assertion's `exp` may be.
        clock_leeway: How far a service's clock may differ from ours.
        session: The lives that all access tokens share.
    """

    assertion_life: timedelta
    clock_leeway: timedelta
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
        # The account before the key: were the key removed in between, the token would carry the epoch of before: dead.
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

    def _proof(self, assertion: str, who: Claimed, key: AssertionKey, now: datetime) -> Proof | None:
        limits = self._limits
        try:
            return assertions.prove(
                assertion, who, key, self._party.issuer, now, limits.assertion_life, limits.clock_leeway
            )
        except AssertionRefused:
            return None

    async def _audit(
        self, tx: Transaction, call: Call, action: str, account: ServiceAccount, now: datetime, result: AuditResult
    ) -> None:
        target = ("service_account", str(account.service_account_id))
        event = event_of(call, action, now, target=target, actor_id=account.service_account_id, result=result)
        await audit.append(tx, event)
