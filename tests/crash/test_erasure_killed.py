"""An erasure that is killed at any of its steps leaves the person whole, and the next attempt erases her."""

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from demo.search_stores import rows_by_table
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.stores import open_stores
from tests.crash.server_process import settings_of, started
from tests.users.people import join
from tests.users.personal_data.life import HASH, add
from tests.waiting import until

PHONE = "+79161234567"
BOUND_SECONDS = 60.0
STEPS = (
    "erasure.claimed:1",
    "erasure.warehouse_counted:1",
    "erasure.table_erased:1",
    "erasure.table_erased:10",
    "erasure.receipt_written:1",
)


@pytest.mark.timeout(240)
async def test_an_erasure_killed_at_each_step_leaves_her_whole_until_it_is_done(data_dir: Path) -> None:
    async with open_stores(settings_of(data_dir)) as stores:
        user_id = await join(stores.postgres, datetime.now(UTC), PHONE)
        erasure_id = await wish_to_be_erased(stores.postgres, user_id)
        before = await traces(stores.postgres, user_id)
        for step in STEPS:
            await killed_at(data_dir, step)
            assert await state_of(stores.postgres, erasure_id) == "running"
            assert await traces(stores.postgres, user_id) == before
            await let_it_be_due(stores.postgres)
        await killed_at(data_dir, "erasure.done:1")
        assert await state_of(stores.postgres, erasure_id) == "done"
        receipt = await rows_by_table(stores.postgres, str(erasure_id))
        async with started(data_dir) as server:
            await server.target()
        assert await rows_by_table(stores.postgres, str(erasure_id)) == receipt
        assert not any((await rows_by_table(stores.postgres, PHONE)).values())


@pytest.mark.timeout(120)
async def test_the_next_server_goes_on_where_one_was_killed(data_dir: Path) -> None:
    async with open_stores(settings_of(data_dir)) as stores:
        erasure_id = await wish_to_be_erased(stores.postgres, await join(stores.postgres, datetime.now(UTC), PHONE))
        await killed_at(data_dir, "erasure.table_erased:3")
        async with started(data_dir) as server:
            await server.target()

            async def done() -> bool:
                return await state_of(stores.postgres, erasure_id) == "done"

            await until(done, BOUND_SECONDS)


async def wish_to_be_erased(postgres: Postgres, user_id: UUID) -> UUID:
    """Lets a person have a session and an erasure that is due, and returns its id."""
    now, erasure_id = datetime.now(UTC), uuid4()
    times = {"create_time": now, "rotate_time": now}
    token = {"current_hash": HASH, "salt": HASH, "rotation_kid": "1", "rotation_request_id": uuid4()}
    due = {"request_time": now, "erase_time": now, "next_attempt_time": now}
    async with postgres.transaction() as tx:
        await add(tx, "auth_sessions", session_id=uuid4(), user_id=user_id, device_name="iPhone", **token, **times)
        await add(tx, "auth_wrong_guesses", phone=PHONE, guess_time=now)
        await add(tx, "erasures", id=erasure_id, user_id=user_id, state="scheduled", **due)
    return erasure_id


async def killed_at(data_dir: Path, step: str) -> None:
    """Lets a server run until it kills itself at a step."""
    async with started(data_dir, step) as server, asyncio.timeout(BOUND_SECONDS):
        await server.process.wait()
    assert server.process.returncode == -signal.SIGKILL, step


async def let_it_be_due(postgres: Postgres) -> None:
    """Lets the wait after a failed attempt pass."""
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE erasures SET next_attempt_time = request_time, attempt_count = 0")


async def state_of(postgres: Postgres, erasure_id: UUID) -> str:
    """Returns what became of an erasure."""
    async with postgres.read() as connection:
        state: str = await connection.fetchval("SELECT state FROM erasures WHERE id = $1", erasure_id)
    return state


async def traces(postgres: Postgres, user_id: UUID) -> dict[str, list[str]]:
    """Returns every row that leads to a person, but for the one that counts the attempts to erase her."""
    found = [await rows_by_table(postgres, text) for text in (PHONE, str(user_id))]
    return {table: found[0][table] + found[1][table] for table in found[0] if table != "erasures"}
