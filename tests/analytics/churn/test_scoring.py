"""Scoring the whole way: scores, reasons, the list of members at risk, receipts."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from svoykrug_server.analytics.churn import scoring
from svoykrug_server.analytics.churn.model import ChurnModel, MemberScore
from svoykrug_server.analytics.churn.risk import AskedScores, NewScoring
from svoykrug_server.analytics.churn.scorer import Scorer
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse, sample
from svoykrug_server.analytics.model import Snapshot
from svoykrug_server.analytics.value.calibration import NOMINAL, Tails
from svoykrug_server.kit.caller import Role, StaffRole
from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields, NotFound, PermissionDenied, Unavailable
from svoykrug_server.operations.model import OperationState
from tests.analytics.churn.circle import HORIZON_DAYS, IN_TIME, TEST_CUTOFF, Circle, Silent, fill, simulated
from tests.analytics.churn.test_training import window_at
from tests.analytics.circles import WATERMARK
from tests.analytics.snapshots import Analytics
from tests.callers import admin, person


async def everyone(circle: Circle, page_size: int = 97) -> list[MemberScore]:
    """Returns all members of the latest scoring, read page by page."""
    found: list[MemberScore] = []
    token = ""
    while True:
        page = await circle.churn.risk.at_risk_page(admin(), AskedScores(None), 0.0, page_size, token)
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
    scope = await circle.known.scope(None, WATERMARK)
    known = await circle.known.window(scope, TEST_CUTOFF, HORIZON_DAYS, 0, sample(1.0))
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
    page = await circle.churn.risk.at_risk_page(admin(), AskedScores(None), 0.5, 1_000, "")
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


class Held(Silent):
    """Progress of an attempt that comes as far as its third block, and no further until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
        """Waits at the third block."""
        await super().report(stage, percent, rows_done)
        if self.stages.count("score") == 3:
            self.reached.set()
            await self.go_on.wait()


def asked_for(model: ChurnModel) -> dict[str, str | None]:
    """Returns the parameters of a scoring by a model."""
    return {
        "scoring_id": str(uuid4()),
        "churn_model_id": str(model.id),
        "business_id": None,
        "cutoff_time": TEST_CUTOFF.isoformat(),
        "watermark": WATERMARK.isoformat(),
    }


async def builds(circle: Circle, scoring_id: str | None) -> list[tuple[int, int]]:
    """Returns rows and members of each build of a scoring."""
    return await circle.warehouse.query(
        "SELECT count(), uniqExact(member_id) FROM churn_scores WHERE scoring_id = {scoring_id:UUID} GROUP BY build_id"
        " ORDER BY count()",
        {"scoring_id": scoring_id},
    )


async def damage(circle: Circle) -> None:
    """Makes every amount in the warehouse wrong."""
    await circle.warehouse.command("ALTER TABLE purchases UPDATE amount_minor = 7 WHERE 1 SETTINGS mutations_sync = 1")


async def repair(circle: Circle) -> None:
    """Writes every row of the warehouse again, as the reconciler does with a disputed day."""
    await circle.warehouse.command("DELETE FROM purchases WHERE 1")
    await fill(circle.warehouse, simulated())


async def test_an_attempt_after_a_repair_takes_nothing_over_from_one_that_was_killed_before_it(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "BLOCK_MEMBERS", 100)
    await fill(circle.warehouse, simulated())
    parameters = asked_for(await circle.promoted())
    await circle.scored()
    right = await everyone(circle)
    await damage(circle)
    held = Held()
    killed = asyncio.ensure_future(circle.churn.work["score_members"](parameters, held))
    await held.reached.wait()
    ((left, _),) = await builds(circle, parameters["scoring_id"])
    await repair(circle)

    await circle.churn.work["score_members"](parameters, Silent())

    found = await everyone(circle)
    assert 0 < left < len(right)
    assert found == right
    assert await builds(circle, parameters["scoring_id"]) == [(len(right), len(right))]

    held.go_on.set()  # not killed after all, only late: it changes nothing and leaves nothing
    await killed
    assert await everyone(circle) == found
    assert await builds(circle, parameters["scoring_id"]) == [(len(right), len(right))]


async def test_an_attempt_after_a_repair_takes_nothing_over_from_one_that_was_refused_before_it(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "BLOCK_MEMBERS", 100)
    await fill(circle.warehouse, simulated())
    parameters = asked_for(await circle.promoted())
    await circle.scored()
    right = await everyone(circle)
    await damage(circle)
    circle.proofs.disputed_answers = [False, True]

    with pytest.raises(Unavailable):
        await circle.churn.work["score_members"](parameters, Silent())

    await repair(circle)
    for _ in range(2):
        assert await circle.churn.work["score_members"](parameters, Silent()) == {
            "scoring_id": parameters["scoring_id"]
        }
        assert await everyone(circle) == right
        assert await builds(circle, parameters["scoring_id"]) == [(len(right), len(right))]


async def test_a_block_inserted_again_by_its_attempt_is_there_once(
    circle: Circle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(circle.warehouse, simulated())
    parameters = asked_for(await circle.promoted())
    insert = ChurnWarehouse.insert_scores

    async def insert_twice(known: ChurnWarehouse, rows: pa.Table, token: str) -> None:
        await insert(known, rows, token)
        await insert(known, rows, token)

    monkeypatch.setattr(ChurnWarehouse, "insert_scores", insert_twice)
    circle.clock.set(TEST_CUTOFF + IN_TIME)
    await circle.churn.work["score_members"](parameters, Silent())
    count = len(await everyone(circle))
    assert await builds(circle, parameters["scoring_id"]) == [(count, count)]


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
    scope = await circle.known.scope(None, WATERMARK)
    came = await circle.known.window(scope, TEST_CUTOFF, HORIZON_DAYS, 0, sample(1.0))
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
    page = await circle.churn.risk.at_risk_page(admin(), AskedScores(None), 0.0, 10, "")
    await circle.scored()
    following = await circle.churn.risk.at_risk_page(admin(), AskedScores(None), 0.0, 10, page.next_page_token)
    assert page.scoring.plan.scoring_id == following.scoring.plan.scoring_id == first
    with pytest.raises(InvalidFields):
        await circle.churn.risk.at_risk_page(admin(), AskedScores(None), 0.5, 10, page.next_page_token)


async def test_a_scoring_of_another_scope_is_refused_like_one_that_does_not_exist(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    scoring_id, business_id = await circle.scored(), uuid4()
    owner = person(None, Role.MEMBER, staff={business_id: StaffRole.OWNER})
    for named in (scoring_id, uuid4()):
        with pytest.raises(PermissionDenied):
            await circle.churn.risk.at_risk_page(owner, AskedScores(business_id, named), 0.0, 0, "")
        with pytest.raises(NotFound):
            await circle.churn.risk.at_risk_page(admin(), AskedScores(business_id, named), 0.0, 0, "")


async def test_nothing_is_scored_without_a_serving_model(circle: Circle) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await circle.churn.risk.score(admin(), NewScoring(None, TEST_CUTOFF, uuid4()))
    assert refusal.value.reason == "NO_SERVING_MODEL"
    with pytest.raises(FailedPrecondition) as refusal:
        await circle.churn.risk.at_risk_page(admin(), AskedScores(None), 0.0, 0, "")
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
        await circle.churn.risk.at_risk_page(admin(), AskedScores(None), 0.0, 0, "")
