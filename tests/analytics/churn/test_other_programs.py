"""The serving model was made by an earlier program, or by a newer one beside which this one still runs."""

from svoykrug_server.analytics.churn.model import ModelState
from svoykrug_server.operations.model import OperationState
from tests.analytics.churn.circle import Circle, fill, new_model, simulated
from tests.callers import CallBy, admin


async def make_serving(circle: Circle, features_version: str) -> None:
    """Makes the serving model one that was learned from features of another version."""
    async with circle.postgres.transaction() as tx:
        sql = (
            "UPDATE churn_models SET document = jsonb_set(document, '{features_version}', to_jsonb($1::text))"
            " WHERE state = 'serving'"
        )
        await (await tx.driver()).execute(sql, features_version)


async def test_a_serving_model_that_is_not_read_any_more_keeps_no_other_from_its_place(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    candidate = await circle.trained()
    serving = await circle.promoted()
    await make_serving(circle, "1")
    learned = await circle.trained()
    assert learned.card.compared_model_id == serving.id
    for model in (candidate, learned):
        assert (await circle.churn.models.promote(CallBy(admin()), None, model.id)).state is ModelState.SERVING


async def test_an_old_process_leaves_training_to_a_newer_one_where_a_newer_model_serves(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    await make_serving(circle, "3")
    operation = await circle.finished(await circle.churn.models.train(admin(), new_model()))
    assert operation.state is OperationState.QUEUED
