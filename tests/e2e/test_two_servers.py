"""Two servers on one PostgreSQL share limits and revocations, and rotate keys under load without one failed call."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from svoykrug.auth.v1.auth_admin_service_pb2 import (
    ActivateSigningKeyRequest,
    CreateServiceAccountRequest,
    CreateSigningKeyRequest,
    ListSigningKeysRequest,
    RetireSigningKeyRequest,
    RevokeUserSessionsRequest,
)
from svoykrug.auth.v1.auth_service_pb2 import (
    CompleteSignInRequest,
    ListSessionsRequest,
    RefreshTokensRequest,
    SignOutRequest,
    StartSignInRequest,
)
from svoykrug.auth.v1.signing_key_pb2 import SIGNING_KEY_STATE_ACTIVE, SigningKey
from svoykrug.users.v1.users_service_pb2 import BAN_REASON_FRAUD, BanUserRequest

from svoykrug_server.auth import key_material
from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.conftest import NUMBERS, connection_url
from tests.e2e.circle import Circle, Metadata
from tests.e2e.python_client import ADMIN_PHONE, grant_superadmin
from tests.e2e.steady_load import App, PersonApp, ProgramApp, SteadyLoad
from tests.e2e.two_servers import TwoServers, two_servers
from tests.rpc.rich import RichError
from tests.waiting import until

PEOPLE = 20
SETTLED_SECONDS = 2.0
"""After an activation no server signs with the key before: four times as long as servers take to read the keys."""
PHONES = (f"+7999777{number:04d}" for number in range(10_000))


@pytest.fixture(scope="module")
async def servers(postgres_server: EmbeddedPostgres, postgres_template: str) -> AsyncIterator[TwoServers]:
    """Two servers for all tests of this file, on a database of their own; the first superadmin is made."""
    name = f"test_{postgres_template.rpartition('_')[2]}_{next(NUMBERS)}"
    admin = await asyncpg.connect(connection_url(postgres_server, "postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {postgres_template} STRATEGY FILE_COPY")
    url = connection_url(postgres_server, name)
    postgres = await Postgres.connect(PostgresOptions(url))
    await grant_superadmin(postgres)
    await postgres.close()
    async with two_servers(url) as started:
        yield started
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def reasons_of(calls: Iterable[Awaitable[Any]]) -> Counter[str]:
    """Makes calls at once and counts how they ended: `OK`, or the reason of the refusal."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return Counter(_reason(result) for result in results)


def _reason(result: object) -> str:
    if isinstance(result, grpc.aio.AioRpcError):
        return RichError.of(result).reason
    assert not isinstance(result, BaseException), result
    return "OK"


def tell(measured: str) -> None:
    """Shows what was measured, to whoever runs the test with -s."""
    print(f"\n{measured}")  # noqa: T201  shown on purpose


async def list_sessions(circle: Circle, metadata: Metadata) -> str:
    """Calls with a token; returns `OK`, or why it was refused."""
    ((reason, _),) = (await reasons_of([circle.auth.ListSessions(ListSessionsRequest(), metadata=metadata)])).items()
    return reason


async def refused_after(circle: Circle, metadata: Metadata, expected: str = "SESSION_REVOKED") -> float:
    """Waits until a server refuses a token for the reason expected; returns after how many seconds."""
    began = time.monotonic()

    async def refused() -> bool:
        reason = await list_sessions(circle, metadata)
        assert reason in {"OK", expected}
        return reason == expected

    await until(refused)
    return time.monotonic() - began


@pytest.fixture
async def apps(servers: TwoServers) -> list[App]:
    """The superadmin, members who signed in at both servers, and a service that looks at the superadmin's token."""
    chief = PersonApp(await servers.a.sign_in(ADMIN_PHONE))
    members = [PersonApp(await (servers.a, servers.b)[i % 2].sign_in(next(PHONES))) for i in range(PEOPLE)]
    private_key = key_material.generate("ES256")
    creation = CreateServiceAccountRequest(
        name=f"console-{next(NUMBERS)}",
        scopes=["tokens.introspect"],
        public_key_pem=key_material.public_to_pem(private_key.public_key()).decode(),
        request_id=str(uuid4()),
    )
    account = (await servers.admin_at_a.CreateServiceAccount(creation, metadata=chief.metadata)).service_account
    program = ProgramApp(account.id, private_key, chief)
    await program.renew(servers.b)
    return [chief, *members, program]


async def test_keys_are_rotated_under_200_calls_a_second_without_one_failed_call(
    servers: TwoServers, apps: list[App], request: pytest.FixtureRequest
) -> None:
    rounds = int(request.config.getoption("--rotation-rounds"))
    load = SteadyLoad((servers.a, servers.b), apps)
    async with load.running():
        for number in range(rounds):
            old, new = await next_activated(servers, apps[0], ("RS256", "ES256")[number % 2])
            if number % 2:  # every other key is rejected once nobody needs it, the others die with their last token
                await renewed(apps, new)
                await reject(servers, apps[0], old)
        await until(lambda: alone(servers, apps[0]), seconds=60.0)
    tell(f"{load.calls} calls in {load.seconds:.1f} s while {rounds} keys were rotated: {dict(load.outcomes)}")
    assert load.failures == {}
    assert load.calls / load.seconds > 190
    assert len(await servers.read("SELECT FROM auth_signing_keys")) == 1 + rounds
    methods = {"GetMe", "ListSessions", "GetJwks", "RefreshTokens", "IssueServiceToken", "IntrospectToken"}
    assert {method for method, _ in load.outcomes} == methods


async def test_a_key_rejected_before_its_tokens_are_renewed_fails_calls_so_the_load_would_have_shown_it(
    servers: TwoServers, apps: list[App]
) -> None:
    load = SteadyLoad((servers.a, servers.b), apps)
    async with load.running():
        await until(lambda: load.calls > 100)
        leaked = apps[1].metadata
        old, _ = await next_activated(servers, apps[0])
        await reject(servers, apps[0], old)
        seconds = await refused_after(servers.b, leaked, "TOKEN_INVALID")
        await until(lambda: bool(load.failures))
    tell(f"a rejected key's token refused by the other server after {1000 * seconds:.0f} ms")
    assert seconds < 1.0
    assert {reason for _, reason in load.failures} <= {"TOKEN_INVALID", "NOT_ACTIVE"}


async def next_activated(servers: TwoServers, chief: App, algorithm: str = "ES256") -> tuple[str, str]:
    """Creates a key at one server, activates it at the other; returns the kids of the key before and of the new one."""
    (old,) = [key.kid for key in await live_keys(servers, chief) if key.state == SIGNING_KEY_STATE_ACTIVE]
    creation = CreateSigningKeyRequest(algorithm=algorithm, request_id=str(uuid4()))
    new = (await servers.admin_at_a.CreateSigningKey(creation, metadata=chief.metadata)).signing_key.kid

    async def active() -> bool:
        activation = ActivateSigningKeyRequest(kid=new)
        calls = await reasons_of([servers.admin_at_b.ActivateSigningKey(activation, metadata=chief.metadata)])
        assert calls.keys() <= {"OK", "SIGNING_KEY_STATE"}
        return "OK" in calls

    await until(active)
    return old, new


async def alone(servers: TwoServers, chief: App) -> bool:
    """Tells whether the tokens of all keys before are dead."""
    return len(await live_keys(servers, chief)) == 1


async def live_keys(servers: TwoServers, chief: App) -> Sequence[SigningKey]:
    """Returns the keys whose tokens are taken."""
    return (await servers.admin_at_a.ListSigningKeys(ListSigningKeysRequest(), metadata=chief.metadata)).signing_keys


async def renewed(apps: list[App], kid: str) -> None:
    """Waits until everybody's token is signed with a key, and no answer with an older one is on its way."""
    settled = time.monotonic() + SETTLED_SECONDS
    await until(
        lambda: all(app.kid == kid and not app.renewing and app.renewal_began > settled for app in apps), seconds=60.0
    )


async def reject(servers: TwoServers, chief: App, kid: str) -> None:
    """Has the tokens of a key refused from now on."""
    rejection = RetireSigningKeyRequest(kid=kid, reject_tokens=True)
    await servers.admin_at_a.RetireSigningKey(rejection, metadata=chief.metadata)


async def test_a_session_ended_at_one_server_is_refused_by_the_other_within_a_second(servers: TwoServers) -> None:
    seconds = []
    for _ in range(10):
        person = await servers.b.sign_in(next(PHONES))
        assert await list_sessions(servers.b, person.metadata) == "OK"
        await servers.a.auth.SignOut(SignOutRequest(), metadata=person.metadata)
        seconds.append(await refused_after(servers.b, person.metadata))
    tell(f"refused by the other server after {', '.join(f'{1000 * each:.0f}' for each in seconds)} ms")
    assert max(seconds) < 1.0


async def test_an_admin_ends_a_members_sessions_at_every_server(servers: TwoServers) -> None:
    chief, person = await servers.a.sign_in(ADMIN_PHONE), await servers.b.sign_in(next(PHONES))
    ending = RevokeUserSessionsRequest(user_id=person.user_id)
    await servers.admin_at_a.RevokeUserSessions(ending, metadata=chief.metadata)
    assert await refused_after(servers.b, person.metadata) < 1.0


async def test_a_ban_at_one_server_shuts_her_out_of_the_other_within_a_second(servers: TwoServers) -> None:
    chief, person = await servers.a.sign_in(ADMIN_PHONE), await servers.b.sign_in(next(PHONES))
    assert await list_sessions(servers.b, person.metadata) == "OK"
    ban = BanUserRequest(user_id=person.user_id, reason=BAN_REASON_FRAUD)
    await servers.a.users.BanUser(ban, metadata=chief.metadata)
    seconds = await refused_after(servers.b, person.metadata)
    tell(f"a banned member refused by the other server after {1000 * seconds:.0f} ms")
    assert seconds < 1.0


async def test_a_server_whose_listener_was_killed_hears_of_what_it_missed_within_a_second(servers: TwoServers) -> None:
    person = await servers.b.sign_in(next(PHONES))
    assert await list_sessions(servers.b, person.metadata) == "OK"
    await servers.end_listener_of_b()
    await servers.a.auth.SignOut(SignOutRequest(), metadata=person.metadata)
    seconds = await refused_after(servers.b, person.metadata)
    tell(f"refused {1000 * seconds:.0f} ms after the listener was killed and the session ended")
    assert seconds < 1.0


async def test_a_server_that_cannot_listen_asks_postgres_at_each_call_after_two_seconds_and_recovers(
    servers: TwoServers,
) -> None:
    signed_out, staying = await servers.b.sign_in(next(PHONES)), await servers.b.sign_in(next(PHONES))
    await servers.let_b_connect(False)
    await servers.end_listener_of_b()
    await servers.a.auth.SignOut(SignOutRequest(), metadata=signed_out.metadata)
    seconds = await refused_after(servers.b, signed_out.metadata)
    assert seconds < 3.0, "two seconds without a heartbeat, and each call asks"
    for _ in range(20):
        assert await list_sessions(servers.b, staying.metadata) == "OK"
    late = await servers.a.sign_in(next(PHONES))
    assert await list_sessions(servers.b, late.metadata) == "OK"
    await servers.a.auth.SignOut(SignOutRequest(), metadata=late.metadata)
    deaf_seconds = await refused_after(servers.b, late.metadata)
    await servers.let_b_connect(True)
    await until(lambda: has_listener(servers))
    await servers.a.auth.SignOut(SignOutRequest(), metadata=staying.metadata)
    again_seconds = await refused_after(servers.b, staying.metadata)
    shown = [f"{1000 * each:.0f}" for each in (seconds, deaf_seconds, again_seconds)]
    tell(f"deaf: first refused after {shown[0]} ms, then after {shown[1]} ms; listening again: {shown[2]} ms")
    assert max(deaf_seconds, again_seconds) < 1.0


async def has_listener(servers: TwoServers) -> bool:
    """Tells whether `b` has a connection that listens and beats."""
    return bool(
        await servers.read(
            "SELECT FROM pg_stat_activity WHERE usename = $1 AND application_name = 'svoykrug-dedicated'"
            " AND query = 'SELECT 1'",
            servers.user_of_b,
        )
    )


async def test_5_codes_a_day_are_sent_to_a_phone_whichever_server_is_asked(servers: TwoServers) -> None:
    request = StartSignInRequest(phone=next(PHONES))
    calls = [circle.auth.StartSignIn(request) for _ in range(6) for circle in (servers.a, servers.b)]
    assert await reasons_of(calls) == {"OK": 5, "SIGN_IN_LIMITED": 7}
    for circle in (servers.a, servers.b):
        assert await reasons_of([circle.auth.StartSignIn(request)]) == {"SIGN_IN_LIMITED": 1}
    assert len(await servers.read("SELECT FROM auth_code_sends WHERE phone = $1", request.phone)) == 5


async def test_of_50_parallel_wrong_guesses_over_both_servers_5_are_judged(servers: TwoServers) -> None:
    started = await servers.a.auth.StartSignIn(StartSignInRequest(phone=next(PHONES)))
    challenge_id = challenge_id_from_text(started.challenge.challenge_id)
    wrong = f"{(int(servers.a.code_of(challenge_id)) + 1) % 10**6:06d}"
    guesses = [
        circle.auth.CompleteSignIn(
            CompleteSignInRequest(challenge_id=started.challenge.challenge_id, code=wrong, request_id=str(uuid4()))
        )
        for _ in range(25)
        for circle in (servers.a, servers.b)
    ]
    reasons = await reasons_of(guesses)
    assert reasons["CODE_WRONG"] <= 5
    assert reasons.keys() <= {"CODE_WRONG", "GUESSES_EXHAUSTED", "CHALLENGE_OVER"}
    (row,) = await servers.read("SELECT * FROM auth_challenges WHERE challenge_id = $1", challenge_id)
    assert row["wrong_guess_count"] == 5
    assert len(await servers.read("SELECT FROM auth_wrong_guesses WHERE phone = $1", row["phone"])) == 5


async def test_10_parallel_refreshes_of_one_token_over_both_servers_give_one_refresh_token(servers: TwoServers) -> None:
    person = await servers.a.sign_in(next(PHONES))
    token = person.tokens.refresh_token
    answers = await asyncio.gather(
        *(
            circle.auth.RefreshTokens(RefreshTokensRequest(refresh_token=token, request_id=str(uuid4())))
            for _ in range(5)
            for circle in (servers.a, servers.b)
        )
    )
    assert len({answer.tokens.refresh_token for answer in answers}) == 1
    for answer, circle in zip(answers[:2], (servers.b, servers.a), strict=True):
        metadata = (("authorization", f"Bearer {answer.tokens.access_token}"),)
        assert await list_sessions(circle, metadata) == "OK"
