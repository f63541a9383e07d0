"""Clients and processes that share a file of tokens: no order of their steps looks like theft to the server."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import RefreshTokensRequest, RefreshTokensResponse
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_client import Client, FileTokenStore, StoredSession, _credentials
from svoykrug_client._credentials import SessionCredentials
from tests.client.conftest import ME, USER_ID, refreshed
from tests.client.late_store import LateStore
from tests.client.staged import Gate, StagedServer
from tests.waiting import until

BEFORE = StoredSession(USER_ID, "token 1")
HOLDER = """
import asyncio, sys
from pathlib import Path
from svoykrug_client import FileTokenStore

async def hold():
    async with FileTokenStore(Path(sys.argv[1])).lock():
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a session, as if she had signed in yesterday."""
    file = tmp_path / "session.json"
    FileTokenStore(file).save(BEFORE)
    return file


@dataclass
class Rotation:
    """The server's rule: who presents a token that is not the present one repeats a refresh, races, or is a thief.

    Attributes:
        now_seconds: Its clock.
        is_away: No request arrives.
        loses_answers: Requests arrive, and no answer comes back.
        requests: Those that were sent to it.
    """

    now_seconds: float = 0.0
    is_away: bool = False
    loses_answers: bool = False
    requests: list[RefreshTokensRequest] = field(default_factory=list)
    _present: int = 1
    _request_id: str = ""
    _rotated_seconds: float = 0.0

    async def refresh(self, request: RefreshTokensRequest) -> RefreshTokensResponse:
        """Answers one refresh."""
        self.requests.append(request)
        await asyncio.sleep(0)
        if not self.is_away:
            self._take(request)
        if self.is_away or self.loses_answers:
            raise errors.ConnectionLost("UNAVAILABLE", "no answer", code="UNAVAILABLE")
        return refreshed(f"token {self._present}")

    def _take(self, request: RefreshTokensRequest) -> None:
        if request.refresh_token == f"token {self._present}":
            self._present += 1
            self._request_id, self._rotated_seconds = request.request_id, self.now_seconds
            return
        is_previous = request.refresh_token == f"token {self._present - 1}"
        races = self.now_seconds - self._rotated_seconds <= 60
        if not is_previous or not (request.request_id == self._request_id or races):
            raise errors.SessionCompromised("SESSION_COMPROMISED", "theft", code="UNAUTHENTICATED")


class SlowStore(FileTokenStore):
    """Its disk takes as long as the test says."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def save(self, session: StoredSession | None) -> None:
        """Saves once the test lets it."""
        self.begun.set()
        assert self.goes_on.wait(30)
        super().save(session)


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def test_two_users_of_a_file_are_no_thieves_after_a_minute_offline(path: Path) -> None:
    server = Rotation()
    one = SessionCredentials(FileTokenStore(path), server.refresh)
    other = SessionCredentials(LateStore(path, BEFORE), server.refresh)
    server.loses_answers = True
    with pytest.raises(errors.ConnectionLost):
        await one.access_token()
    server.is_away = True
    with pytest.raises(errors.ConnectionLost):
        await other.access_token()
    server.is_away = server.loses_answers = False
    server.now_seconds += 61
    assert await one.access_token()
    assert await other.access_token()
    assert len({request.request_id for request in server.requests[:3]}) == 1
    assert FileTokenStore(path).load() == StoredSession(USER_ID, "token 3")


async def test_any_number_of_clients_that_race_refresh_one_after_the_other(path: Path) -> None:
    server = Rotation()
    clients = [SessionCredentials(FileTokenStore(path), server.refresh) for _ in range(5)]
    assert all(await asyncio.gather(*(client.access_token() for client in clients)))
    assert [request.refresh_token for request in server.requests] == [f"token {number}" for number in range(1, 6)]
    assert FileTokenStore(path).load() == StoredSession(USER_ID, "token 6")


async def test_while_one_client_refreshes_the_other_waits_and_goes_on_with_the_new_session(
    server: StagedServer, new_client: Callable[..., Client], path: Path
) -> None:
    gate = Gate(refreshed("token 2"))
    server.plays("RefreshTokens", gate, refreshed("token 3"))
    files = [FileTokenStore(path) for _ in range(2)]
    async with new_client(token_store=files[0]) as one, new_client(token_store=files[1]) as other:
        first = asyncio.ensure_future(one.users.GetMe(GetMeRequest()))
        await until(lambda: gate.waiting == 1)
        second = asyncio.ensure_future(other.users.GetMe(GetMeRequest()))
        with pytest.raises(errors.DeadlineExceeded):
            await other.users.GetMe(GetMeRequest(), timeout=0.3)
        assert len(server.received("RefreshTokens")) == 1
        gate.open()
        assert [await first, await second] == [ME, ME]
    assert [request.refresh_token for request in server.requests("RefreshTokens")] == ["token 1", "token 2"]
    assert files[0].load() == StoredSession(USER_ID, "token 3")


async def test_a_session_that_one_client_forgets_is_not_brought_back_by_the_refresh_of_another(path: Path) -> None:
    answer, asked = asyncio.Event(), asyncio.Event()

    async def refresh(_: RefreshTokensRequest) -> RefreshTokensResponse:
        asked.set()
        await answer.wait()
        return refreshed("token 2")

    one, other = (SessionCredentials(FileTokenStore(path), refresh) for _ in range(2))
    call = asyncio.ensure_future(one.access_token())
    await asked.wait()
    forgetting = asyncio.ensure_future(other.signed_out())
    answer.set()
    await asyncio.gather(call, forgetting)
    assert FileTokenStore(path).load() is None
    assert await other.access_token() is None


async def test_a_process_that_is_killed_gives_the_lock_back(
    server: StagedServer, new_client: Callable[..., Client], path: Path
) -> None:
    async with another_process_holds(path) as process, new_client(token_store=FileTokenStore(path)) as client:
        with pytest.raises(errors.DeadlineExceeded):
            await client.users.GetMe(GetMeRequest(), timeout=0.3)
        assert server.received("RefreshTokens") == []
        process.kill()
        assert await client.users.GetMe(GetMeRequest()) == ME


async def test_a_process_that_is_stopped_in_mid_work_keeps_nobody_out_for_long(
    server: StagedServer, new_client: Callable[..., Client], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_credentials, "_LOCK_SECONDS", 0.2)
    async with another_process_holds(path), new_client(token_store=FileTokenStore(path)) as client:
        assert await client.users.GetMe(GetMeRequest()) == ME
        await client.forget()
    assert FileTokenStore(path).load() is None


async def test_without_a_session_no_lock_is_taken(
    server: StagedServer, new_client: Callable[..., Client], tmp_path: Path
) -> None:
    async with new_client(token_store=FileTokenStore(tmp_path / "none.json")) as client:
        await client.users.GetMe(GetMeRequest())
    assert names_in(tmp_path) == []


async def test_the_event_loop_goes_on_while_the_session_is_written(
    server: StagedServer, new_client: Callable[..., Client], path: Path
) -> None:
    store = SlowStore(path)
    async with new_client(token_store=store) as client:
        call = asyncio.ensure_future(client.users.GetMe(GetMeRequest()))
        await until(store.begun.is_set)
        store.goes_on.set()
        assert await call == ME


async def test_a_sign_in_that_is_cancelled_while_it_is_written_lets_the_lock_go_when_it_is_written(path: Path) -> None:
    store = SlowStore(path)
    signing_in = asyncio.create_task(
        SessionCredentials(store, Rotation().refresh).signed_in("another person", refreshed("her token").tokens)
    )
    await until(store.begun.is_set)
    signing_in.cancel()
    done, _ = await asyncio.wait([signing_in], timeout=0.2)
    assert not done
    store.goes_on.set()
    await asyncio.wait([signing_in])
    assert signing_in.cancelled()
    async with asyncio.timeout(10), FileTokenStore(path).lock():
        assert store.load() == StoredSession("another person", "her token")


@asynccontextmanager
async def another_process_holds(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Has another process take the lock of a file, and do nothing more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"held\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
