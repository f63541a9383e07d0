"""Scoring the whole way: scores, reasons, the list of members at risk, receipts."""

from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest

from svoykrug_server.analytics.churn import scoring
from svoykrug_server.analytics.churn.model import MemberScore
from svoykrug_server.analytics.churn.risk import NewScoring
from svoykrug_server.analytics.churn.scorer import Scorer
from svoykrug_server.analytics.churn.warehouse import Scope, sample
from svoykrug_server.analytics.model import Snapshot
from svoykrug_server.analytics.value.calibration import NOMINAL, Tails
from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields
from svoykrug_server.operations.model import OperationState
from tests.analytics.churn.circle import HORIZON_DAYS, TEST_CUTOFF, Circle, Silent, fill, simulated
from tests.analytics.churn.test_training import window_at
from tests.analytics.circles import WATERMARK
from tests.analytics.snapshots import Analytics
from tests.callers import admin


async def everyone(circle: Circle, page_size: int = 97) -> list[MemberScore]:
    """Returns all members of the latest scoring, read page by page."""
    found: list[MemberScore] = []
    token = ""
    while True:
        page = await circle.churn.risk.at_risk_page(None, 0.0, page_size, token)
        found += [score for _, score in page.members]
        token = page.next_page_token
        if not token:
            return found


async def test_scores_are_what_the_model_says_of_what_was_known(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.promoted()
    await circle.scored()
    document = await circle.repository.document(model.id)
    assert document is not None
    known = await circle.known.window(Scope(None, WATERMARK), TEST_CUTOFF, WATERMARK, HORIZON_DAYS, 0, sample(1.0))
    expected = Scorer.from_document(document).probability((await window_at(circle, TEST_CUTOFF)).raw)
    by_member = dict(zip(known["member_id"].to_pylist(), expected, strict=True))
    found = await everyone(circle)
    assert {score.member_id: score.probability for score in found} == pytest.approx(by_member, abs=1e-12)
    spend = dict(zip(known["member_id"].to_pylist(), known["net_spend_minor"].to_pylist(), strict=True))
    assert {score.member_id: score.net_spend_minor for score in found} == spend


async def test_the_list_is_ordered_by_risk_and_pages_hold_each_member_once(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    await circle.scored()
    found = await everyone(circle)
    keys = [(-score.probability, score.member_id) for score in found]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert found == await everyone(circle, page_size=1_000)
    page = await circle.churn.risk.at_risk_page(None, 0.5, 1_000, "")
    assert [score for _, score in page.members] == [score for score in found if score.probability >= 0.5]
    assert page.scoring.scored_count == len(found)
    assert page.watermark == WATERMARK


async def test_a_block_more_or_less_changes_no_probability(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    await circle.scored()
    whole = {score.member_id: score.probability for score in await everyone(circle)}
    monkeypatch.setattr(scoring, "BLOCK_MEMBERS", 100)
    await circle.scored()
    again = {score.member_id: score.probability for score in await everyone(circle)}
    assert again == pytest.approx(whole, abs=1e-12)


async def test_an_attempt_that_was_stopped_goes_on_with_the_missing_blocks(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "BLOCK_MEMBERS", 100)
    await fill(circle.warehouse, simulated())
    model = await circle.promoted()
    scoring_id = uuid4()
    parameters = {
        "scoring_id": str(scoring_id),
        "churn_model_id": str(model.id),
        "business_id": None,
        "cutoff_time": TEST_CUTOFF.isoformat(),
        "watermark": WATERMARK.isoformat(),
    }

    class Stops(Silent):
        async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
            await super().report(stage, percent, rows_done)
            if self.stages.count("score") == 3:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        await circle.churn.work["score_members"](parameters, Stops())
    left = await circle.known.scored_count(scoring_id)
    assert 0 < left < 500
    with pytest.raises(FailedPrecondition):
        await circle.churn.risk.at_risk_page(None, 0.0, 0, "")
    for _ in range(2):
        assert await circle.churn.work["score_members"](parameters, Silent()) == {"scoring_id": str(scoring_id)}
        found = await everyone(circle)
        assert len(found) == len({score.member_id for score in found}) == await circle.known.scored_count(scoring_id)
        assert len(found) > left


async def test_reasons_are_measured_against_her_segment_of_the_snapshot(circle: Circle, analytics: Analytics) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    await circle.scored()
    without = {score.member_id: score.reasons for score in await everyone(circle)}
    snapshot = await analytics.snapshot(cutoff=TEST_CUTOFF)
    assert isinstance(snapshot, Snapshot)
    await circle.scored()
    found = await everyone(circle)
    assert all(len(score.reasons) == 3 for score in found)
    typical = {reason.typical_value for score in found for reason in score.reasons if reason.feature == "recency_days"}
    scopes = {
        reason.typical_value for reasons in without.values() for reason in reasons if reason.feature == "recency_days"
    }
    assert len(scopes) == 1
    assert len(typical) > 3


async def test_a_member_s_score_is_found_as_of_an_instant(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    early = TEST_CUTOFF - timedelta(days=30)
    first, second = await circle.scored(early), await circle.scored()
    member_id = (await everyone(circle))[0].member_id
    latest = await circle.churn.risk.latest_score(None, member_id, None)
    assert latest is not None
    assert latest[0].plan.scoring_id == second
    before = await circle.churn.risk.latest_score(None, member_id, TEST_CUTOFF - timedelta(days=1))
    assert before is None or before[0].plan.scoring_id == first
    assert await circle.churn.risk.latest_score(None, member_id, early - timedelta(days=1)) is None
    assert await circle.churn.risk.latest_score(None, 1, None) is None
    assert await circle.churn.risk.latest_score(uuid4(), member_id, None) is None


async def test_what_members_are_expected_to_buy_is_stored_beside_their_scores(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    await circle.scored()
    found = [await circle.churn.risk.latest_score(None, score.member_id, None) for score in await everyone(circle)]
    values = [score.value for _, score in filter(None, found) if score.value is not None]
    assert len(values) == len(found)
    assert all(value.purchase_count_low <= value.purchase_count_high <= HORIZON_DAYS for value in values)
    assert all(0 <= value.spend_low_minor <= value.spend_high_minor for value in values)
    honest = await window_at(circle, TEST_CUTOFF)
    stayed = 1 - honest.churned.mean()
    assert np.mean([value.purchase_count_high > 0 for value in values]) > stayed - 0.1


async def test_the_intervals_of_a_scoring_hold_four_of_five_of_what_came(circle: Circle) -> None:
    await fill(circle.warehouse, simulated(members=1_200))
    model = await circle.promoted()
    values = {"scoring_id": await circle.scored()}
    rows = await circle.warehouse.query(
        "SELECT member_id, purchase_count_low, purchase_count_high FROM churn_scores"
        " WHERE scoring_id = {scoring_id:UUID} ORDER BY member_id",
        values,
    )
    scope = Scope(None, WATERMARK)
    came = await circle.known.window(scope, TEST_CUTOFF, WATERMARK, HORIZON_DAYS, 0, sample(1.0))
    member_ids, low, high = np.array(rows).T
    assert member_ids.tolist() == came["member_id"].to_pylist()
    held = (came["later_days"].to_numpy() >= low) & (came["later_days"].to_numpy() <= high)
    assert np.mean(held) == pytest.approx(0.8, abs=0.06)
    document = await circle.repository.document(model.id)
    assert document is not None
    assert Tails.from_document(document["value"]) != NOMINAL


async def test_pages_stay_with_the_scoring_they_began_with(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    first = await circle.scored(TEST_CUTOFF - timedelta(days=30))
    page = await circle.churn.risk.at_risk_page(None, 0.0, 10, "")
    await circle.scored()
    following = await circle.churn.risk.at_risk_page(None, 0.0, 10, page.next_page_token)
    assert page.scoring.plan.scoring_id == following.scoring.plan.scoring_id == first
    with pytest.raises(InvalidFields):
        await circle.churn.risk.at_risk_page(None, 0.5, 10, page.next_page_token)


async def test_a_forecast_is_graded_once_its_horizon_has_closed(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    open_cutoff = WATERMARK - timedelta(days=HORIZON_DAYS - 1)
    await circle.scored(open_cutoff)
    assert await circle.churn.risk.list_receipts(None, 0, "") == ([], "")
    await circle.scored()
    (receipt,), token = await circle.churn.risk.list_receipts(None, 0, "")
    honest = await window_at(circle, TEST_CUTOFF)
    assert token == ""
    assert receipt.member_count == len(honest.churned)
    assert receipt.observed_share == pytest.approx(honest.churned.mean())
    said = np.mean([score.probability for score in await all_of(circle, receipt.scoring.plan.scoring_id)])
    assert receipt.predicted_share == pytest.approx(said)
    assert abs(receipt.predicted_share - receipt.observed_share) < 0.05
    assert receipt.figures["roc_auc"] > 0.8
    assert sum(bin_.member_count for bin_ in receipt.bins) == receipt.member_count


async def all_of(circle: Circle, scoring_id: UUID) -> list[MemberScore]:
    """Returns the scores of one scoring."""
    return await circle.known.at_risk(scoring_id, 0.0, None, 100_000)


async def test_receipts_are_listed_latest_cutoff_first_page_by_page(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    early = TEST_CUTOFF - timedelta(days=30)
    await circle.scored(early)
    await circle.scored()
    page, token = await circle.churn.risk.list_receipts(None, 1, "")
    assert [receipt.scoring.plan.cutoff for receipt in page] == [TEST_CUTOFF]
    page, token = await circle.churn.risk.list_receipts(None, 1, token)
    assert ([receipt.scoring.plan.cutoff for receipt in page], token) == ([early], "")


async def test_nothing_is_scored_without_a_serving_model(circle: Circle) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await circle.churn.risk.score(admin(), NewScoring(None, TEST_CUTOFF, uuid4()))
    assert refusal.value.reason == "NOT_SCORED_YET"
    with pytest.raises(FailedPrecondition) as refusal:
        await circle.churn.risk.at_risk_page(None, 0.0, 0, "")
    assert refusal.value.reason == "NOT_SCORED_YET"


async def test_a_cutoff_behind_the_watermark_is_refused(circle: Circle) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await circle.churn.risk.score(admin(), NewScoring(None, WATERMARK + timedelta(days=1), uuid4()))
    assert refusal.value.reason == "CUTOFF_AHEAD_OF_WATERMARK"


async def test_a_scoring_of_nobody_fails_and_says_so(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    long_ago = TEST_CUTOFF - timedelta(days=5_000)
    ended = await circle.finished(await circle.churn.risk.score(admin(), NewScoring(None, long_ago, uuid4())))
    assert ended.state is OperationState.FAILED
    assert ended.failure is not None
    assert ended.failure.reason == "TOO_LITTLE_DATA"


async def test_the_same_request_id_starts_one_scoring(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    asked, caller = NewScoring(None, TEST_CUTOFF, uuid4()), admin()
    first = await circle.churn.risk.score(caller, asked)
    assert (await circle.churn.risk.score(caller, asked)).id == first.id


async def test_stores_that_disagree_keep_a_scoring_invisible(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    circle.proofs.disputed_answers = [False, True]
    waiting = await circle.finished(await circle.churn.risk.score(admin(), NewScoring(None, TEST_CUTOFF, uuid4())))
    assert waiting.state is OperationState.QUEUED
    with pytest.raises(FailedPrecondition):
        await circle.churn.risk.at_risk_page(None, 0.0, 0, "")
