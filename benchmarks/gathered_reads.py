"""What sharing round trips costs and saves a look-up of a profile: `python benchmarks/gathered_reads.py`.

Profiles are asked for by so many at a time, each again when she has her answer: with what GetMe asks by, and with a
round trip for each. Both take turns, in this process, on a PostgreSQL of their own; processor time is that of this
thread and of PostgreSQL's processes. docs/decisions/gathered-reads.md says what was decided by it.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from uuid import UUID

import uvloop
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench.stage import fill, own_folder, own_postgres
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.storage.migrate import migrate_postgres
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.users import repository
from svoykrug_server.users.service import UsersService

AT_ONCE = (1, 2, 5, 20, 100)
LOOK_UPS, ROUNDS = 2_000, 15
LookUp = Callable[[UUID], Awaitable[object]]


class Alone:
    """A round trip for each look-up."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def get_me(self, user_id: UUID) -> object:
        """Returns a profile."""
        async with self._postgres.read() as connection:
            return await repository.get(connection, user_id)


async def ask(look_up: LookUp, user_ids: Sequence[UUID], at_once: int) -> None:
    """Asks for every profile, so many at a time."""
    left = iter(user_ids)

    async def one_of_them() -> None:
        for user_id in left:
            await look_up(user_id)

    await asyncio.gather(*(one_of_them() for _ in range(at_once)))


async def main() -> None:
    """Measures and prints."""
    seen: dict[tuple[int, str], list[tuple[float, float, float]]] = defaultdict(list)
    with own_folder() as folder, own_postgres(folder) as url:
        postgres = await Postgres.connect(PostgresOptions(url))
        await migrate_postgres(postgres)
        await fill(url)
        async with postgres.read() as connection:
            user_ids = [row["id"] for row in await connection.fetch("SELECT id FROM users LIMIT $1", LOOK_UPS)]
        ways: dict[str, LookUp] = {
            "each": Alone(postgres).get_me,
            "shared": UsersService(postgres, SystemClock()).get_me,
        }
        for _ in range(ROUNDS):
            for at_once in AT_ONCE:
                for name, look_up in ways.items():
                    seen[at_once, name].append(await _measured(postgres, lambda: ask(look_up, user_ids, at_once)))  # noqa: B023 (awaited here)
        await postgres.close()
    _show({key: tuple(map(median, zip(*rounds, strict=True))) for key, rounds in seen.items()})


async def _measured(postgres: Postgres, work: Callable[[], Awaitable[None]]) -> tuple[float, float, float]:
    """Returns the microseconds of a look-up: on the clock, of this thread's processor, of PostgreSQL's."""
    before, here, began = await _processor_seconds(postgres), time.thread_time(), time.perf_counter()
    await work()
    taken, here = time.perf_counter() - began, time.thread_time() - here
    there = await _processor_seconds(postgres) - before
    return tuple(seconds / LOOK_UPS * 1e6 for seconds in (taken, here, there))  # type: ignore[return-value]  # three


async def _processor_seconds(postgres: Postgres) -> float:
    """Returns what PostgreSQL's processes for callers have used so far."""
    async with postgres.read() as connection:
        rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    return sum(map(_nanoseconds, (row["pid"] for row in rows))) / 1e9


def _nanoseconds(process: int) -> int:
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0])


def _show(medians: dict[tuple[int, str], tuple[float, ...]]) -> None:
    table = Table("at once", "way", "us on the clock", "of the processor here", "PostgreSQL's")
    for (at_once, name), figures in medians.items():
        table.add_row(str(at_once), name, *(f"{figure:.0f}" for figure in figures))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    uvloop.run(main())
