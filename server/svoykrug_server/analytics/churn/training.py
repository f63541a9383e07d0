"""Trains churn models: the work function of the operation `train_churn_model`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from svoykrug_server.analytics.churn.loan import Loan, can_judge
from svoykrug_server.analytics.churn.model import (
    MAX_HORIZON_DAYS,
    MIN_HORIZON_DAYS,
    MIN_MEMBERS,
    ChurnModel,
    Difference,
    ModelState,
    TrainingPlan,
    default_training_cutoffs,
    too_little_data,
)
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.starts import look_back_start
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse, Scope, sample
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.ports import Disputes, Progress
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.kit.failpoints import failpoint

if TYPE_CHECKING:
    from svoykrug_server.analytics.churn.estimator import Window
    from svoykrug_server.analytics.churn.learning import Learned

KIND = "train_churn_model"
MOST_TRAINING_MEMBERS = 100_000
"""Members of all training windows together; of a larger scope a random sample learns as well, in bounded memory."""
MOST_TEST_MEMBERS = 50_000
_WEEK_DAYS = 7


class ChurnTrainer:
    """Trains and keeps models.

    Args:
        repository: The models.
        warehouse: What was known of members.
        disputes: Where the stores disagree.
        kept: From when on purchases are held.
        clock: Tells the time.
    """

    def __init__(
        self,
        repository: ChurnRepository,
        warehouse: ChurnWarehouse,
        disputes: Disputes,
        kept: KeptHistory,
        clock: Clock,
    ) -> None:
        self._repository = repository
        self._warehouse = warehouse
        self._disputes = disputes
        self._kept = kept
        self._clock = clock

    async def run(self, parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        """Trains the model that `parameters` describe, unless an earlier attempt has kept it already.

        Args:
            parameters: `churn_model_id`, `business_id` or null, `horizon_days` or 0, `population_days`,
                `test_cutoff_time` or null, `training_cutoff_times`, `watermark`: instants in ISO 8601.
            progress: Told the stages `verify`, `features`, `fit` and `keep`.

        Returns:
            `churn_model_id`.

        Raises:
            FailedPrecondition: TOO_LITTLE_DATA; CUTOFF_AHEAD_OF_WATERMARK: the test window is not complete; or
                HISTORY_NOT_KEPT: not all of the year before a cutoff is held.
            Unavailable: STORES_DISAGREE, a day it covers is being repaired; or the warehouse is away.
        """
        model_id = UUID(parameters["churn_model_id"])
        business_id = UUID(parameters["business_id"]) if parameters["business_id"] else None
        if await self._repository.find_model(business_id, model_id) is None:
            await progress.report("verify", 2)
            plan = await self._plan(model_id, business_id, parameters)
            needed_until = plan.test_cutoff + timedelta(days=plan.horizon_days)
            async with self._disputes.undisputed(business_id, needed_until) as refuse_disputed:
                chosen = bool(parameters["training_cutoff_times"])
                plan = await self._held(plan, chosen=chosen)
                await self._train(plan, refuse_disputed, chosen=chosen, progress=progress)
        return {"churn_model_id": str(model_id)}

    async def compare(self, model: ChurnModel, serving: ChurnModel) -> tuple[Difference, ...]:
        """Compares a model with the one that serves, on the members of its own test window and the same resamples.

        Args:
            model: The model.
            serving: The one that serves, of the same horizon.

        Raises:
            FailedPrecondition: HISTORY_NOT_KEPT, not all of the year before its test cutoff is held any more.
            WarehouseUnavailable: The warehouse is away.
        """
        plan = model.plan
        await self._kept.refuse_before(look_back_start(plan.test_cutoff))
        test = await self._window(plan, plan.test_cutoff, plan.population_days, MOST_TEST_MEMBERS)
        documents = [await self._repository.document(each.id) for each in (model, serving)]
        return await asyncio.to_thread(_compare, documents, test)

    async def _plan(self, model_id: UUID, business_id: UUID | None, parameters: Mapping[str, Any]) -> TrainingPlan:
        watermark = datetime.fromisoformat(parameters["watermark"])
        asked_cutoff = parameters["test_cutoff_time"]
        known_by = datetime.fromisoformat(asked_cutoff) if asked_cutoff else watermark
        horizon_days = parameters["horizon_days"] or await self._horizon(Scope(business_id, watermark), known_by)
        test_cutoff = known_by if asked_cutoff else watermark - timedelta(days=horizon_days)
        chosen = [datetime.fromisoformat(text) for text in parameters["training_cutoff_times"]]
        return TrainingPlan(
            model_id=model_id,
            business_id=business_id,
            horizon_days=horizon_days,
            population_days=parameters["population_days"],
            test_cutoff=test_cutoff,
            training_cutoffs=tuple(sorted(chosen)) or default_training_cutoffs(test_cutoff, horizon_days),
            watermark=watermark,
        )

    async def _held(self, plan: TrainingPlan, *, chosen: bool) -> TrainingPlan:
        """Returns the plan with the training cutoffs before each of which a year is held.

        One that was asked for and lies too early is refused, and so is the last of those that were not, and the test's.
        """
        earliest = await self._kept.earliest()
        held = tuple(
            cutoff for cutoff in plan.training_cutoffs if earliest is None or look_back_start(cutoff) >= earliest
        )
        needed = min(plan.training_cutoffs) if chosen else max(plan.training_cutoffs)
        await self._kept.refuse_before(look_back_start(min(needed, plan.test_cutoff)))
        return replace(plan, training_cutoffs=held)

    async def _horizon(self, scope: Scope, known_by: datetime) -> int:
        """Chooses the horizon: the mean gap that nine of ten repeat members stay below, in whole weeks.

        With too few of them it is that of the models the business may borrow from.
        """
        count, gap_days = await self._warehouse.usual_gap(scope, known_by)
        if count < MIN_MEMBERS:
            loan = await self._repository.loan(scope.business_id, 0)
            if loan is not None:
                return loan.horizon_days
            metadata = {"repeat_member_count": str(count), "needed_member_count": str(MIN_MEMBERS)}
            raise FailedPrecondition("TOO_LITTLE_DATA", metadata=metadata)
        weeks = round(gap_days / _WEEK_DAYS)
        return min(max(weeks * _WEEK_DAYS, MIN_HORIZON_DAYS), MAX_HORIZON_DAYS)

    async def _train(
        self, plan: TrainingPlan, refuse_disputed: Callable[[], Awaitable[None]], *, chosen: bool, progress: Progress
    ) -> None:
        test = await self._window(plan, plan.test_cutoff, plan.population_days, MOST_TEST_MEMBERS)
        loan, borrowed_from = None, None
        try:
            _refuse_little(test, "test")
            plan, training = await self._training_windows(plan, chosen, progress)
        except FailedPrecondition as little:
            loan = await self._loan(plan, test, little)
            borrowed_from = loan.to(little)
            plan, training = await self._borrower_windows(plan, little, progress)
        await progress.report("features", 50)
        everyone = None
        if plan.population_days:
            everyone = await self._window(plan, plan.test_cutoff, 0, MOST_TEST_MEMBERS)
        await progress.report("fit", 60, sum(len(window.churned) for window in training))
        learned = await self._learn(
            plan, training, test, everyone, () if loan is None else loan.documents, borrowed_from
        )
        await progress.report("keep", 95)
        await refuse_disputed()
        now = self._clock.now()
        model = ChurnModel(plan, learned.card, learned.algorithm, learned.features, ModelState.CANDIDATE, now)
        failpoint("training.learned")
        await self._repository.add_model(model, learned.document)
        failpoint("training.kept")

    async def _training_windows(
        self, plan: TrainingPlan, chosen: bool, progress: Progress
    ) -> tuple[TrainingPlan, list["Window"]]:
        """Returns the windows to learn from, and the plan with their cutoffs.

        A window of our own choice that holds too little is left out; one that was asked for, or none that is left, is
        refused.
        """
        kept: list[tuple[datetime, Window]] = []
        refusal: FailedPrecondition | None = None
        most = MOST_TRAINING_MEMBERS // len(plan.training_cutoffs)
        for number, cutoff in enumerate(plan.training_cutoffs):
            await progress.report("features", 5 + 45 * number // len(plan.training_cutoffs))
            window = await self._window(plan, cutoff, plan.population_days, most)
            little = too_little_data(len(window.churned), int(window.churned.sum()), cutoff.isoformat())
            if little is not None and chosen:
                raise little
            if little is None:
                kept.append((cutoff, window))
            refusal = refusal or little
        if not kept and refusal is not None:
            raise refusal
        cutoffs = tuple(cutoff for cutoff, _ in kept)
        return replace(plan, training_cutoffs=cutoffs), [window for _, window in kept]

    async def _loan(self, plan: TrainingPlan, test: "Window", little: FailedPrecondition) -> Loan:
        """Returns what a business may borrow; refuses one that could not judge it, and one that finds no lender."""
        loan = None
        if can_judge(len(test.churned), int(test.churned.sum())):
            loan = await self._repository.loan(plan.business_id, plan.horizon_days)
        if loan is None:
            raise little
        return loan

    async def _borrower_windows(
        self, plan: TrainingPlan, little: FailedPrecondition, progress: Progress
    ) -> tuple[TrainingPlan, list["Window"]]:
        """Returns the windows that hold anybody, however few, and the plan with their cutoffs."""
        kept: list[tuple[datetime, Window]] = []
        for number, cutoff in enumerate(plan.training_cutoffs):
            await progress.report("features", 5 + 45 * number // len(plan.training_cutoffs))
            window = await self._window(plan, cutoff, plan.population_days, MOST_TRAINING_MEMBERS)
            if len(window.churned):
                kept.append((cutoff, window))
        if not kept:
            raise little
        return replace(plan, training_cutoffs=tuple(cutoff for cutoff, _ in kept)), [window for _, window in kept]

    async def _window(self, plan: TrainingPlan, cutoff: datetime, population_days: int, most: int) -> "Window":
        scope = await self._warehouse.scope(plan.business_id, plan.watermark)
        count = await self._warehouse.member_count(scope, cutoff)
        members = sample(most / max(count, 1))
        table = await self._warehouse.window(scope, cutoff, plan.horizon_days, population_days, members)
        return await asyncio.to_thread(_window_of, table)

    async def _learn(
        self,
        plan: TrainingPlan,
        training: list["Window"],
        test: "Window",
        everyone: "Window | None",
        *loan: Any,
    ) -> "Learned":
        serving = await self._repository.serving_model(plan.business_id)
        if serving is not None and serving.plan.horizon_days != plan.horizon_days:
            serving = None
        serving_id = None if serving is None else serving.id
        document = None if serving_id is None else await self._repository.document(serving_id)
        material = (training, test, everyone, plan.horizon_days, serving_id, document, *loan)
        return await asyncio.to_thread(_learn, *material)


def _refuse_little(window: "Window", name: str) -> None:
    little = too_little_data(len(window.churned), int(window.churned.sum()), name)
    if little is not None:
        raise little


def _window_of(table: Any) -> "Window":
    from svoykrug_server.analytics.churn import learning  # noqa: PLC0415  heavy: in a thread only

    return learning.window_of(table)


def _learn(*material: Any) -> "Learned":
    from svoykrug_server.analytics.churn import learning  # noqa: PLC0415  as above

    return learning.learn(learning.Material(*material))


def _compare(documents: list[Any], test: "Window") -> tuple[Difference, ...]:
    from svoykrug_server.analytics.churn import learning  # noqa: PLC0415  as above

    return learning.compare(documents[0], documents[1], test)
