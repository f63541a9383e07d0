"""What is let go of the warehouse, what stays, and that nothing takes it for a loss."""

import asyncio
import json
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import Unavailable
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.schedule.model import JobKind, Timetable
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.operations.schedule.scheduler import Scheduler
from svoykrug_server.purchases.model import NewRefund
from svoykrug_server.purchases.rebuild import RebuildRequest
from svoykrug_server.purchases.retention_repository import RetentionRepository
from tests.purchases.circle import IMPORTER, NOON, TIME_ZONE, Circle, Member

HORIZON = date(2024, 5, 1)
"""24 months before NOON, as Moscow counts them."""
MIDNIGHT = datetime(2024, 4, 30, 21, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def may(clock: ManualClock) -> None:
    clock.set(NOON)


async def kept_from(circle: Circle) -> date | None:
    async with circle.postgres.read() as connection:
        horizon = await RetentionRepository(TIME_ZONE).horizon(connection)
    return None if horizon is None else horizon.kept_from


async def held(circle: Circle) -> set[object]:
    """Returns the ids of the entries that the warehouse holds."""
    return {row[0] for row in await circle.warehouse_rows()}


async def proven(circle: Circle) -> list[date]:
    async with circle.postgres.read() as connection:
        return [row["day"] for row in await connection.fetch("SELECT day FROM proven_days ORDER BY day")]


async def ship(circle: Circle) -> None:
    circle.pass_time()
    await circle.relay.step()
    await circle.reconciler.step()


async def refund(circle: Circle, business_id: UUID, purchase_id: UUID, name: str, amount_minor: int) -> UUID:
    _, given, _ = await circle.refunds.refund(
        IMPORTER, business_id, NewRefund(purchase_id, None, name, amount_minor, "", circle.clock.now())
    )
    return given.id


async def many_years(circle: Circle) -> tuple[UUID, Member, list[UUID]]:
    """Has a member buy twice before the horizon and twice after, and everything proven."""
    business_id, member = await circle.add_business(), await circle.add_member()
    times = (MIDNIGHT - timedelta(days=300), MIDNIGHT - MOMENT, MIDNIGHT, NOON)
    bought = [await circle.buy(business_id, member, f"r{number}", 100, at) for number, at in enumerate(times)]
    await ship(circle)
    return business_id, member, bought


async def test_what_is_before_the_horizon_goes_but_for_the_first_purchase(circle: Circle) -> None:
    _, _, bought = await many_years(circle)

    await circle.retention.let_go()

    assert await held(circle) == {bought[0], bought[2], bought[3]}
    assert await kept_from(circle) == HORIZON
    assert len(await circle.ledger()) == 4


async def test_a_circle_that_is_younger_than_the_setting_has_no_horizon(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "receipt", 100, MIDNIGHT)
    await ship(circle)

    await circle.retention.let_go()

    assert await kept_from(circle) is None
    assert len(await held(circle)) == 1


async def test_the_setting_0_keeps_everything(circle: Circle) -> None:
    _, _, bought = await many_years(circle)

    await circle.make_retention(0).let_go()

    assert await held(circle) == set(bought)
    assert await kept_from(circle) is None


async def test_a_longer_setting_does_not_move_the_horizon_back(circle: Circle) -> None:
    await many_years(circle)
    await circle.retention.let_go()

    await circle.make_retention(120).let_go()

    assert await kept_from(circle) == HORIZON


async def test_what_was_let_go_is_disputed_by_no_proof_also_when_everything_is_read_again(circle: Circle) -> None:
    _, _, bought = await many_years(circle)
    await circle.retention.let_go()

    await circle.reconciler.touch_all()
    await circle.reconciler.step()
    await circle.reconciler.prove_again(None, [])

    assert await held(circle) == {bought[0], bought[2], bought[3]}
    assert await proven(circle) == [HORIZON, NOON.date()]
    assert circle.metric("pipeline_mismatched_days_total") == 0


async def test_a_late_purchase_from_before_the_horizon_goes_the_next_night_and_is_never_disputed(
    circle: Circle,
) -> None:
    business_id, member, bought = await many_years(circle)
    await circle.retention.let_go()
    late = await circle.buy(business_id, member, "late", 100, MIDNIGHT - timedelta(days=100))
    await ship(circle)
    await circle.reconciler.touch_all()
    await circle.reconciler.step()
    before = await held(circle)

    await circle.make_retention(0).let_go()

    assert before == {bought[0], late, bought[2], bought[3]}
    assert await held(circle) == {bought[0], bought[2], bought[3]}
    assert circle.metric("pipeline_mismatched_days_total") == 0


async def test_a_late_purchase_that_is_the_first_stays_beside_the_one_that_was_known_before_it(circle: Circle) -> None:
    business_id, member, bought = await many_years(circle)
    await circle.retention.let_go()
    first = await circle.buy(business_id, member, "first", 100, MIDNIGHT - timedelta(days=900))
    await ship(circle)

    await circle.retention.let_go()

    assert await held(circle) == {first, bought[0], bought[2], bought[3]}


async def test_a_first_purchase_that_was_given_back_stays_and_so_does_the_first_that_was_kept(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    circle.clock.set(MIDNIGHT - timedelta(days=900))
    bought = []
    for number in range(4):
        bought.append(await circle.buy(business_id, member, f"r{number}", 100, circle.clock.now()))
        await circle.relay.step()
        circle.pass_time(86_400)
    back = await refund(circle, business_id, bought[0], "back", 100)
    circle.clock.set(NOON)
    await ship(circle)

    await circle.retention.let_go()

    assert await held(circle) == {bought[0], back, bought[1]}


async def test_a_first_purchase_given_back_years_later_brings_the_second_in_its_place(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    circle.clock.set(MIDNIGHT - timedelta(days=900))
    bought = []
    for number in range(3):
        bought.append(await circle.buy(business_id, member, f"r{number}", 100, circle.clock.now()))
        await circle.relay.step()
        circle.pass_time(86_400)
    circle.clock.set(NOON)
    await ship(circle)
    await circle.retention.let_go()
    first_alone = await held(circle)
    back = await refund(circle, business_id, bought[0], "back", 100)
    await ship(circle)

    for _ in range(2):
        await circle.retention.let_go()

    assert first_alone == {bought[0]}
    assert await held(circle) == {bought[0], back, bought[1]}


async def test_a_rebuilt_warehouse_holds_what_it_held_and_nothing_from_before_the_horizon(circle: Circle) -> None:
    await many_years(circle)
    await circle.retention.let_go()
    before = await circle.warehouse_rows()
    await circle.warehouse.command("DROP TABLE purchases SYNC")

    rebuild_id = await RebuildRequest(circle.postgres, circle.pipeline, circle.clock).ask()
    await circle.rebuild.run(rebuild_id)
    await circle.reconciler.step()

    assert await circle.warehouse_rows() == before
    assert circle.metric("pipeline_mismatched_days_total") == 0


async def test_a_day_that_would_go_and_is_not_right_yet_keeps_the_month(circle: Circle) -> None:
    _, _, bought = await many_years(circle)
    await circle.warehouse.command(
        "ALTER TABLE purchases UPDATE amount_minor = 99 WHERE purchase_time < '2024-01-01' SETTINGS mutations_sync = 1"
    )
    await circle.reconciler.touch_all()
    await circle.reconciler.prove_changed()

    with pytest.raises(Unavailable) as refused:
        await circle.retention.let_go()
    kept = await kept_from(circle)
    await circle.reconciler.repair()
    await circle.retention.let_go()

    assert (refused.value.reason, kept) == ("STORES_DISAGREE", None)
    assert await held(circle) == {bought[0], bought[2], bought[3]}
    assert (await circle.warehouse_rows())[0][5] == 100


async def test_a_month_later_one_more_month_goes(circle: Circle) -> None:
    _, _, bought = await many_years(circle)
    await circle.retention.let_go()
    circle.pass_time(31 * 86_400)

    await circle.retention.let_go()

    assert await kept_from(circle) == date(2024, 6, 1)
    assert await held(circle) == {bought[0], bought[3]}


@pytest.mark.parametrize("step", ["recorded", "restored", "chosen", "deleted"])
async def test_a_night_that_is_killed_at_any_step_is_done_by_the_next(
    postgres_url: str, data_dir: Path, step: str
) -> None:
    died = await run_worker(postgres_url, data_dir, f"retention.{step}:1")
    ended = await run_worker(postgres_url, data_dir, "")

    assert died is None
    # The first purchase, which was given back at last; the second, which is the first now; and two years with a refund.
    assert ended == {"left": [0, 1, *range(9, 18)], "entries": 18, "mismatches": 0}


async def run_worker(postgres_url: str, data_dir: Path, failpoints: str) -> "dict[str, Any] | None":
    """Lets go in a process of its own; returns what it says, None when it was killed."""
    command = (sys.executable, "-m", "tests.purchases.retention_worker", postgres_url, str(data_dir), failpoints)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


async def test_two_workers_that_let_go_at_once_do_it_once(circle: Circle) -> None:
    _, _, bought = await many_years(circle)

    await asyncio.gather(circle.retention.let_go(), circle.make_retention(24).let_go())

    assert await held(circle) == {bought[0], bought[2], bought[3]}
    assert len(await circle.warehouse_rows()) == 3


async def test_the_schedule_lets_go_once_a_night(circle: Circle, clock: ManualClock) -> None:
    _, _, bought = await many_years(circle)
    timetable = Timetable(ZoneInfo(TIME_ZONE), 3)
    schedulers = [
        Scheduler(
            ScheduleRepository(circle.postgres),
            OperationsRepository(circle.postgres),
            {JobKind.RETENTION: circle.retention.let_go},
            timetable,
            clock,
        )
        for _ in range(2)
    ]
    assert not await schedulers[0].run_due(JobKind.RETENTION)
    clock.advance(timedelta(days=1))

    done = await asyncio.gather(*(each.run_due(JobKind.RETENTION) for each in schedulers))

    assert sorted(done) == [False, True]
    assert await held(circle) == {bought[0], bought[2], bought[3]}
