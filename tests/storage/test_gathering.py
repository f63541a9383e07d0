"""Many look-ups at a time share round trips, and each gets its own answer, read after it was asked for."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from svoykrug_server.kit.errors import DomainError, StoreUnavailable
from svoykrug_server.storage import gathering
from svoykrug_server.storage.gathering import FEW, MOST_KEYS, MOST_TRIPS, Gathering
from tests.waiting import until


class Store:
    """Answers `key -> key * 10` to even keys, each trip when it is let."""

    def __init__(self) -> None:
        self.trips: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.error: Exception | None = None

    async def read_one(self, key: int) -> int | None:
        """Asks for one key, as for each of some."""
        return (await self.read_each([key])).get(key)

    async def read_each(self, keys: Sequence[int]) -> Mapping[int, int]:
        """Notes what is asked, and answers once it is let."""
        self.trips.append(list(keys))
        self.gates.append(asyncio.Event())
        await self.gates[-1].wait()
        if self.error is not None:
            raise self.error
        return {key: key * 10 for key in keys if key % 2 == 0}

    async def let(self, trip: int) -> None:
        """Lets a trip end, once it is under way."""
        await until(lambda: len(self.gates) > trip)
        self.gates[trip].set()


@pytest.fixture
def store() -> Store:
    """What is asked."""
    return Store()


@pytest.fixture
def gathered(store: Store, monkeypatch: pytest.MonkeyPatch) -> Gathering[int, int]:
    """Look-ups in `store` that all share, patient enough for any machine."""
    monkeypatch.setattr(gathering, "FEW", 0)
    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 3600.0)
    return Gathering(store.read_one, store.read_each)


def asking(gathered: Gathering[int, int], *keys: int) -> list[asyncio.Task[int | None]]:
    return [asyncio.ensure_future(gathered.get(key)) for key in keys]


async def test_a_few_go_alone_and_end_their_statements_with_their_calls(store: Store) -> None:
    gathered = Gathering(store.read_one, store.read_each)
    first, gone, *others = asking(gathered, *range(2, 2 + FEW))
    await until(lambda: len(store.trips) == FEW)
    assert store.trips == [[key] for key in range(2, 2 + FEW)]
    gone.cancel()
    await asyncio.wait([gone])
    for gate in store.gates:
        gate.set()
    assert await first == 20
    assert await asyncio.gather(*others) == [key * 10 if key % 2 == 0 else None for key in range(4, 2 + FEW)]
    # Those who are gone are not counted.
    assert gone.cancelled()
    tasks = asking(gathered, *range(20, 20 + FEW))
    await until(lambda: len(store.trips) == 2 * FEW)
    for gate in store.gates:
        gate.set()
    await asyncio.gather(*tasks)
    assert store.trips[FEW:] == [[key] for key in range(20, 20 + FEW)]


async def test_when_a_few_are_in_progress_the_others_share(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 3600.0)
    gathered = Gathering(store.read_one, store.read_each)
    few, many = list(range(2, 2 + FEW)), [100, 102, 104]
    tasks = asking(gathered, *few, *many)
    for trip in range(FEW + 2):
        await store.let(trip)
    await asyncio.gather(*tasks)
    assert [task.result() for task in tasks[FEW:]] == [1000, 1020, 1040]
    assert store.trips[FEW:] == [[100], [102, 104]]


async def test_of_those_who_come_in_the_same_moment_all_but_the_first_go_together(
    gathered: Gathering[int, int], store: Store
) -> None:
    tasks = asking(gathered, 2, 3, 4, 2)
    await store.let(0)
    await store.let(1)
    assert await asyncio.gather(*tasks) == [20, None, 40, 20]
    assert store.trips == [[2], [3, 4, 2]]


async def test_who_comes_while_others_are_asked_for_is_asked_for_afterwards(
    gathered: Gathering[int, int], store: Store
) -> None:
    first = asking(gathered, 2)
    await until(lambda: len(store.trips) == 1)
    # The same key again: what is read now may have been read before she asked.
    late = asking(gathered, 2, 4)
    await asyncio.sleep(0)
    assert store.trips == [[2]]
    await store.let(0)
    await store.let(1)
    assert await asyncio.gather(*first, *late) == [20, 20, 40]
    assert store.trips == [[2], [2, 4]]


async def test_a_trip_asks_for_no_more_than_its_most_keys(gathered: Gathering[int, int], store: Store) -> None:
    keys = list(range(0, 5 * MOST_KEYS, 2))
    tasks = asking(gathered, *keys)
    for trip in range(4):
        await store.let(trip)
    assert await asyncio.gather(*tasks) == [key * 10 for key in keys]
    assert list(map(len, store.trips)) == [1, MOST_KEYS, MOST_KEYS, MOST_KEYS // 2 - 1]


async def test_who_no_longer_waits_is_not_asked_for_and_disturbs_nobody(
    gathered: Gathering[int, int], store: Store
) -> None:
    first, gone, staying = asking(gathered, 2, 4, 6)
    await store.let(0)
    await until(lambda: len(store.trips) == 2)
    never_asked, late = asking(gathered, 8, 10)
    await asyncio.sleep(0)
    for task in (gone, never_asked):
        task.cancel()
    await store.let(1)
    await store.let(2)
    assert [await task for task in (first, staying, late)] == [20, 60, 100]
    assert gone.cancelled()
    assert never_asked.cancelled()
    assert store.trips == [[2], [4, 6], [10]]


async def test_when_all_have_gone_the_next_one_is_asked_for(gathered: Gathering[int, int], store: Store) -> None:
    first, gone = asking(gathered, 2, 4)
    await until(lambda: len(store.trips) == 1)
    gone.cancel()
    await store.let(0)
    assert await first == 20
    (late,) = asking(gathered, 6)
    await store.let(1)
    assert await late == 60
    assert store.trips == [[2], [6]]


async def test_a_failure_is_everybodys_of_its_trip_and_nobody_elses(
    gathered: Gathering[int, int], store: Store
) -> None:
    store.error = StoreUnavailable()
    tasks = asking(gathered, 2, 4, 6)
    await store.let(0)
    await store.let(1)
    for task in tasks:
        with pytest.raises(StoreUnavailable):
            await task
    store.error = None
    (task,) = asking(gathered, 2)
    await store.let(2)
    assert await task == 20


async def test_a_trip_that_takes_too_long_ends_with_its_deadline(
    gathered: Gathering[int, int], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "LONGEST_SECONDS", 0.05)
    first, *tasks = asking(gathered, 2, 4, 6)
    await store.let(0)
    assert await first == 20
    for task in tasks:
        with pytest.raises(DomainError) as refusal:
            await task
        assert refusal.value.reason == "DEADLINE_EXCEEDED"
    monkeypatch.undo()
    (task,) = asking(gathered, 2)
    await store.let(2)
    assert await task == 20


async def test_a_trip_that_hangs_holds_up_nobody_for_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 0.001)
    monkeypatch.setattr(gathering, "FEW", 0)
    gathered = Gathering(store.read_one, store.read_each)
    tasks: list[asyncio.Task[int | None]] = []
    for trip in range(MOST_TRIPS):
        tasks += asking(gathered, 2 * trip)
        await until(lambda trip=trip: len(store.trips) == trip + 1)  # type: ignore[misc]  # bound now
    tasks += asking(gathered, 100)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(store.trips) == MOST_TRIPS
    # The first one hangs on; the last comes back, and the one who waited goes out.
    await store.let(MOST_TRIPS - 1)
    await store.let(MOST_TRIPS)
    assert await asyncio.gather(*tasks[-2:]) == [20 * (MOST_TRIPS - 1), 1000]
    assert not tasks[0].done()
    for gate in store.gates:
        gate.set()
    assert await asyncio.gather(*tasks[:-2]) == [20 * trip for trip in range(MOST_TRIPS - 1)]


async def test_those_who_wait_for_a_trip_that_hangs_need_nobody_else_to_come(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(gathering, "FEW", 0)
    gathered = Gathering(store.read_one, store.read_each)
    stuck = asking(gathered, 2)
    await until(lambda: len(store.trips) == 1)
    late = asking(gathered, 4, 6)
    await store.let(1)
    assert await asyncio.gather(*late) == [40, 60]
    assert not stuck[0].done()
    await store.let(0)
    assert await stuck[0] == 20
    # All of them have ended: who comes now is asked for at once.
    (task,) = asking(gathered, 8)
    await store.let(2)
    assert await task == 80
    assert store.trips == [[2], [4, 6], [8]]
