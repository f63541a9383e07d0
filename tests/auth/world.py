"""A whole auth on a real Postgres, as many servers of it as a test wants, and the ways clients use it."""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.composition import Auth, AuthOptions, compose_auth
from svoykrug_server.auth.model import ChallengeView, Purpose, SignedIn, SignInAnswer
from svoykrug_server.auth.signing_keys import SigningKeys
from svoykrug_server.auth.sms.metrics import SmsMetrics
from svoykrug_server.auth.sms.model import OutgoingSms, ProviderFailed, SmsReceipt
from svoykrug_server.auth.sms.routes import SmsRoutes
from svoykrug_server.kit.account import ConsentGrant
from svoykrug_server.kit.caller import Caller, Role
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import Secret, SecretName, Secrets
from svoykrug_server.users.accounts import UserAccounts
from svoykrug_server.users.number_bans import NumberBans
from tests.waiting import until

PHONE = "+79991234567"
OTHER_PHONE = "+79997654321"
KNOWN_SCOPES = frozenset({"analytics.read", "purchases.write", "tokens.introspect", "users.read_phone", "users.write"})
CONSENTS = (ConsentGrant("terms", "2026-11", True), ConsentGrant("personal_data", "2026-11", True))


@dataclass(frozen=True, slots=True)
class Client:
    """A call in progress, as use cases see it."""

    peer_address: str = "203.0.113.7"
    locale: str = "ru"
    request_id: str = "a-request"
    caller: Caller | None = None


CALL = Client()


@dataclass(slots=True)
class Phones:
    """The world outside: an SMS provider that delivers at once, or fails as it is told."""

    delivered: list[OutgoingSms] = field(default_factory=list)
    failures: list[ProviderFailed] = field(default_factory=list)
    name: str = "test"

    async def send(self, message: OutgoingSms) -> SmsReceipt:
        """Delivers a message, unless a failure is waiting."""
        if self.failures:
            raise self.failures.pop(0)
        self.delivered.append(message)
        return SmsReceipt(self.name, f"receipt-{len(self.delivered)}")


@dataclass(slots=True)
class World:
    """One server's auth, and what tests ask of it."""

    postgres: Postgres
    url: str
    clock: ManualClock
    secrets: Secrets
    options: AuthOptions
    auth: Auth
    phones: Phones

    async def start(self, phone: str = PHONE, call: Client = CALL) -> ChallengeView:
        """Starts a sign-in."""
        return await self.auth.use_cases.codes.start(phone, call)

    def code_of(self, challenge_id: UUID, purpose: Purpose = Purpose.SIGN_IN) -> str:
        """Returns the right code of a challenge."""
        codes = Codes(self.secrets)
        code = codes.derive(challenge_id, codes.active_kid, purpose)
        assert code is not None
        return code

    def wrong_code_of(self, challenge_id: UUID) -> str:
        """Returns a wrong code of a challenge."""
        return f"{(int(self.code_of(challenge_id)) + 1) % 10**6:06d}"

    def answer(self, challenge_id: UUID, **changes: Any) -> SignInAnswer:
        """Returns a right answer of a new user, with changes."""
        right = SignInAnswer(challenge_id, self.code_of(challenge_id), uuid4(), "iPhone 17", CONSENTS)
        return replace(right, **changes)

    async def complete(self, answer: SignInAnswer, call: Client = CALL) -> SignedIn:
        """Completes a sign-in."""
        return await self.auth.use_cases.completion.complete(answer, call)

    async def sign_in(self, phone: str = PHONE, call: Client = CALL) -> SignedIn:
        """Signs a person in; another time than her last, for the wait between two codes."""
        self.clock.advance(timedelta(seconds=61))
        return await self.complete(self.answer((await self.start(phone, call)).challenge_id), call)

    async def sign_in_as(self, phone: str, *roles: Role) -> SignedIn:
        """Signs a person in who has roles in the circle besides being a member."""
        user_id = (await self.sign_in(phone)).user_id
        async with self.postgres.transaction() as tx:
            statement = "UPDATE users SET roles = $1 WHERE id = $2"
            await (await tx.driver()).execute(statement, sorted({Role.MEMBER, *roles}), user_id)
        return await self.sign_in(phone)

    async def guess_wrong(self, challenge_id: UUID) -> SignedIn:
        """Makes a wrong guess."""
        return await self.complete(self.answer(challenge_id, code=self.wrong_code_of(challenge_id)))

    async def caller_of(self, signed_in: SignedIn) -> Caller:
        """Returns who the edge sees behind a sign-in's access token."""
        return await self.auth.verifier.verify(signed_in.tokens.access_token)

    async def read(self, query: str, *parameters: object) -> list[asyncpg.Record]:
        """Reads rows by a connection that has nothing to do with the server's: what is seen is committed."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(query, *parameters)
        finally:
            await connection.close()

    async def audited(self, action: str) -> list[asyncpg.Record]:
        """Returns the audit rows of an action, read by another connection."""
        return await self.read("SELECT * FROM audit_events WHERE action = $1 ORDER BY event_time", action)

    async def heard_by(self, auth: Auth, grant_id: UUID, seconds: float = 10.0) -> None:
        """Waits until a server has heard that tokens were ended."""
        await until(lambda: grant_id in auth.revocations._by_grant, seconds)

    async def another_server(self) -> Auth:
        """Returns the auth of a second server on the same Postgres."""
        auth = compose(self.postgres, self.secrets, self.clock, self.options, self.phones)
        await auth.open()
        return auth

    async def with_sign_in(self, postgres: Postgres | None = None, **changes: Any) -> "World":
        """Returns the world of a server with other limits of sign-in, and with connections of its own if given some."""
        options = replace(self.options, sign_in=replace(self.options.sign_in, **changes))
        used = postgres or self.postgres
        auth = compose(used, self.secrets, self.clock, options, self.phones)
        await auth.open()
        return replace(self, postgres=used, options=options, auth=auth)

    def with_newer_secrets(self) -> "World":
        """Returns the world of a server whose secrets were rotated: it has a newer one of each, and the old ones."""
        newer = {name: (*self.secrets.all(name), Secret("2", secrets.token_bytes(32))) for name in SecretName}
        rotated = Secrets(newer)
        auth = compose(self.postgres, rotated, self.clock, self.options, self.phones)
        return replace(self, secrets=rotated, auth=auth)


def random_secrets() -> Secrets:
    """Returns a server's secrets, each random."""
    inline = {f"{name}.1": b64encode(secrets.token_bytes(32)).decode() for name in SecretName}
    return Secrets.load(generated=None, inline=inline)  # type: ignore[arg-type]  # the folder is not touched then


def compose(postgres: Postgres, secrets: Secrets, clock: ManualClock, options: AuthOptions, phones: Phones) -> Auth:
    """Builds the auth of one server."""
    keys = SigningKeys(postgres, secrets, clock, "ES256", options.keys)
    registry = CollectorRegistry()
    routes = SmsRoutes((phones,), {}, SmsMetrics(registry))
    people = UserAccounts(lambda: None, NumberBans(secrets, timedelta(days=180)))
    return compose_auth(options, keys, postgres, secrets, clock, people, routes, KNOWN_SCOPES, registry)


async def refusal_of(call: Awaitable[object]) -> DomainError:
    """Returns the refusal that a call ends with."""
    with pytest.raises(DomainError) as refused:
        await call
    return refused.value


async def outcomes_of(calls: Iterable[Awaitable[object]]) -> list[str]:
    """Makes calls at once, and returns how each ended: `OK`, or the reason of its refusal."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return ["OK" if not isinstance(result, BaseException) else reason_of(result) for result in results]


def reason_of(error: BaseException) -> str:
    """Returns the reason of a refusal; anything else that was raised fails the test."""
    if not isinstance(error, DomainError):
        raise error
    return error.reason
