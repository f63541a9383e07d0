"""What was said in time and what came of it: forecasts, backtests and receipts."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from svoykrug_server.analytics.churn.model import SAID_WITHIN
from svoykrug_server.analytics.churn.risk import AskedScores
from tests.analytics.churn.circle import HORIZON_DAYS, TEST_CUTOFF, Circle, fill, simulated
from tests.analytics.churn.test_training import window_at
from tests.analytics.circles import WATERMARK
from tests.callers import admin


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
    said = np.mean([score.probability for score in await circle.known.at_risk(receipt.scoring, 0.0, None, 100_000)])
    assert receipt.predicted_share == pytest.approx(said)
    assert abs(receipt.predicted_share - receipt.observed_share) < 0.05
    assert receipt.figures["roc_auc"] > 0.8
    assert sum(bin_.member_count for bin_ in receipt.bins) == receipt.member_count


async def test_a_forecast_is_not_graded_while_the_stores_disagree_on_what_came_of_it(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    circle.proofs.disputed_answers = [False, False, True]
    scoring_id = await circle.scored()
    ungraded = await circle.churn.risk.list_receipts(None, 0, "")
    asked = circle.proofs.asked[-1]
    circle.proofs.disputed_answers = [False, True]
    found_meanwhile = await circle.churn.grader.grade_closed(None, WATERMARK)
    repaired = await circle.churn.grader.grade_closed(None, WATERMARK)
    (receipt,), _ = await circle.churn.risk.list_receipts(None, 0, "")
    assert ungraded == ([], "")
    assert asked == (None, TEST_CUTOFF + timedelta(days=HORIZON_DAYS))
    assert (found_meanwhile, repaired) == (0, 1)
    assert receipt.scoring.plan.scoring_id == scoring_id


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


async def test_what_was_said_after_the_fact_is_a_backtest_that_nothing_uses_unless_it_is_named(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    forecast = await circle.scored(TEST_CUTOFF, SAID_WITHIN - timedelta(minutes=1))
    backtest = await circle.scored(TEST_CUTOFF + timedelta(days=1), SAID_WITHIN)
    risk = circle.churn.risk
    page = await risk.at_risk_page(admin(), AskedScores(None), 0.0, 1_000, "")
    assert (page.scoring.plan.scoring_id, page.scoring.is_backtest) == (forecast, False)
    member_id = page.members[0][1].member_id
    latest = await risk.latest_score(None, member_id, None)
    assert latest is not None
    assert latest[0].plan.scoring_id == forecast
    named = await risk.at_risk_page(admin(), AskedScores(None, backtest), 0.0, 10, "")
    assert (named.scoring.plan.scoring_id, named.scoring.is_backtest) == (backtest, True)
    following = await risk.at_risk_page(admin(), AskedScores(None, backtest), 0.0, 10, named.next_page_token)
    assert following.scoring == named.scoring
    receipts, _ = await risk.list_receipts(None, 0, "")
    assert [receipt.scoring.plan.scoring_id for receipt in receipts] == [forecast]
    receipts, _ = await risk.list_receipts(None, 0, "", backtests=True)
    assert [receipt.scoring.plan.scoring_id for receipt in receipts] == [backtest, forecast]
    serving = await circle.repository.serving_model(None)
    assert serving is not None
    assert serving.drift == page.scoring.drift


async def test_as_of_an_instant_a_forecast_counts_from_when_it_was_said(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    scoring_id = await circle.scored()
    page = await circle.churn.risk.at_risk_page(admin(), AskedScores(None), 0.0, 1, "")
    said, member_id = page.scoring.create_time, page.members[0][1].member_id
    assert said > TEST_CUTOFF
    found = await circle.churn.risk.latest_score(None, member_id, said)
    assert found is not None
    assert found[0].plan.scoring_id == scoring_id
    assert await circle.churn.risk.latest_score(None, member_id, said - timedelta(microseconds=1)) is None


async def test_a_score_that_was_read_is_not_read_again(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    early, late = await circle.scored(TEST_CUTOFF - timedelta(days=30)), await circle.scored()
    scorings = [found for each in (early, late) if (found := await circle.repository.find_scoring(each)) is not None]
    member_id = (await circle.known.at_risk(scorings[0], 0.0, None, 1))[0].member_id
    said = [await circle.known.score_of(scoring, member_id) for scoring in scorings]
    assert said[0] is not None
    assert said[0] != said[1]
    query, asked = circle.warehouse.query, list[str]()

    async def noted(sql: str, *values: Any, **options: Any) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return await query(sql, *values, **options)

    monkeypatch.setattr(circle.warehouse, "query", noted)
    assert await circle.known.score_of(scorings[0], member_id) == said[0]
    assert not [sql for sql in asked if "probability" in sql]
    assert await circle.known.score_of(scorings[0], 2**62) is None
    assert [sql for sql in asked if "probability" in sql]
