"""Snapshots whose rows the warehouse has lost: refused, never empty; made again to the last bit, or lost for good."""

from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update
from svoykrug.analytics.v1.snapshot_pb2 import (
    SNAPSHOT_STATE_BEING_REMADE,
    SNAPSHOT_STATE_LOST,
    SNAPSHOT_STATE_READY,
)

from svoykrug_server.analytics import build_rows
from svoykrug_server.analytics.convert import snapshot_to_proto
from svoykrug_server.analytics.model import MemberPage, Snapshot
from svoykrug_server.analytics.segments import Segment
from svoykrug_server.analytics.standing import LostReason
from svoykrug_server.storage.schema.analytics import snapshots
from tests.analytics.circles import BUSINESSES, CUTOFF, ingest, random_circle
from tests.analytics.horizon import keep_from
from tests.analytics.remaking.lost import (
    BEING_REMADE,
    EARLIER,
    Remakers,
    exchange,
    lose,
    lose_one,
    loss_of,
    put_away,
    refusal_of,
)
from tests.analytics.snapshots import Analytics
from tests.callers import admin

STRANGER = 2**62
A_KOPECK_MORE_EACH = "SELECT * REPLACE (amount_minor + 1 AS amount_minor) FROM purchases"


async def make_wrong(analytics: Analytics) -> None:
    """Makes every amount in the warehouse wrong; `exchange` brings the right ones back."""
    await put_away(analytics, "purchases", A_KOPECK_MORE_EACH)


async def all_pages(pages: AsyncIterator[MemberPage]) -> list[object]:
    return [page.members async for page in pages]


def reads(analytics: Analytics, first: Snapshot, second: Snapshot, user_id: UUID) -> list[Awaitable[object]]:
    """Returns every call that reads rows of snapshots, named or the latest."""
    service, caller = analytics.service, admin()
    return [
        service.summary(caller, None, first.id),
        service.summary(caller, None, None),
        service.members_page(caller, None, first.id, None, 10, ""),
        service.members_page(caller, None, None, Segment.NEW, 10, ""),
        all_pages(service.stream_members(caller, None, second.id, None)),
        service.movements(caller, None, first.id, second.id),
        analytics.insight.get(caller, None, user_id, None),
        analytics.insight.history(caller, None, user_id),
    ]


async def a_member(analytics: Analytics, snapshot: Snapshot) -> UUID:
    row = (await analytics.rows.page(snapshot.build_id, None, None, 1))[0]
    return (await analytics.join([row.member_id]))[row.member_id]


async def test_what_is_gone_is_refused_at_once_and_made_again_to_the_last_bit(
    analytics: Analytics, two: tuple[Snapshot, Snapshot]
) -> None:
    user_id, remakers = await a_member(analytics, two[1]), Remakers(analytics)
    before = [await read for read in reads(analytics, *two, user_id)]
    contents = [await analytics.rows.contents(snapshot.build_id) for snapshot in two]
    rows = await analytics.row_count()
    await lose(analytics)
    # Nobody has noticed yet.
    assert {await refusal_of(read) for read in reads(analytics, *two, user_id)} == {BEING_REMADE}

    analytics.proofs.disputed_answers = [True, True]
    job = remakers.job()
    await job.round()
    assert remakers.metric("missing") == 2
    listed = (await analytics.service.list_page(None, 10, "")).snapshots
    assert [snapshot_to_proto(snapshot).state for snapshot in listed] == [SNAPSHOT_STATE_BEING_REMADE] * 2
    assert {await refusal_of(read) for read in reads(analytics, *two, user_id)} == {BEING_REMADE}

    await job.round()
    assert (remakers.metric("missing"), remakers.metric("remade_total"), remakers.metric("lost")) == (0, 2, 0)
    found = [await analytics.repository.find(None, snapshot.id) for snapshot in two]
    made = [snapshot for snapshot in found if snapshot is not None]
    assert [await analytics.rows.contents(snapshot.build_id) for snapshot in made] == contents
    assert not {snapshot.build_id for snapshot in made} & {snapshot.build_id for snapshot in two}
    assert await analytics.row_count() == rows
    after = [await read for read in reads(analytics, made[0], made[1], user_id)]
    assert [without_builds(each) for each in after] == [without_builds(each) for each in before]
    assert remakers.proof.asked == []


def without_builds(answer: object) -> str:
    """Returns an answer in full, but for the builds of its snapshots, which nobody outside sees."""
    words = repr(answer).split("build_id=UUID('")
    return words[0] + "".join(word[36:] for word in words[1:])


async def test_a_member_whom_no_snapshot_holds_is_no_loss(analytics: Analytics, two: tuple[Snapshot, Snapshot]) -> None:
    stranger = (await analytics.join([STRANGER]))[STRANGER]
    assert (await analytics.insight.get(admin(), None, stranger, None)).row is None
    steps = (await analytics.insight.history(admin(), None, stranger)).steps
    assert [(step.snapshot_id, step.segment) for step in steps] == [(snapshot.id, None) for snapshot in two]
    await lose(analytics)
    assert await refusal_of(analytics.insight.history(admin(), None, stranger)) == BEING_REMADE


async def test_a_snapshot_of_nobody_has_nothing_to_lose(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(6))
    nobody = await analytics.snapshot(cutoff=CUTOFF - timedelta(days=3000))
    assert nobody.member_count == 0
    await lose(analytics)
    await Remakers(analytics).job().round()
    assert (await analytics.service.members_page(admin(), None, nobody.id, None, 10, "")).members == ()


async def test_the_newest_of_each_scope_is_made_first(analytics: Analytics, two: tuple[Snapshot, Snapshot]) -> None:
    shop = [await analytics.snapshot(BUSINESSES[0], EARLIER), await analytics.snapshot(BUSINESSES[0])]
    remakers = Remakers(analytics)
    await lose(analytics)
    analytics.proofs.asked.clear()
    await remakers.job().round()
    asked = analytics.proofs.asked
    assert set(asked[:2]) == {(None, CUTOFF), (BUSINESSES[0], CUTOFF)}
    assert set(asked[2:]) == {(None, EARLIER), (BUSINESSES[0], EARLIER)}
    assert (await analytics.service.summary(admin(), BUSINESSES[0], shop[0].id)).segments
    assert (await analytics.service.summary(admin(), None, two[0].id)).segments


async def test_other_rows_from_purchases_that_are_whole_are_a_loss_for_good(
    analytics: Analytics, two: tuple[Snapshot, Snapshot]
) -> None:
    remakers, user_id = Remakers(analytics), await a_member(analytics, two[1])
    await analytics.rows.clear(two[1].build_id)
    await make_wrong(analytics)
    await remakers.job().round()
    assert remakers.proof.asked == ["touch_scope None", "prove_changed"]
    assert (remakers.metric("missing"), remakers.metric("lost")) == (0, 1)
    summary = analytics.service.summary
    assert await loss_of(summary(admin(), None, two[1].id)) == LostReason.ROWS_DIFFER
    assert await loss_of(analytics.service.movements(admin(), None, two[0].id, two[1].id)) == LostReason.ROWS_DIFFER
    # Whoever asks for the latest is told of the one that is held, and which it is.
    assert (await summary(admin(), None, None)).snapshot.id == two[0].id
    insight = await analytics.insight.get(admin(), None, user_id, None)
    assert insight.snapshot is not None
    assert insight.snapshot.id == two[0].id
    assert [step.snapshot_id for step in (await analytics.insight.history(admin(), None, user_id)).steps] == [two[0].id]
    listed = (await analytics.service.list_page(None, 10, "")).snapshots
    assert [snapshot_to_proto(snapshot).state for snapshot in listed] == [SNAPSHOT_STATE_LOST, SNAPSHOT_STATE_READY]
    assert await analytics.row_count() == two[0].member_count
    # It is not tried again, and not taken for missing.
    await remakers.job().round()
    assert (remakers.metric("missing"), remakers.metric("lost")) == (0, 1)


async def test_what_differs_at_one_business_has_no_day_of_another_proven_again(analytics: Analytics) -> None:
    await ingest(analytics.warehouse, random_circle(6))
    await analytics.snapshot(BUSINESSES[0])
    remakers = Remakers(analytics)
    await lose(analytics)
    await make_wrong(analytics)
    await remakers.job().round()
    assert remakers.proof.asked == [f"touch_scope {BUSINESSES[0]}", "prove_changed"]


async def test_other_rows_from_purchases_that_are_not_whole_are_no_loss(
    analytics: Analytics, two: tuple[Snapshot, Snapshot]
) -> None:
    remakers = Remakers(analytics)
    await lose(analytics)
    await make_wrong(analytics)
    # Nobody knows of it when a snapshot begins, and the proof finds it: of both.
    analytics.proofs.disputed_answers = [False, True, False, True]
    job = remakers.job()
    await job.round()
    assert remakers.proof.asked == ["touch_scope None", "prove_changed"] * 2
    assert await refusal_of(analytics.service.summary(admin(), None, two[1].id)) == BEING_REMADE
    await exchange(analytics, "purchases")
    await job.round()
    assert remakers.metric("remade_total") == 2
    assert await analytics.row_count() == sum(snapshot.member_count for snapshot in two)
    assert (await analytics.service.summary(admin(), None, two[1].id)).segments


async def test_a_snapshot_by_rules_of_before_is_lost_for_good(
    analytics: Analytics, two: tuple[Snapshot, Snapshot]
) -> None:
    async with analytics.postgres.transaction() as tx:
        older = update(snapshots).where(snapshots.c.id == two[0].id).values(rules_version="rfm-0")
        await tx.execute(older)
    await lose(analytics)
    await Remakers(analytics).job().round()
    assert await loss_of(analytics.service.summary(admin(), None, two[0].id)) == LostReason.RULES_CHANGED
    assert (await analytics.service.summary(admin(), None, two[1].id)).segments


async def test_a_snapshot_of_purchases_that_are_held_no_more_is_lost_for_good(
    analytics: Analytics, two: tuple[Snapshot, Snapshot]
) -> None:
    await keep_from(analytics.postgres, (CUTOFF - timedelta(days=380)).date())
    await lose(analytics)
    await Remakers(analytics).job().round()
    assert await loss_of(analytics.service.summary(admin(), None, two[0].id)) == LostReason.HISTORY_NOT_KEPT
    assert (await analytics.service.summary(admin(), None, two[1].id)).segments


async def test_rows_that_are_there_again_count_again(analytics: Analytics, two: tuple[Snapshot, Snapshot]) -> None:
    remakers = Remakers(analytics)
    await put_away(analytics, "snapshot_members")
    analytics.proofs.disputed_answers = [True, True]
    await remakers.job().round()
    assert remakers.metric("missing") == 2
    await exchange(analytics, "snapshot_members")
    await remakers.job().round()
    assert (remakers.metric("missing"), remakers.metric("remade_total")) == (0, 0)
    found = await analytics.repository.find(None, two[0].id)
    assert found == two[0]


async def test_what_is_left_of_a_lost_snapshot_stays_and_counts_again_with_the_rest(
    analytics: Analytics, two: tuple[Snapshot, Snapshot]
) -> None:
    remakers, before = Remakers(analytics), await analytics.service.summary(admin(), None, two[0].id)
    async with analytics.postgres.transaction() as tx:
        await tx.execute(update(snapshots).values(rules_version="rfm-0"))
    await put_away(analytics, "snapshot_members", "SELECT * FROM snapshot_members WHERE member_id % 2 = 0")
    job = remakers.job()
    await job.round()
    assert remakers.metric("lost") == 2
    await analytics.warehouse.command("INSERT INTO snapshot_members SELECT * FROM put_away WHERE member_id % 2 <> 0")
    await job.round()
    assert (remakers.metric("missing"), remakers.metric("lost"), remakers.metric("remade_total")) == (0, 0, 0)
    assert (await analytics.service.summary(admin(), None, two[0].id)).segments == before.segments


async def test_every_answer_of_a_snapshot_that_lacks_one_row_is_refused(
    analytics: Analytics, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await a_member(analytics, two[1])
    monkeypatch.setattr(build_rows, "WHOLE_SECONDS", 0.0)
    before = [await read for read in reads(analytics, *two, user_id)]
    await lose_one(analytics)
    assert {await refusal_of(read) for read in reads(analytics, *two, user_id)} == {BEING_REMADE}
    await Remakers(analytics).job().round()
    after = [await read for read in reads(analytics, *two, user_id)]
    assert [without_builds(each) for each in after] == [without_builds(each) for each in before]


async def test_a_part_that_is_lost_is_seen_by_a_process_that_begins(
    analytics: Analytics, two: tuple[Snapshot, Snapshot]
) -> None:
    remakers = Remakers(analytics)
    row = (await analytics.rows.page(two[1].build_id, None, None, 1))[0]
    sql = "DELETE FROM snapshot_members WHERE member_id = {member_id:Int64}"
    await analytics.warehouse.command(sql, {"member_id": row.member_id})
    assert await refusal_of(analytics.service.summary(admin(), None, two[1].id)) == BEING_REMADE
    await remakers.job().round()
    assert remakers.metric("remade_total") >= 1
    assert await analytics.row_count() == sum(snapshot.member_count for snapshot in two)


async def test_one_process_makes_rows_again_at_a_time(analytics: Analytics, two: tuple[Snapshot, Snapshot]) -> None:
    remakers = Remakers(analytics)
    await lose(analytics)
    other = await analytics.postgres.dedicated()
    await other.execute("SELECT pg_advisory_lock(hashtextextended('svoykrug remaking', 0))")
    job = remakers.job()
    await job.round()
    assert (remakers.metric("missing"), remakers.metric("remade_total")) == (2, 0)
    await other.close()
    await job.round()
    assert (remakers.metric("missing"), remakers.metric("remade_total")) == (0, 2)
    assert (await analytics.service.summary(admin(), None, two[0].id)).segments
