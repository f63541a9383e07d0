"""Use cases: service accounts are made, changed and shut out, by admins and by operators.

Whatever takes something from an account (a scope, a key, its life) ends its access tokens on every server within a
second; it gets new ones with what is left.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from svoykrug_server.auth import key_material
from svoykrug_server.auth.administration import Author, event_by, request_key
from svoykrug_server.auth.key_model import (
    MOST_SERVICE_KEYS,
    AssertionKey,
    NewServiceAccount,
    ServiceAccount,
    ServiceAccountPage,
    ServiceKey,
)
from svoykrug_server.auth.model import Revocation, SessionLimits
from svoykrug_server.auth.repository import revocation_feed
from svoykrug_server.auth.repository import service_accounts as repository
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, FailedPrecondition, FieldViolation, InvalidFields, NotFound
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.storage import audit, idempotency
from svoykrug_server.storage.idempotency import Answer
from svoykrug_server.storage.postgres import Postgres, Transaction

DEFAULT_PAGE_SIZE, MOST_PAGE_SIZE = 50, 500
_LISTING = "service accounts"
_NAME = re.compile(r"[a-z][a-z0-9-]{1,62}")


class ServiceAccounts:
    """Keeps service accounts.

    Args:
        postgres: Where they are kept.
        scopes: Every scope that a method or a field of the API asks for.
        limits: How long access tokens live.
        page_tokens: Makes and reads page tokens.
        hear: Lets this server know without delay which tokens were ended.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        scopes: frozenset[str],
        limits: SessionLimits,
        page_tokens: PageTokens,
        hear: Callable[[Revocation], None],
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._scopes = scopes
        self._limits = limits
        self._page_tokens = page_tokens
        self._hear = hear
        self._clock = clock

    async def create(self, new: NewServiceAccount, request_id: UUID, author: Author) -> ServiceAccount:
        """Makes an account with a key; the same request id again returns the account as it was made.

        Raises:
            InvalidFields: The name or a scope cannot be, SERVICE_KEY_INVALID, or REQUEST_ID_REUSED.
            Conflict: SERVICE_ACCOUNT_EXISTS, the name is taken.
        """
        if not _NAME.fullmatch(new.name):
            rule = "must be 2 to 63 lower case letters, digits and dashes, a letter first"
            raise InvalidFields.of("name", rule)
        scopes, key, now = self._known(new.scopes), _assertion_key(new.public_key_pem), self._clock.now()
        body = {"name": new.name, "scopes": sorted(scopes), "kid": key.kid}
        request = request_key(author, "CreateServiceAccount", request_id, body)
        keys = (ServiceKey(key.kid, key.algorithm, now),)
        account = ServiceAccount(uuid7(now), new.name, scopes, access_epoch=1, create_time=now, keys=keys)
        async with self._postgres.transaction() as tx:
            if (answer := await idempotency.claim(tx, request, now)) is not None:
                return _from_answer(account, answer)
            if not await repository.insert(tx, account):
                raise Conflict("SERVICE_ACCOUNT_EXISTS")
            await repository.insert_key(tx, account.service_account_id, key, now)
            await idempotency.remember(tx, request, _answer_of(account))
            details = {"scopes": sorted(scopes), "kid": key.kid}
            await self._audit(tx, author, "SERVICE_ACCOUNT_CREATED", account, now, details)
        return account

    async def page(self, size: int, token: str) -> ServiceAccountPage:
        """Returns a page of accounts by name, disabled ones included.

        Args:
            size: How many; 0 for the default.
            token: The `next_page_token` of the page before; empty for the first.

        Raises:
            InvalidFields: The size is negative, or INVALID_PAGE_TOKEN.
        """
        limit = page_size(size, default=DEFAULT_PAGE_SIZE, most=MOST_PAGE_SIZE)
        position = self._page_tokens.read(_LISTING, token)
        after = "" if position is None else str(position[0])
        async with self._postgres.read() as connection:
            found = await repository.page(connection, after, limit + 1)
        shown = found[:limit]
        more = len(found) > limit
        return ServiceAccountPage(shown, self._page_tokens.make(_LISTING, [shown[-1].name]) if more else "")

    async def named(self, name: str) -> ServiceAccount:
        """Returns the account with a name.

        Raises:
            NotFound: There is none.
        """
        async with self._postgres.read() as connection:
            account = await repository.named(connection, name)
        if account is None:
            raise NotFound
        return account

    async def set_scopes(self, account_id: UUID, names: tuple[str, ...], author: Author) -> ServiceAccount:
        """Replaces what an account may do. The scopes it has already change nothing.

        Raises:
            InvalidFields: A scope is unknown, or there is none.
            NotFound: There is no such account.
            FailedPrecondition: SERVICE_ACCOUNT_DISABLED.
        """
        scopes = self._known(names)
        async with self._postgres.transaction() as tx:
            account = await self._working(tx, account_id)
            if account.scopes == scopes:
                return account
            now = self._clock.now()
            changed, ended = await self._end_tokens(tx, replace(account, scopes=scopes), now)
            details = {"added": sorted(scopes - account.scopes), "removed": sorted(account.scopes - scopes)}
            await self._audit(tx, author, "SERVICE_ACCOUNT_SCOPES_SET", account, now, details)
        self._hear(ended)
        return changed

    async def disable(self, account_id: UUID, author: Author) -> ServiceAccount:
        """Shuts an account out for good: it gets no more tokens, and those it has are dead. Twice is the same as once.

        Raises:
            NotFound: There is no such account.
        """
        async with self._postgres.transaction() as tx:
            account = await self._locked(tx, account_id)
            if account.disable_time is not None:
                return account
            now = self._clock.now()
            changed, ended = await self._end_tokens(tx, replace(account, disable_time=now), now)
            await self._audit(tx, author, "SERVICE_ACCOUNT_DISABLED", account, now)
        self._hear(ended)
        return changed

    async def add_key(self, account_id: UUID, public_key_pem: bytes, author: Author) -> tuple[ServiceAccount, str]:
        """Lets an account sign with a further key. The same key twice is one key.

        Returns:
            The account, and the key's kid.

        Raises:
            InvalidFields: SERVICE_KEY_INVALID, or the account has as many keys as it may.
            NotFound: There is no such account.
            FailedPrecondition: SERVICE_ACCOUNT_DISABLED.
        """
        key = _assertion_key(public_key_pem)
        async with self._postgres.transaction() as tx:
            account = await self._working(tx, account_id)
            if key.kid in account.key_ids:
                return account, key.kid
            if len(account.keys) >= MOST_SERVICE_KEYS:
                rule = f"an account has at most {MOST_SERVICE_KEYS} keys: remove one first"
                raise InvalidFields.of("public_key_pem", rule)
            now = self._clock.now()
            await repository.insert_key(tx, account_id, key, now)
            await self._audit(tx, author, "SERVICE_ACCOUNT_KEY_ADDED", account, now, {"kid": key.kid})
        return replace(account, keys=(*account.keys, ServiceKey(key.kid, key.algorithm, now))), key.kid

    async def remove_key(self, account_id: UUID, kid: str, author: Author) -> ServiceAccount:
        """Keeps an account from signing with a key, and ends its tokens: any of them may have been made with it.

        A key that is not there changes nothing.

        Raises:
            NotFound: There is no such account.
        """
        async with self._postgres.transaction() as tx:
            account = await self._locked(tx, account_id)
            if kid not in account.key_ids:
                return account
            now = self._clock.now()
            await repository.delete_key(tx, account_id, kid)
            kept = tuple(key for key in account.keys if key.kid != kid)
            changed, ended = await self._end_tokens(tx, replace(account, keys=kept), now)
            await self._audit(tx, author, "SERVICE_ACCOUNT_KEY_REMOVED", account, now, {"kid": kid})
        self._hear(ended)
        return changed

    def _known(self, scopes: tuple[str, ...]) -> frozenset[str]:
        if not scopes:
            raise InvalidFields.of("scopes", "must name at least one")
        rule = f"must be one of {', '.join(sorted(self._scopes))}"
        unknown = [FieldViolation(f"scopes[{i}]", rule) for i, name in enumerate(scopes) if name not in self._scopes]
        if unknown:
            raise InvalidFields(violations=tuple(unknown))
        return frozenset(scopes)

    async def _locked(self, tx: Transaction, account_id: UUID) -> ServiceAccount:
        account = await repository.lock(tx, account_id)
        if account is None:
            raise NotFound
        return account

    async def _working(self, tx: Transaction, account_id: UUID) -> ServiceAccount:
        account = await self._locked(tx, account_id)
        if account.disable_time is not None:
            raise FailedPrecondition("SERVICE_ACCOUNT_DISABLED")
        return account

    async def _end_tokens(
        self, tx: Transaction, changed: ServiceAccount, now: datetime
    ) -> tuple[ServiceAccount, Revocation]:
        """Keeps a changed account and ends the tokens of before; a service that works on gets new ones."""
        stale = replace(changed, access_epoch=changed.access_epoch + 1)
        await repository.change(tx, stale)
        until_time = now + self._limits.access_life + 2 * self._limits.leeway
        disabled = stale.disable_time is not None
        ended = Revocation(stale.service_account_id, disabled, stale.access_epoch, until_time)
        await revocation_feed.announce(tx, ended, now)
        return stale, ended

    async def _audit(
        self,
        tx: Transaction,
        author: Author,
        action: str,
        account: ServiceAccount,
        now: datetime,
        details: Mapping[str, object] | None = None,
    ) -> None:
        target = ("service_account", str(account.service_account_id))
        await audit.append(tx, event_by(author, action, now, target, details))


def _assertion_key(pem: bytes) -> AssertionKey:
    try:
        return key_material.assertion_key(pem)
    except ValueError as error:
        rule = "must be the PEM of a public key, P-256 or RSA of 2,048 bits or more"
        raise InvalidFields.of("public_key_pem", rule, "SERVICE_KEY_INVALID") from error


def _answer_of(account: ServiceAccount) -> Answer:
    return {"id": str(account.service_account_id), "create_time": account.create_time.isoformat()}


def _from_answer(asked: ServiceAccount, answer: Answer) -> ServiceAccount:
    """Returns the account of the first answer: the one asked for again, with the id and the times of then."""
    created = datetime.fromisoformat(answer["create_time"])
    keys = tuple(replace(key, create_time=created) for key in asked.keys)
    return replace(asked, service_account_id=UUID(answer["id"]), create_time=created, keys=keys)
