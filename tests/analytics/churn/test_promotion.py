"""When a model may serve."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from svoykrug_server.analytics.churn.model import Difference, Estimate, ModelState
from svoykrug_server.analytics.churn.promotion import obstacles, worse_than_serving
from svoykrug_server.kit.errors import FailedPrecondition, NotFound, PermissionDenied
from tests.analytics.churn.circle import Circle, fill, new_model, simulated
from tests.callers import CallBy, admin, person


def difference(other: str, figure: str, low: float, high: float, share_better: float = 1.0) -> Difference:
    """Returns a paired comparison."""
    return Difference(other, figure, Estimate((low + high) / 2, low, high), share_better)


@pytest.mark.parametrize(
    ("compared", "broken"),
    [
        (difference("serving", "roc_auc", -0.02, -0.001), ("worse_than_serving_roc_auc",)),
        (difference("serving", "roc_auc", -0.02, 0.001), ()),
        (difference("serving", "brier", 0.001, 0.004), ("worse_than_serving_brier",)),
        (difference("serving", "brier", -0.001, 0.004), ()),
        (difference("bg_nbd", "roc_auc", -0.02, -0.001), ()),
    ],
)
def test_only_a_difference_beyond_doubt_makes_a_model_worse(compared: Difference, broken: tuple[str, ...]) -> None:
    assert worse_than_serving((compared,)) == broken


async def test_a_model_must_beat_every_baseline_have_skill_and_be_calibrated(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.trained()
    assert obstacles(model) == ()
    ahead = tuple(
        replace(each, share_better=0.89) if each.other == "recency" else each for each in model.card.differences
    )
    assert obstacles(replace(model, card=replace(model.card, differences=ahead))) == ("not_better_than_recency",)
    assert obstacles(replace(model, card=replace(model.card, differences=()))) == (
        "not_better_than_recency",
        "not_better_than_rfm_sum",
        "not_better_than_bg_nbd",
    )
    first, *others = model.card.metrics
    unskilled = replace(first, figures={**first.figures, "brier_skill": Estimate(-0.01, -0.02, 0.0)})
    assert obstacles(replace(model, card=replace(model.card, metrics=(unskilled, *others)))) == ("no_skill",)
    single = replace(model, plan=replace(model.plan, training_cutoffs=model.plan.training_cutoffs[:1]))
    assert obstacles(single) == ("fewer_training_windows",)


async def test_promoting_makes_it_serve_and_retires_the_one_before(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    first = await circle.promoted()
    assert first.state is ModelState.SERVING
    second = await circle.promoted()
    assert second.card.compared_model_id == first.id
    assert (await circle.churn.models.get_model(admin(), None, None)).id == second.id
    assert (await circle.churn.models.get_model(admin(), None, first.id)).state is ModelState.RETIRED
    async with circle.postgres.read() as connection:
        actions = await connection.fetch("SELECT action, target_id FROM audit_events ORDER BY event_time")
    assert [tuple(row) for row in actions] == [
        ("CHURN_MODEL_PROMOTED", str(first.id)),
        ("CHURN_MODEL_PROMOTED", str(second.id)),
    ]


async def test_promoting_the_serving_model_again_changes_nothing(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    first = await circle.promoted()
    again = await circle.churn.models.promote(CallBy(admin()), None, first.id)
    assert again == await circle.repository.serving_model(None)


async def test_a_retired_model_is_judged_against_the_serving_one_before_it_comes_back(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    first = await circle.promoted()
    await circle.promoted()
    assert first.card.compared_model_id is None
    back = await circle.churn.models.promote(CallBy(admin()), None, first.id)
    assert back.state is ModelState.SERVING
    assert (await circle.churn.models.get_model(admin(), None, None)).id == first.id


async def test_a_model_that_breaks_a_rule_is_refused_and_the_serving_one_stays(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    serving = await circle.promoted()
    plan = serving.plan
    single = await circle.trained(new_model(training_cutoffs=plan.training_cutoffs[-1:]))
    with pytest.raises(FailedPrecondition) as refusal:
        await circle.churn.models.promote(CallBy(admin()), None, single.id)
    assert refusal.value.reason == "MODEL_NOT_GOOD_ENOUGH"
    assert "fewer_training_windows" in refusal.value.metadata["obstacles"]
    assert (await circle.churn.models.get_model(admin(), None, None)).id == serving.id


async def test_a_model_of_another_scope_does_not_exist(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.trained()
    elsewhere = UUID(int=77)
    with pytest.raises(NotFound):
        await circle.churn.models.promote(CallBy(admin()), elsewhere, model.id)
    with pytest.raises(PermissionDenied):
        await circle.churn.models.promote(CallBy(person()), elsewhere, model.id)
    with pytest.raises(NotFound):
        await circle.churn.models.get_model(admin(), None, uuid4())
    with pytest.raises(PermissionDenied):
        await circle.churn.models.get_model(person(), elsewhere, None)
