"""What she is shown of herself: everything, as it stood at one moment, and of others nothing."""

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest

from svoykrug_server.kit.errors import Limited, PermissionDenied, WarehouseUnavailable
from svoykrug_server.parts import kept_of_people
from svoykrug_server.storage.personal_data import Store
from svoykrug_server.users.personal_data.composition import PersonalData
from svoykrug_server.users.personal_data.export import MOST_ROWS, DataExport
from svoykrug_server.users.personal_data.model import ExportedTable, ExportPart
from tests.callers import CallBy, person
from tests.purchases.circle import Circle
from tests.users.people import audited, join
from tests.users.personal_data.life import Life, live

Rows = list[tuple[Store, str, dict[str, Any]]]


async def whole(export: DataExport, user_id: UUID) -> tuple[Rows, tuple[ExportedTable, ...]]:
    """Returns every row of an export, and the tables it ended with."""
    parts = [part async for part in export.export(CallBy(person(user_id)))]
    assert all(not part.tables for part in parts[:-1])
    return [(row.store, row.table, dict(row.columns)) for part in parts for row in part.rows], parts[-1].tables


@pytest.fixture
def export(personal_data: PersonalData) -> DataExport:
    return personal_data.use_cases.export


@pytest.fixture
async def businesses(circle: Circle) -> list[UUID]:
    return [await circle.add_business(), await circle.add_business()]


@pytest.fixture
async def anna(circle: Circle, businesses: list[UUID]) -> Life:
    her = await live(circle, "+79161234567", "Аннушка", "annushka", businesses)
    await circle.relay.step()
    return her


async def test_every_table_is_shown_with_all_that_is_hers(circle: Circle, export: DataExport, anna: Life) -> None:
    rows, tables = await whole(export, anna.user_id)
    declared = kept_of_people(circle.hashes)
    shown = [(table.store, table.table) for table in tables]
    assert shown == [(kept.store, kept.table) for kept in declared.kept]
    counted = Counter((store, table) for store, table, _ in rows)
    told: Counter[tuple[Store, str]] = Counter()
    for table in tables:
        told[table.store, table.table] += table.row_count
    assert {kept: count for kept, count in told.items() if count} == dict(counted)
    without_rows = {kept.table for kept in declared.personal} - {table for _, table in counted}
    assert without_rows == {"erasures"}
    assert counted[Store.CLICKHOUSE, "purchases"] == counted[Store.POSTGRES, "purchase_entries"] == 4


async def test_values_are_texts_numbers_are_exact_and_secrets_are_only_named(export: DataExport, anna: Life) -> None:
    rows, _ = await whole(export, anna.user_id)
    profile = next(row for _, table, row in rows if table == "users" and "phone" in row)
    assert (profile["phone"], profile["display_name"], profile["birth_date"]) == (
        anna.member.phone,
        anna.name,
        "1988-03-08",
    )
    assert profile["create_time"] == "2026-06-01T12:00:00Z"
    link = next(row for _, table, row in rows if table == "member_links")
    assert link["member_id"] == str(anna.member.member_id)
    session = next(row for _, table, row in rows if table == "auth_sessions")
    assert (session["current_hash"], session["salt"], session["previous_hash"]) == ("(secret)", "(secret)", None)
    bought = next(row for store, table, row in rows if (store, table) == (Store.CLICKHOUSE, "purchases"))
    assert bought["purchase_time"].endswith("Z")
    assert bought["amount_minor"].lstrip("-").isdecimal()


async def test_nothing_about_anybody_else_is_shown(
    circle: Circle, export: DataExport, anna: Life, businesses: list[UUID]
) -> None:
    bella = await live(circle, "+79267654321", "Беллочка", "bellochka", businesses)
    rows, _ = await whole(export, anna.user_id)
    text = str(rows)
    hers = (bella.member.phone, bella.name, bella.email, str(bella.user_id), str(bella.member.member_id))
    assert not [trace for trace in (*hers, *bella.external_ids) if trace in text]


async def test_it_shows_one_moment_whatever_is_written_meanwhile(
    circle: Circle, export: DataExport, anna: Life, businesses: list[UUID]
) -> None:
    async with aclosing(export.export(CallBy(person(anna.user_id)))) as parts:
        seen = [await anext(parts)]
        await circle.buy(businesses[0], anna.member, "while it was read")
        async with circle.postgres.transaction() as tx:
            await (await tx.driver()).execute("UPDATE users SET display_name = 'renamed'")
        seen += [part async for part in parts]
    text = str(seen)
    assert "while it was read" not in text
    assert "renamed" not in text


async def test_parts_are_small_however_much_there_is(circle: Circle, export: DataExport, anna: Life) -> None:
    async with circle.postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "INSERT INTO auth_wrong_guesses (phone, guess_time) SELECT $1, now() FROM generate_series(1, 5000)",
            anna.member.phone,
        )
    sizes = [len(part.rows) async for part in export.export(CallBy(person(anna.user_id)))]
    assert max(sizes) == MOST_ROWS
    assert sum(sizes) > 5_000


async def test_a_member_with_many_pages_in_the_warehouse_sees_each_row_once(
    circle: Circle, export: DataExport, anna: Life
) -> None:
    await circle.warehouse.command(
        "INSERT INTO churn_scores (scoring_id, member_id) "
        "SELECT generateUUIDv4(), {member_id:Int64} FROM numbers(1234)",
        {"member_id": anna.member.member_id},
    )
    rows, _ = await whole(export, anna.user_id)
    ids = [row["scoring_id"] for _, table, row in rows if table == "churn_scores"]
    assert len(ids) == len(set(ids)) == 1_235


async def test_a_reader_who_stops_leaves_no_connection_behind(circle: Circle, export: DataExport, anna: Life) -> None:
    for _ in range(6):
        async with aclosing(export.export(CallBy(person(anna.user_id)))) as parts:
            assert isinstance(await anext(parts), ExportPart)
    async with circle.postgres.read() as connection:
        left = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL "
            "AND pid <> pg_backend_pid() AND application_name = 'svoykrug-dedicated'"
        )
    assert left == 0


async def test_a_fifth_export_waits_for_its_turn(circle: Circle, export: DataExport) -> None:
    people = [await join(circle.postgres, circle.clock.now()) for _ in range(5)]
    running = [export.export(CallBy(person(user_id))) for user_id in people]
    for parts in running[:4]:
        await anext(parts)
    fifth = asyncio.ensure_future(anext(running[4]))
    await asyncio.wait([fifth], timeout=0.2)
    assert not fifth.done()
    await running[0].aclose()
    assert (await fifth).rows
    for parts in running[1:]:
        await parts.aclose()


async def test_it_is_audited(circle: Circle, export: DataExport, anna: Life) -> None:
    await whole(export, anna.user_id)
    assert ("DATA_EXPORTED", {}) in await audited(circle.postgres, anna.user_id)


async def test_half_an_export_is_none(
    circle: Circle, export: DataExport, anna: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise WarehouseUnavailable

    monkeypatch.setattr(circle.warehouse, "query", away)
    with pytest.raises(WarehouseUnavailable):
        await whole(export, anna.user_id)


async def test_who_has_been_erased_is_shown_nothing(personal_data: PersonalData, anna: Life) -> None:
    await personal_data.use_cases.deletion.erase_user(CallBy(person()), anna.user_id)
    assert await personal_data.eraser.attempt()
    with pytest.raises(PermissionDenied):
        await whole(personal_data.use_cases.export, anna.user_id)


async def test_nobody_exports_twice_at_once_and_so_takes_the_turns_of_all_others(
    export: DataExport, anna: Life
) -> None:
    async with aclosing(export.export(CallBy(person(anna.user_id)))) as under_way:
        await anext(under_way)
        with pytest.raises(Limited) as refusal:
            await whole(export, anna.user_id)
        assert refusal.value.retry_after is not None
    assert (await whole(export, anna.user_id))[0]
