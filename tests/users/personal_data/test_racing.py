"""What happens beside an erasure: an attempt of another server, a change of mind, a purchase by wallet code."""

import asyncio
from datetime import timedelta

from svoykrug_server.kit.errors import DomainError
from svoykrug_server.users.personal_data.composition import PersonalData
from svoykrug_server.users.personal_data.model import ErasureState
from tests.callers import CallBy, person
from tests.purchases.circle import NOON, Circle, rows_of
from tests.users.people import join
from tests.users.personal_data.conftest import personal_data_of
from tests.users.personal_data.life import HASH, TABLES, add
from tests.waiting import until


async def test_of_two_servers_one_erases(circle: Circle, personal_data: PersonalData) -> None:
    other = personal_data_of(circle)
    for _ in range(5):
        anna = await circle.add_member()
        ordered = await personal_data.use_cases.deletion.erase_user(CallBy(person()), anna.user_id)
        assert sorted(await asyncio.gather(personal_data.eraser.attempt(), other.eraser.attempt())) == [False, True]
        assert (await other.use_cases.deletion.receipt(ordered.id)).state is ErasureState.DONE


async def test_an_attempt_that_outlived_its_lease_erases_nothing_twice(
    circle: Circle, personal_data: PersonalData
) -> None:
    other, anna = personal_data_of(circle), await circle.add_member()
    ordered = await personal_data.use_cases.deletion.erase_user(CallBy(person()), anna.user_id)
    slow = asyncio.ensure_future(personal_data.eraser.attempt())
    circle.pass_time(60)
    await asyncio.gather(slow, other.eraser.attempt())
    circle.pass_time(3_600)
    assert not await other.eraser.attempt()
    async with circle.postgres.read() as connection:
        events = await connection.fetchval("SELECT count(*) FROM audit_events WHERE action = 'ERASURE_DONE'")
    assert events == 1
    assert (await other.use_cases.deletion.receipt(ordered.id)).state is ErasureState.DONE


async def test_a_change_of_mind_at_the_last_moment_is_in_time_or_too_late_and_never_half(
    circle: Circle, personal_data: PersonalData
) -> None:
    deletion = personal_data.use_cases.deletion
    for _ in range(10):
        anna = await join(circle.postgres, circle.clock.now())
        asked = await deletion.delete_me(CallBy(person(anna)))
        circle.clock.advance(timedelta(days=30))
        restored, _ = await asyncio.gather(
            deletion.restore_me(CallBy(person(anna))), personal_data.eraser.attempt(), return_exceptions=True
        )
        circle.pass_time(60)
        await personal_data.eraser.attempt()
        state = (await deletion.receipt(asked.id)).state
        assert state is (ErasureState.DONE if isinstance(restored, DomainError) else ErasureState.CANCELLED)


async def test_a_purchase_by_wallet_code_is_not_given_up_for_an_erasure(
    circle: Circle, personal_data: PersonalData
) -> None:
    business_id, anna, codes = await circle.add_business(), await circle.add_member(), TABLES["wallet_codes"]
    async with circle.postgres.transaction() as tx:
        await add(tx, "wallet_codes", code_hash=HASH, user_id=anna.user_id, expire_time=NOON)
    ordered = await personal_data.use_cases.deletion.erase_user(CallBy(person()), anna.user_id)

    async def erasure_waits() -> bool:
        async with circle.postgres.read() as connection:
            return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

    async with circle.postgres.transaction() as tx:
        await tx.execute(codes.update().where(codes.c.user_id == anna.user_id).values(use_time=NOON))
        attempt = asyncio.ensure_future(personal_data.eraser.attempt())
        await until(erasure_waits)
        found = await circle.writer._ledger.selling_business(tx, business_id)
        assert found is not None
        judged = circle.writer.judge(rows_of(("receipt-1", anna.phone, 1_000, NOON)))
        written = await circle.writer._write_good(tx, found[0], judged, keep_unknown=False, forget=False)
        assert written.recorded_count == 1
        await attempt
    circle.pass_time(60)
    assert await personal_data.eraser.attempt()
    assert (await personal_data.use_cases.deletion.receipt(ordered.id)).state is ErasureState.DONE
