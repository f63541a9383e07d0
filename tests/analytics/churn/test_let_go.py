"""What churn makes of a horizon: it describes members by a whole year or not at all."""

from datetime import date, datetime, timedelta
from uuid import uuid4

from sqlalchemy import text

from svoykrug_server.analytics.churn.risk import NewScoring
from svoykrug_server.analytics.churn.starts import look_back_start
from tests.analytics.churn.circle import HORIZON_DAYS, TEST_CUTOFF, Circle, fill, new_model, simulated
from tests.analytics.horizon import failure_of, keep_from
from tests.callers import admin


def day_before_which_a_year_is_held(cutoff: datetime) -> date:
    """Returns the earliest horizon by which members can be described at a cutoff."""
    return look_back_start(cutoff).date()


async def test_training_learns_from_the_windows_that_are_held_and_refuses_what_was_asked_for_and_is_not(
    circle: Circle,
) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.trained()
    cutoffs = model.plan.training_cutoffs
    await keep_from(circle.postgres, day_before_which_a_year_is_held(cutoffs[2]))

    fewer = (await circle.trained()).plan.training_cutoffs
    chosen = await circle.finished(await circle.churn.models.train(admin(), new_model(training_cutoffs=cutoffs[1:])))
    await keep_from(circle.postgres, TEST_CUTOFF.date())
    none = await circle.finished(await circle.churn.models.train(admin(), new_model()))

    assert fewer == cutoffs[2:]
    assert failure_of(chosen.failure)[0] == failure_of(none.failure)[0] == "HISTORY_NOT_KEPT"


async def test_scoring_needs_the_year_before_and_a_forecast_of_a_lost_time_is_not_graded(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    await circle.scored(TEST_CUTOFF - timedelta(days=1))
    await circle.scored(TEST_CUTOFF)
    async with circle.postgres.transaction() as tx:
        await tx.execute(text("DELETE FROM churn_receipts"))
    await keep_from(circle.postgres, TEST_CUTOFF.date())

    asked_again = NewScoring(None, TEST_CUTOFF + timedelta(days=1), uuid4())
    refused = await circle.finished(await circle.churn.risk.score(admin(), asked_again))
    count = await circle.churn.grader.grade_closed(None, TEST_CUTOFF + timedelta(days=HORIZON_DAYS))

    assert failure_of(refused.failure)[0] == "HISTORY_NOT_KEPT"
    assert count == 1
