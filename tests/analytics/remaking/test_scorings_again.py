"""Scorings whose rows the warehouse has lost: refused, never empty; made again to the last bit, or lost for good."""

from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from svoykrug_server.analytics import build_rows
from svoykrug_server.analytics.churn import scoring
from svoykrug_server.analytics.churn.model import MemberScore
from svoykrug_server.analytics.churn.risk import AskedScores, NewScoring
from svoykrug_server.analytics.standing import LostReason
from svoykrug_server.storage.schema.analytics import snapshots
from svoykrug_server.storage.schema.churn import churn_models, churn_scorings
from tests.analytics.churn.circle import HORIZON_DAYS, TEST_CUTOFF, Circle, fill, simulated
from tests.analytics.dashboards.world import Dashboards
from tests.analytics.horizon import keep_from
from tests.analytics.remaking.lost import (
    BEING_REMADE,
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
from tests.crash.matrix.seen import end_waits


@pytest.fixture
def circle(analytics: Analytics) -> Circle:
    """The churn of the same circle."""
    return Circle(analytics.postgres, analytics.warehouse, analytics.clock)


@pytest.fixture
async def scoring_id(analytics: Analytics, circle: Circle, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A scoring of a circle in blocks, with the segments of a snapshot."""
    monkeypatch.setattr(scoring, "BLOCK_MEMBERS", 100)
    await fill(circle.warehouse, simulated())
    await analytics.snapshot(cutoff=TEST_CUTOFF)
    await circle.promoted()
    return await circle.scored()


async def at_risk(circle: Circle, scoring_id: UUID) -> list[MemberScore]:
    """Returns all members of a scoring."""
    page = await circle.churn.risk.at_risk_page(admin(), AskedScores(None, scoring_id), 0.0, 1_000, "")
    return [score for _, score in page.members]


async def row_counts(circle: Circle) -> list[int]:
    """Returns the rows of each build there is."""
    rows = await circle.warehouse.query("SELECT count() FROM churn_scores GROUP BY build_id")
    return [int(row[0]) for row in rows]


def reads(circle: Circle, scoring_id: UUID, member_id: int) -> list[Awaitable[object]]:
    """Returns the calls that read scores."""
    risk = circle.churn.risk
    return [
        at_risk(circle, scoring_id),
        risk.at_risk_page(admin(), AskedScores(None, scoring_id), 0.999_999, 10, ""),
        score_of(circle, scoring_id, member_id),
    ]


async def score_of(circle: Circle, scoring_id: UUID, member_id: int) -> MemberScore | None:
    """Returns what a scoring says of one member and expects her to buy."""
    found = await circle.repository.find_scoring(scoring_id)
    assert found is not None
    return await circle.known.score_of(found, member_id)


async def test_scores_that_are_gone_are_refused_at_once_and_made_again_to_the_last_bit(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    remakers, before = Remakers(analytics, circle.churn), await at_risk(circle, scoring_id)
    members = [before[0].member_id, before[-1].member_id]
    # She was not asked about before: what was read stays true, and is told for at most `WHOLE_SECONDS`.
    other = before[1].member_id
    of_members = [await score_of(circle, scoring_id, member_id) for member_id in members]
    await lose(analytics)
    await lose(analytics, "churn_scores")
    assert {await refusal_of(read) for read in reads(circle, scoring_id, other)} == {BEING_REMADE}

    job = remakers.job()
    analytics.proofs.disputed_answers = [True, True]
    await job.round()
    assert (remakers.metric("missing"), remakers.metric("missing", "scoring")) == (1, 1)
    assert {await refusal_of(read) for read in reads(circle, scoring_id, other)} == {BEING_REMADE}

    await job.round()
    assert (remakers.metric("remade_total"), remakers.metric("remade_total", "scoring")) == (1, 1)
    assert await at_risk(circle, scoring_id) == before
    assert [await score_of(circle, scoring_id, member_id) for member_id in members] == of_members
    assert await row_counts(circle) == [len(before)]
    assert remakers.proof.asked == []


async def test_a_scoring_waits_for_the_snapshot_that_says_the_segments(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    remakers, before = Remakers(analytics, circle.churn), await at_risk(circle, scoring_id)
    await lose(analytics)
    await lose(analytics, "churn_scores")
    # The snapshot is disputed, the scoring is not.
    analytics.proofs.disputed_answers = [True, False]
    job = remakers.job()
    await job.round()
    assert (remakers.metric("missing"), remakers.metric("missing", "scoring")) == (1, 1)
    # Nothing was written in vain.
    assert await row_counts(circle) == []
    await job.round()
    assert await at_risk(circle, scoring_id) == before


async def test_no_scoring_is_made_while_the_segments_are_gone(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    remakers, held = Remakers(analytics, circle.churn), await at_risk(circle, scoring_id)
    await lose(analytics)
    operation = await circle.finished(await circle.churn.risk.score(admin(), NewScoring(None, TEST_CUTOFF, uuid4())))
    assert operation.state == "queued"
    await remakers.job().round()
    await end_waits(analytics.postgres)
    assert await circle.runner.run_one()
    ended = await circle.operations.get(admin(), operation.id)
    assert ended.result is not None
    made = await at_risk(circle, UUID(ended.result["scoring_id"]))
    assert [score.reasons for score in made] == [score.reasons for score in held]


async def test_a_forecast_is_not_graded_by_rows_that_are_gone(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    async with analytics.postgres.transaction() as tx:
        await tx.execute(update(churn_scorings).values(backtest=False))
    watermark = TEST_CUTOFF + timedelta(days=HORIZON_DAYS)
    async with analytics.postgres.transaction() as tx:
        await (await tx.driver()).execute("DELETE FROM churn_receipts")
    await lose(analytics, "churn_scores")
    assert await circle.churn.grader.grade_closed(None, watermark) == 0
    await Remakers(analytics, circle.churn).job().round()
    assert await circle.churn.grader.grade_closed(None, watermark) == 1
    ((receipt,), _) = await circle.churn.risk.list_receipts(None, 10, "")
    assert receipt.member_count == len(await at_risk(circle, scoring_id))


async def test_a_scoring_whose_segments_are_lost_is_lost_with_them(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    await lose(analytics)
    await lose(analytics, "churn_scores")
    async with analytics.postgres.transaction() as tx:
        await tx.execute(update(snapshots).values(rules_version="rfm-0"))
    remakers = Remakers(analytics, circle.churn)
    await remakers.job().round()
    assert (remakers.metric("lost"), remakers.metric("lost", "scoring")) == (1, 1)
    assert await loss_of(at_risk(circle, scoring_id)) == LostReason.SEGMENTS_LOST
    assert await circle.churn.risk.latest_score(None, 1, None) is None


async def test_a_dashboard_does_not_take_scores_that_are_gone_for_nobody_at_risk(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    shown = Dashboards(analytics.postgres, analytics.warehouse, analytics.clock)
    ends = [TEST_CUTOFF + timedelta(days=1)]
    standing = await shown.repository.standing(None, ends)
    builds = [each for each in standing.scorings if each]
    assert [each.key for each in builds] == [scoring_id]
    value = await shown.rows.at_risk_value(builds)
    await lose_one(analytics, "churn_scores")
    assert await refusal_of(shown.rows.at_risk_value(builds)) == BEING_REMADE
    await lose(analytics, "churn_scores")
    assert await refusal_of(shown.rows.at_risk_value(builds)) == BEING_REMADE
    await Remakers(analytics, circle.churn).job().round()
    remade = [each for each in (await shown.repository.standing(None, ends)).scorings if each]
    assert remade != builds
    assert await shown.rows.at_risk_value(remade) == value
    # Of one that is lost for good, nothing is said.
    await keep_from(analytics.postgres, (TEST_CUTOFF - timedelta(days=300)).date())
    await lose(analytics, "churn_scores")
    await Remakers(analytics, circle.churn).job().round()
    assert (await shown.repository.standing(None, ends)).scorings == (None,)


async def test_a_scoring_by_a_model_that_is_not_read_any_more_is_lost_for_good(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    await lose(analytics, "churn_scores")
    async with analytics.postgres.transaction() as tx:
        await tx.execute(update(churn_models).values(document={"format": "svoykrug-churn/0"}))
    await Remakers(analytics, circle.churn).job().round()
    assert await loss_of(at_risk(circle, scoring_id)) == LostReason.MODEL_UNREADABLE
    assert await row_counts(circle) == []


async def test_a_scoring_of_before_hashes_were_kept_is_lost_for_good(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    await lose(analytics, "churn_scores")
    async with analytics.postgres.transaction() as tx:
        await tx.execute(update(churn_scorings).values(content_hash=None))
    await Remakers(analytics, circle.churn).job().round()
    assert await loss_of(at_risk(circle, scoring_id)) == LostReason.NOT_PROVABLE


async def test_a_scoring_of_before_hashes_were_kept_counts_again_when_its_rows_are_back(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    remakers, before = Remakers(analytics, circle.churn), await at_risk(circle, scoring_id)
    async with analytics.postgres.transaction() as tx:
        await tx.execute(update(churn_scorings).values(content_hash=None))
    job = remakers.job()
    # Another warehouse is asked for a round.
    await put_away(analytics, "churn_scores")
    await job.round()
    assert await loss_of(at_risk(circle, scoring_id)) == LostReason.NOT_PROVABLE
    await exchange(analytics, "churn_scores")
    await job.round()
    assert (remakers.metric("missing", "scoring"), remakers.metric("lost", "scoring")) == (0, 0)
    assert await at_risk(circle, scoring_id) == before


async def test_scores_of_which_one_is_gone_are_refused_and_made_again(
    analytics: Analytics, circle: Circle, scoring_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_rows, "WHOLE_SECONDS", 0.0)
    remakers, before = Remakers(analytics, circle.churn), await at_risk(circle, scoring_id)
    await lose_one(analytics, "churn_scores")
    (there,) = await circle.warehouse.query("SELECT min(member_id) FROM churn_scores")
    assert {await refusal_of(read) for read in reads(circle, scoring_id, there[0])} == {BEING_REMADE}
    await remakers.job().round()
    assert await at_risk(circle, scoring_id) == before


async def test_a_scoring_of_purchases_that_are_held_no_more_is_lost_for_good(
    analytics: Analytics, circle: Circle, scoring_id: UUID
) -> None:
    await keep_from(analytics.postgres, (TEST_CUTOFF - timedelta(days=300)).date())
    await lose(analytics, "churn_scores")
    await Remakers(analytics, circle.churn).job().round()
    assert await loss_of(at_risk(circle, scoring_id)) == LostReason.HISTORY_NOT_KEPT
