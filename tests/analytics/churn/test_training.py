"""Training the whole way, on simulated buyers in real stores."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pyarrow as pa
import pytest

from svoykrug_server.analytics.churn import estimator, evaluation
from svoykrug_server.analytics.churn.estimator import Window
from svoykrug_server.analytics.churn.learning import window_of
from svoykrug_server.analytics.churn.model import ModelState, default_training_cutoffs
from svoykrug_server.analytics.churn.warehouse import Scope, sample
from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields
from svoykrug_server.operations.model import OperationState
from tests.analytics.churn.circle import (
    HORIZON_DAYS,
    TEST_CUTOFF,
    Circle,
    Silent,
    fill,
    fill_entries,
    new_model,
    purchases_table,
    simulated,
)
from tests.analytics.churn.made import window
from tests.analytics.circles import WATERMARK, purchase
from tests.callers import admin


async def test_a_model_is_trained_judged_and_kept_with_its_card(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.trained()
    card = model.card
    assert model.state is ModelState.CANDIDATE
    assert model.plan.training_cutoffs == default_training_cutoffs(TEST_CUTOFF, HORIZON_DAYS)
    assert [row.name for row in card.metrics] == ["model", "recency", "rfm_sum", "bg_nbd"]
    assert all("brier" not in row.figures for row in card.metrics if row.name in ("recency", "rfm_sum"))
    for row in card.metrics:
        assert all(figure.low <= figure.value <= figure.high for figure in row.figures.values())
    assert sum(bin_.member_count for bin_ in card.calibration) == card.test_member_count
    assert card.metrics[0].figures["roc_auc"].value > 0.8
    assert card.metrics_everyone == ()
    assert (await circle.churn.models.list_models(None, 0, ""))[0] == [model]


async def test_a_narrower_population_is_also_judged_on_everyone(circle: Circle) -> None:
    await fill(circle.warehouse, simulated(members=900))
    model = await circle.trained(new_model(population_days=90))
    everyone = {row.name: row for row in model.card.metrics_everyone}
    assert everyone.keys() == {"model", "recency", "rfm_sum", "bg_nbd"}
    assert everyone["model"].figures["roc_auc"].value > model.card.metrics[0].figures["roc_auc"].value


async def window_at(circle: Circle, cutoff: datetime) -> Window:
    """Returns what was known at a cutoff."""
    table = await circle.known.window(await circle.known.scope(None, WATERMARK), cutoff, HORIZON_DAYS, 0, sample(1.0))
    return window_of(table)


async def test_a_business_that_joins_a_circle_and_imports_its_years_is_learned_from_at_once(circle: Circle) -> None:
    joined, there_before = UUID(int=1), UUID(int=2)
    await fill(circle.warehouse, simulated())  # ingested a day before the watermark
    long_ago = TEST_CUTOFF - timedelta(days=300)
    await fill_entries(circle.warehouse, [purchase(1, 5, 100, long_ago, there_before)])
    wanted = default_training_cutoffs(TEST_CUTOFF, HORIZON_DAYS)
    for business_id in (None, joined):
        model = await circle.trained(new_model(business_id, training_cutoffs=wanted))
        assert model.card.test_member_count >= 400
        assert min(model.card.training_member_counts) >= 200


async def test_a_business_that_sold_before_it_imported_its_years_is_learned_from_at_once(circle: Circle) -> None:
    joined = UUID(int=1)
    await fill(circle.warehouse, simulated())
    began = TEST_CUTOFF - timedelta(days=5)
    await fill_entries(circle.warehouse, [purchase(1, 5, 100, began, joined)])
    for business_id in (None, joined):
        model = await circle.trained(new_model(business_id))
        assert model.card.test_member_count >= 400
        assert len(model.plan.training_cutoffs) == 5


async def test_too_few_members_are_refused_with_what_is_missing(circle: Circle) -> None:
    await fill(circle.warehouse, simulated(members=150))
    ended = await circle.finished(await circle.churn.models.train(admin(), new_model()))
    assert ended.state is OperationState.FAILED
    assert ended.failure is not None
    assert ended.failure.reason == "TOO_LITTLE_DATA"
    assert int(ended.failure.metadata["member_count"]) <= 150
    assert ended.failure.metadata["needed_member_count"] == "200"
    assert await circle.churn.models.list_models(None, 0, "") == ([], "")


async def test_too_few_who_left_are_refused_with_what_is_missing(circle: Circle) -> None:
    loyal = [
        (member, TEST_CUTOFF + timedelta(days=HORIZON_DAYS - day, hours=-1))
        for member in range(1, 251)
        for day in range(0, 250, 20)
    ]
    await fill(circle.warehouse, table_of(loyal))
    ended = await circle.finished(await circle.churn.models.train(admin(), new_model()))
    assert ended.failure is not None
    assert (ended.failure.reason, ended.failure.metadata["churned_count"]) == ("TOO_LITTLE_DATA", "0")
    assert ended.failure.metadata["needed_event_count"] == "20"


def table_of(purchases: list[tuple[int, datetime]]) -> pa.Table:
    """Returns rows of purchases of 1.00 each."""
    return purchases_table([member for member, _ in purchases], [time for _, time in purchases], [100] * len(purchases))


async def test_an_empty_circle_is_refused(circle: Circle) -> None:
    ended = await circle.finished(await circle.churn.models.train(admin(), new_model(horizon_days=0)))
    assert ended.failure is not None
    assert ended.failure.reason == "TOO_LITTLE_DATA"


async def test_windows_before_the_data_begins_are_left_out_unless_asked_for(circle: Circle) -> None:
    await fill(circle.warehouse, simulated(days=150))
    model = await circle.trained()
    wanted = default_training_cutoffs(TEST_CUTOFF, HORIZON_DAYS)
    assert 0 < len(model.plan.training_cutoffs) < len(wanted)
    assert model.plan.training_cutoffs == wanted[-len(model.plan.training_cutoffs) :]
    ended = await circle.finished(await circle.churn.models.train(admin(), new_model(training_cutoffs=wanted)))
    assert ended.failure is not None
    assert ended.failure.metadata["window"] == wanted[0].isoformat()


async def test_the_horizon_is_chosen_from_the_gaps_between_purchases(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    count, gap_days = await circle.known.usual_gap(Scope(None, WATERMARK), TEST_CUTOFF)
    model = await circle.trained(new_model(horizon_days=0))
    assert count >= 200
    assert model.plan.horizon_days % 7 == 0
    assert abs(model.plan.horizon_days - gap_days) <= 3.5


async def test_a_business_model_reads_its_own_purchases_alone(circle: Circle) -> None:
    shop, other = UUID(int=5), UUID(int=6)
    await fill(circle.warehouse, simulated(business_id=shop, seed=1))
    await fill(circle.warehouse, simulated(business_id=other, seed=2, members=300))
    model = await circle.trained(new_model(business_id=shop))
    assert 400 < model.card.test_member_count <= 500
    assert (await circle.trained()).card.test_member_count > model.card.test_member_count


async def test_training_windows_that_reach_the_test_window_are_refused_at_once(circle: Circle) -> None:
    asked = new_model(training_cutoffs=[TEST_CUTOFF - timedelta(days=HORIZON_DAYS - 1)])
    with pytest.raises(InvalidFields) as refusal:
        await circle.churn.models.train(admin(), asked)
    assert refusal.value.violations[0].path == "training_cutoff_times[0]"


async def test_a_cutoff_named_twice_is_refused(circle: Circle) -> None:
    cutoff = TEST_CUTOFF - timedelta(days=60)
    with pytest.raises(InvalidFields):
        await circle.churn.models.train(admin(), new_model(training_cutoffs=[cutoff, cutoff]))


async def test_a_test_window_that_has_not_closed_is_refused_at_once(circle: Circle) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await circle.churn.models.train(admin(), new_model(test_cutoff=WATERMARK - timedelta(days=5)))
    assert refusal.value.reason == "CUTOFF_AHEAD_OF_WATERMARK"
    circle.proofs.known_up_to = None
    with pytest.raises(FailedPrecondition):
        await circle.churn.models.train(admin(), new_model())


async def test_a_horizon_under_a_week_is_refused(circle: Circle) -> None:
    with pytest.raises(InvalidFields):
        await circle.churn.models.train(admin(), new_model(horizon_days=3))


async def test_the_same_request_id_starts_one_training(circle: Circle) -> None:
    asked, caller = new_model(), admin()
    first = await circle.churn.models.train(caller, asked)
    assert (await circle.churn.models.train(caller, asked)).id == first.id
    with pytest.raises(InvalidFields) as refusal:
        await circle.churn.models.train(caller, replace(asked, horizon_days=35))
    assert refusal.value.reason == "REQUEST_ID_REUSED"


async def test_a_second_attempt_finds_the_model_of_the_first(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.trained()
    parameters = {"churn_model_id": str(model.id), "business_id": None}
    progress = Silent()
    made = await circle.churn.work["train_churn_model"](parameters, progress)
    assert made == {"churn_model_id": str(model.id)}
    assert progress.stages == []


async def test_stores_that_disagree_stop_training_until_they_are_repaired(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    circle.proofs.disputed_answers = [False, True]
    operation = await circle.churn.models.train(admin(), new_model())
    waiting = await circle.finished(operation)
    assert waiting.state is OperationState.QUEUED
    assert await circle.churn.models.list_models(None, 0, "") == ([], "")


async def test_models_are_listed_newest_first_page_by_page(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    first, second = await circle.trained(), await circle.trained()
    page, token = await circle.churn.models.list_models(None, 1, "")
    assert (page, bool(token)) == ([second], True)
    assert await circle.churn.models.list_models(None, 1, token) == ([first], "")
    assert await circle.churn.models.list_models(uuid4(), 1, "") == ([], "")


def test_a_model_compared_with_itself_differs_in_nothing() -> None:
    part = window()
    said = estimator.fit([window(seed=2), window(seed=3)], HORIZON_DAYS).probability(part.raw)
    judged = evaluation.judge(part.churned, {"model": said, "serving": said})
    assert {(each.estimate.value, each.estimate.low, each.estimate.high) for each in judged.differences} == {(0, 0, 0)}
