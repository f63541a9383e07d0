"""Use cases of churn models: train, promote, look at them. What they say of members is in `risk`.

The edge has checked that the caller owns the business that the request names, or may see the circle. What is left to
check here is that a model is one of that scope.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from svoykrug_server.analytics.churn import training
from svoykrug_server.analytics.churn.model import (
    MIN_HORIZON_DAYS,
    ChurnModel,
    ModelState,
    TrainingPlan,
)
from svoykrug_server.analytics.churn.promotion import obstacles, worse_than_serving
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.starts import OperationStarts, refuse_ahead
from svoykrug_server.analytics.churn.training import ChurnTrainer
from svoykrug_server.analytics.ports import Operation
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, FailedPrecondition, InvalidFields, NotFound, PermissionDenied
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditEvent, Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres

DEFAULT_MODELS = 20
MAX_MODELS = 100


@dataclass(frozen=True, slots=True)
class NewModel:
    """What a caller asks to be trained.

    Attributes:
        business_id: The business; None for the circle.
        horizon_days: 0 to choose it from the gaps between purchases.
        test_cutoff: None for the watermark less the horizon.
        training_cutoffs: Empty for five, a horizon apart.
        population_days: 0 for everyone with any purchase.
        request_id: Makes the call repeatable.
    """

    business_id: UUID | None
    horizon_days: int
    test_cutoff: datetime | None
    training_cutoffs: tuple[datetime, ...]
    population_days: int
    request_id: UUID


class ModelService:
    """Churn models as callers see them.

    Args:
        postgres: The system of record.
        repository: Models, scorings and receipts.
        trainer: Compares a model with the one that serves.
        starts: Queues the work.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        repository: ChurnRepository,
        trainer: ChurnTrainer,
        starts: OperationStarts,
        page_tokens: PageTokens,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._trainer = trainer
        self._starts = starts
        self._page_tokens = page_tokens
        self._clock = clock

    async def train(self, caller: Caller, asked: NewModel) -> Operation:
        """Queues the training of a model; the same request id again returns the operation of the first time.

        Raises:
            FailedPrecondition: CUTOFF_AHEAD_OF_WATERMARK, the test window is not complete yet.
            InvalidFields: The horizon is too short, a training window reaches beyond the test cutoff, or
                REQUEST_ID_REUSED.
        """
        if 0 < asked.horizon_days < MIN_HORIZON_DAYS:
            raise InvalidFields.of("horizon_days", f"must be 0 or at least {MIN_HORIZON_DAYS}")
        watermark = await self._starts.watermark()
        if asked.test_cutoff is not None:
            refuse_ahead(asked.test_cutoff + timedelta(days=asked.horizon_days), watermark)
            _check_plan(asked, asked.test_cutoff, watermark)
        parameters: dict[str, Any] = {
            "business_id": _text(asked.business_id),
            "horizon_days": asked.horizon_days,
            "population_days": asked.population_days,
            "test_cutoff_time": None if asked.test_cutoff is None else asked.test_cutoff.isoformat(),
            "training_cutoff_times": [cutoff.isoformat() for cutoff in asked.training_cutoffs],
        }
        made = {"churn_model_id": str(uuid7(self._clock.now())), "watermark": watermark.isoformat()}
        return await self._starts.start(caller, "TrainChurnModel", asked.request_id, training.KIND, parameters, made)

    async def promote(self, call: Origin | None, business_id: UUID | None, model_id: UUID) -> ChurnModel:
        """Makes a model the one that scores its scope, and returns it; one that serves already stays as it is.

        Args:
            call: In which call; None when the schedule does it.
            business_id: The scope; None for the circle.
            model_id: The model.

        Raises:
            FailedPrecondition: MODEL_NOT_GOOD_ENOUGH; `obstacles` in the metadata names the rules it breaks.
            Conflict: Somebody promoted another model at the same moment.
            PermissionDenied: There is no such model in this scope.
            NotFound: The same, said to admins and services.
        """
        model = await self._repository.find_model(business_id, model_id)
        if model is None:
            raise _missing(None if call is None else call.caller)
        if model.state is ModelState.SERVING:
            return model
        serving = await self._repository.serving_model(business_id)
        broken = obstacles(model) + await self._worse(model, serving)
        if broken:
            raise FailedPrecondition("MODEL_NOT_GOOD_ENOUGH", metadata={"obstacles": ",".join(broken)})
        await self._serve(call, model, None if serving is None else serving.id)
        return replace(model, state=ModelState.SERVING)

    async def get_model(self, caller: Caller, business_id: UUID | None, model_id: UUID | None) -> ChurnModel:
        """Returns a model of a scope.

        Args:
            caller: Who asks.
            business_id: The scope; None for the circle.
            model_id: The model; None for the serving one.

        Raises:
            PermissionDenied: There is no such model in this scope.
            NotFound: The same, said to admins and services.
        """
        if model_id is None:
            model = await self._repository.serving_model(business_id)
        else:
            model = await self._repository.find_model(business_id, model_id)
        if model is None:
            raise _missing(caller)
        return model

    async def list_models(
        self, business_id: UUID | None, asked_size: int, page_token: str
    ) -> tuple[list[ChurnModel], str]:
        """Returns a page of the models of a scope, the newest first, and the token of the next page.

        Raises:
            InvalidFields: The page size is negative, or the token was made for another list.
        """
        size = page_size(asked_size, default=DEFAULT_MODELS, most=MAX_MODELS)
        listing = f"churn models {business_id}"
        position = self._page_tokens.read(listing, page_token)
        before_id = None if position is None else UUID(str(position[0]))
        found = await self._repository.list_models(business_id, before_id, size + 1)
        token = self._page_tokens.make(listing, [str(found[size - 1].id)]) if len(found) > size else ""
        return found[:size], token

    async def _worse(self, model: ChurnModel, serving: ChurnModel | None) -> tuple[str, ...]:
        """Returns in what a model is worse than the serving one; models of different horizons are not compared."""
        if serving is None or serving.plan.horizon_days != model.plan.horizon_days:
            return ()
        if model.card.compared_model_id == serving.id:
            return worse_than_serving(model.card.differences)
        return worse_than_serving(await self._trainer.compare(model, serving))

    async def _serve(self, call: Origin | None, model: ChurnModel, judged_against_id: UUID | None) -> None:
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            serving_id = await self._repository.lock_promotion(tx, model.plan.business_id)
            if serving_id == model.id:
                return
            if serving_id != judged_against_id:
                raise Conflict("STALE_ETAG")
            await self._repository.serve(tx, model.id, serving_id, now)
            details = {"business_id": _text(model.plan.business_id), "retired_model_id": _text(serving_id)}
            target = ("churn_model", str(model.id))
            await audit.append(tx, _promoted(call, now, target, details))
            failpoint("promotion.written")
        failpoint("promotion.committed")


def _promoted(call: Origin | None, now: datetime, target: tuple[str, str], details: dict[str, Any]) -> AuditEvent:
    action = "CHURN_MODEL_PROMOTED"
    if call is None:
        return AuditEvent(action, now, target_kind=target[0], target_id=target[1], details=details)
    return event_of_call(call, action, now, target=target, details=details)


def _check_plan(asked: NewModel, test_cutoff: datetime, watermark: datetime) -> None:
    """Refuses at once what the operation would refuse, as far as the horizon is known."""
    TrainingPlan(
        model_id=UUID(int=0),
        business_id=asked.business_id,
        horizon_days=asked.horizon_days,
        population_days=asked.population_days,
        test_cutoff=test_cutoff,
        training_cutoffs=asked.training_cutoffs,
        watermark=watermark,
    )


def _missing(caller: Caller | None) -> NotFound | PermissionDenied:
    knows = caller is not None and (caller.is_admin or caller.is_service)
    return NotFound() if knows else PermissionDenied()


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)
