"""What is left of a person when she has been erased: nothing that leads to her, and every kopeck."""

from uuid import UUID

import pytest

from demo.search_stores import rows_by_table, spellings, tables_holding
from svoykrug_server.kit.errors import WarehouseUnavailable
from svoykrug_server.parts import kept_of_people
from svoykrug_server.storage.personal_data import Delete, Store
from svoykrug_server.users.personal_data.composition import PersonalData
from svoykrug_server.users.personal_data.model import Erasure, ErasureState
from tests.callers import CallBy, person
from tests.purchases.circle import Circle
from tests.users.personal_data.life import PEER, Life, live


async def settle(circle: Circle) -> None:
    """Ships everything and proves it equal."""
    await circle.relay.step()
    await circle.reconciler.step()


async def proofs(circle: Circle) -> list[tuple[object, ...]]:
    """Returns what both stores were proven to hold of each business and day."""
    await circle.reconciler.touch_all()
    await circle.reconciler.prove_changed()
    async with circle.postgres.read() as connection:
        rows = await connection.fetch(
            "SELECT business_id, day, postgres_count, postgres_hash, clickhouse_count, clickhouse_hash, "
            "disputed_since_time FROM proven_days ORDER BY business_id, day"
        )
    return [tuple(row) for row in rows]


async def erase(personal_data: PersonalData, user_id: UUID) -> Erasure:
    """Has a person erased, and returns the receipt."""
    ordered = await personal_data.use_cases.deletion.erase_user(CallBy(person()), user_id)
    assert await personal_data.eraser.attempt()
    return await personal_data.use_cases.deletion.receipt(ordered.id)


def traces(her: Life) -> list[str]:
    """Returns every text by which she would be found."""
    phones = [spelling for phone in (her.member.phone, her.former_phone) for spelling in spellings(phone)]
    return [*phones, her.name, her.latin_name, her.email, *her.external_ids, str(her.user_id), her.user_id.hex]


@pytest.fixture
async def businesses(circle: Circle) -> list[UUID]:
    return [await circle.add_business(), await circle.add_business()]


@pytest.fixture
async def anna(circle: Circle, businesses: list[UUID]) -> Life:
    return await live(circle, "+79161234567", "Аннушка", "annushka", businesses)


@pytest.fixture
async def bella(circle: Circle, businesses: list[UUID]) -> Life:
    return await live(circle, "+79267654321", "Беллочка", "bellochka", businesses)


async def test_nothing_in_either_store_leads_to_her_any_more(
    circle: Circle, personal_data: PersonalData, anna: Life
) -> None:
    await settle(circle)
    before = await tables_holding(circle.postgres, circle.warehouse, traces(anna))
    assert {text for text, _ in before} > {anna.name, anna.latin_name, anna.email, *anna.external_ids}

    await erase(personal_data, anna.user_id)

    left = await tables_holding(circle.postgres, circle.warehouse, [*traces(anna), PEER])
    assert left == {(str(anna.user_id), table) for table in ("audit_events", "number_bans")}


async def test_every_table_about_people_held_something_of_her_and_the_receipt_says_what_became_of_it(
    circle: Circle, personal_data: PersonalData, anna: Life
) -> None:
    await settle(circle)
    receipt = await erase(personal_data, anna.user_id)
    assert receipt.state is ErasureState.DONE
    declared = kept_of_people(circle.hashes)
    told = {(table.store, table.table): table for table in receipt.tables}
    assert set(told) == {(rows.store, rows.table) for rows in declared.kept}
    for rows in declared.personal:
        table = told[Store.POSTGRES, rows.table]
        counted = table.deleted_count if isinstance(rows.erasure, Delete) else table.anonymized_count
        assert counted > 0, rows.table
    for rows_there in declared.warehouse:
        assert told[Store.CLICKHOUSE, rows_there.table].anonymized_count > 0, rows_there.table
    assert told[Store.POSTGRES, "purchase_entries"].anonymized_count == 4
    assert told[Store.CLICKHOUSE, "purchases"].anonymized_count == 4
    assert told[Store.POSTGRES, "auth_sessions"].deleted_count == 2


async def test_nobody_else_loses_anything(circle: Circle, personal_data: PersonalData, anna: Life, bella: Life) -> None:
    before = [await rows_by_table(circle.postgres, text) for text in traces(bella)]
    await erase(personal_data, anna.user_id)
    assert [await rows_by_table(circle.postgres, text) for text in traces(bella)] == before


async def test_both_stores_go_on_holding_the_same_purchases(
    circle: Circle, personal_data: PersonalData, anna: Life
) -> None:
    await settle(circle)
    before = await proofs(circle)
    await erase(personal_data, anna.user_id)
    after = await proofs(circle)
    assert after == before
    assert after
    assert all(day[2:4] == day[4:6] and day[6] is None for day in after)


async def test_purchases_not_yet_shipped_when_she_is_erased_are_shipped_and_equal(
    circle: Circle, personal_data: PersonalData, anna: Life
) -> None:
    await erase(personal_data, anna.user_id)
    await settle(circle)
    assert all(day[2:4] == day[4:6] for day in await proofs(circle))
    assert await circle.ledger() == await circle.warehouse_rows()


async def test_a_receipt_says_nothing_about_her(circle: Circle, personal_data: PersonalData, anna: Life) -> None:
    receipt = await erase(personal_data, anna.user_id)
    async with circle.postgres.read() as connection:
        row = await connection.fetchval("SELECT kept::text FROM erasures AS kept WHERE id = $1", receipt.id)
    assert not [trace for trace in (*traces(anna), str(anna.member.member_id)) if trace in row]


async def test_while_the_warehouse_is_away_it_is_tried_again_a_little_later_each_time(
    circle: Circle, personal_data: PersonalData, anna: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise WarehouseUnavailable

    ordered = await personal_data.use_cases.deletion.erase_user(CallBy(person()), anna.user_id)
    with monkeypatch.context() as patched:
        patched.setattr(circle.warehouse, "query", away)
        assert await personal_data.eraser.attempt()
        assert not await personal_data.eraser.attempt()
        circle.pass_time(60)
        assert await personal_data.eraser.attempt()
        circle.pass_time(60)
        assert not await personal_data.eraser.attempt()
    circle.pass_time(60)
    assert await personal_data.eraser.attempt()
    assert (await personal_data.use_cases.deletion.receipt(ordered.id)).state is ErasureState.DONE
