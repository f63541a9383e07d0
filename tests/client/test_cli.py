"""`svoykrug-cli` as a program: results on standard output, problems in one line, exit codes that a script can use."""

import asyncio
import signal
import stat
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from svoykrug.analytics.v1.analytics_service_pb2 import ListAtRiskMembersResponse
from svoykrug.analytics.v1.churn_pb2 import ChurnReason, ChurnScore
from svoykrug.auth.v1.auth_admin_service_pb2 import RevokeUserSessionsRequest, RevokeUserSessionsResponse
from svoykrug.auth.v1.auth_service_pb2 import Challenge, CompleteSignInResponse, SignOutResponse, StartSignInResponse
from svoykrug.auth.v1.session_pb2 import Tokens
from svoykrug.users.v1.user_pb2 import ROLE_ADMIN, TIER_VIP, USER_STATE_ACTIVE, User
from svoykrug.users.v1.users_service_pb2 import ListUsersResponse

from svoykrug_client import FileTokenStore, StoredSession
from tests.client.conftest import USER_ID, access_token
from tests.client.staged import Gate, Plain, Refusal, StagedServer
from tests.waiting import until

ANNA = User(
    id=USER_ID,
    phone="+79991234567",
    display_name="Ан\x1b[2Jна",
    state=USER_STATE_ACTIVE,
    tier=TIER_VIP,
    roles=[ROLE_ADMIN],
)
SIGNED_IN = CompleteSignInResponse(
    user_id=USER_ID, tokens=Tokens(access_token=access_token(), refresh_token="first refresh token")
)
SCORES = ListAtRiskMembersResponse(
    members=[
        ChurnScore(
            user_id=USER_ID,
            probability=0.8125,
            net_spend_minor=123_456,
            reasons=[ChurnReason(feature="recency_days", text="away for 41 days"), ChurnReason(feature="orders")],
        )
    ]
)
Run = Callable[..., Awaitable[tuple[int | None, str, str]]]


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A file with a session, as `sign-in` leaves it."""
    path = tmp_path / "session.json"
    FileTokenStore(path).save(StoredSession(USER_ID, "first refresh token"))
    return path


def forget(session: Path) -> None:
    session.unlink()


def spoil(session: Path) -> None:
    session.write_text("{}", "utf-8")


def mode_of(session: Path) -> int:
    return stat.S_IMODE(session.stat().st_mode)


async def begun(server: StagedServer, session: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Starts the program."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "svoykrug_client.cli",
        "--insecure", "--target", server.target, "--session", str(session), *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
def run(server: StagedServer, session: Path) -> Run:
    """Runs the program; gives its exit code, its results and what it said."""

    async def started(*arguments: str, typed: str = "") -> tuple[int | None, str, str]:
        process = await begun(server, session, *arguments)
        async with asyncio.timeout(30):
            results, said = await process.communicate(typed.encode())
        return process.returncode, results.decode(), said.decode()

    return started


async def test_signing_in_asks_for_the_code_until_it_is_right_and_keeps_the_session_to_its_owner(
    run: Run, server: StagedServer, session: Path
) -> None:
    forget(session)
    server.plays("StartSignIn", StartSignInResponse(challenge=Challenge(challenge_id="challenge")))
    server.plays("CompleteSignIn", Refusal("CODE_WRONG", grpc.StatusCode.UNAUTHENTICATED), SIGNED_IN)
    code, results, said = await run(
        "sign-in", "+7 999 123-45-67", "--accept-terms", "2026-11", typed="111111\n222222\n"
    )
    assert (code, results) == (0, "")
    assert "That is not the code." in said
    assert [request.code for request in server.requests("CompleteSignIn")] == ["111111", "222222"]
    assert {consent.version for consent in server.requests("CompleteSignIn")[0].consents} == {"2026-11"}
    assert FileTokenStore(session).load() == StoredSession(USER_ID, "first refresh token")
    assert mode_of(session) == 0o600


async def test_a_first_sign_in_says_how_to_agree_to_the_terms(run: Run, server: StagedServer, session: Path) -> None:
    forget(session)
    server.plays("StartSignIn", StartSignInResponse(challenge=Challenge(challenge_id="challenge-1")))
    server.plays("CompleteSignIn", Refusal("CONSENT_REQUIRED", grpc.StatusCode.FAILED_PRECONDITION))
    code, _, said = await run("sign-in", "+79991234567", typed="123456\n")
    assert code == 1
    assert "--accept-terms VERSION" in said
    assert FileTokenStore(session).load() is None


async def test_signing_out_ends_the_session_and_removes_the_file(run: Run, server: StagedServer, session: Path) -> None:
    server.plays("SignOut", SignOutResponse())
    assert await run("sign-out") == (0, "", "Signed out.\n")
    assert FileTokenStore(session).load() is None


async def test_nobody_signed_in_is_said_before_any_call(run: Run, session: Path) -> None:
    forget(session)
    assert await run("find-user", "4567") == (4, "", "svoykrug-cli: nobody is signed in: svoykrug-cli sign-in PHONE\n")


async def test_a_session_file_with_something_else_is_one_line(run: Run, session: Path) -> None:
    spoil(session)
    code, _, said = await run("find-user", "4567")
    assert code == 1
    assert said == f"svoykrug-cli: {session} holds no session of this client\n"


async def test_a_session_that_cannot_be_kept_is_one_line(run: Run, server: StagedServer, session: Path) -> None:
    server.plays("ListUsers", ListUsersResponse(users=[ANNA]))
    lock = session.with_name(f"{session.name}.lock")
    lock.mkdir()
    code, results, said = await run("find-user", "4567")
    assert (code, results, said.count("\n")) == (1, "", 1)
    assert str(lock) in said


@pytest.mark.parametrize(("who", "field"), [("45-67", "phone"), ("Анна", "name")])
async def test_people_are_found_and_their_names_do_not_steer_the_terminal(
    run: Run, server: StagedServer, who: str, field: str
) -> None:
    server.plays("ListUsers", ListUsersResponse(users=[ANNA]))
    code, results, said = await run("find-user", who)
    assert (code, said) == (0, "")
    assert getattr(server.requests("ListUsers")[0], field) == who
    assert results.splitlines()[1].split() == [USER_ID, "+79991234567", "Ан�[2Jна", "active", "vip", "admin"]


async def test_sessions_are_ended_after_a_yes_and_not_after_a_no(run: Run, server: StagedServer) -> None:
    server.plays("RevokeUserSessions", RevokeUserSessionsResponse(revoked_count=2))
    code, results, _ = await run("revoke-sessions", USER_ID, typed="no\n")
    assert (code, results, server.requests("RevokeUserSessions")) == (1, "", [])
    code, results, _ = await run("revoke-sessions", USER_ID, typed="yes\n")
    assert (code, results) == (0, "sessions ended: 2\n")
    assert server.requests("RevokeUserSessions") == [RevokeUserSessionsRequest(user_id=USER_ID)]


async def test_members_at_risk_are_a_table_or_csv(run: Run, server: StagedServer) -> None:
    server.plays("ListAtRiskMembers", SCORES)
    code, table, _ = await run("at-risk", "--min-probability", "0.8")
    assert (code, table.splitlines()[1].split()[:3]) == (0, [USER_ID, "0.812", "1234.56"])
    code, rows, said = await run("at-risk", "--csv")
    assert (code, said) == (0, "")
    assert rows.splitlines() == [
        "user_id,probability,net_spend,reasons",
        f"{USER_ID},0.812,1234.56,away for 41 days; orders",
    ]
    assert [request.min_probability for request in server.requests("ListAtRiskMembers")] == [0.8, 0.5]


async def test_a_refusal_is_one_line_that_names_reason_field_wait_and_request(run: Run, server: StagedServer) -> None:
    refusal = Refusal(
        "SIGN_IN_LIMITED",
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        bad_fields={"phone": "too often"},
        retry_after=timedelta(seconds=90),
    )
    server.plays("ListUsers", refusal)
    code, results, said = await run("find-user", "Анна")
    assert (code, results) == (1, "")
    assert said == "svoykrug-cli: SIGN_IN_LIMITED: Так нельзя. (phone: too often; again in 90 s; request request-7)\n"


@pytest.mark.parametrize(
    ("act", "exit_code"),
    [
        (Plain(grpc.StatusCode.UNAVAILABLE), 3),
        (Refusal("USER_BANNED", grpc.StatusCode.PERMISSION_DENIED), 1),
        (Refusal("TOKEN_INVALID", grpc.StatusCode.UNAUTHENTICATED), 4),
    ],
)
async def test_the_exit_code_says_what_kind_of_problem_it_is(
    run: Run, server: StagedServer, act: object, exit_code: int
) -> None:
    server.plays("ListUsers", act)
    code, results, said = await run("find-user", "Анна")
    assert (code, results, said.count("\n")) == (exit_code, "", 1)


async def test_a_wrong_usage_is_exit_code_2(run: Run) -> None:
    code, _, said = await run("at-risk", "--min-probability", "7")
    assert code == 2
    assert "min-probability" in said


async def test_ctrl_c_cancels_the_call_and_ends_the_program_as_a_shell_expects(
    server: StagedServer, session: Path
) -> None:
    gate = Gate(ListUsersResponse())
    server.plays("ListUsers", gate)
    process = await begun(server, session, "find-user", "Анна")
    await until(lambda: gate.waiting == 1, seconds=20)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        assert await process.communicate() == (b"", b"")
    assert process.returncode == 128 + signal.SIGINT
    await until(lambda: gate.cancelled == 1)
