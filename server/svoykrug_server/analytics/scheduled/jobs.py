"""The jobs of analytics: each goes over the scopes one by one, and a scope that fails does not keep the next waiting.

Snapshots and scorings of a night are cut off at the circle's midnight, whenever they are made, so that two nights are a
day apart. One operation runs at a time: what people ask for in between waits for one scope, not for all.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from svoykrug_server.analytics.churn.model import MIN_HORIZON_DAYS, MIN_MEMBERS
from svoykrug_server.analytics.churn.receipts import ForecastGrader
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.risk import NewScoring, RiskService
from svoykrug_server.analytics.churn.service import ModelService, NewModel
from svoykrug_server.analytics.ports import Operation, Watermarks
from svoykrug_server.analytics.scheduled.ports import Round
from svoykrug_server.analytics.scheduled.repository import ScopeRepository
from svoykrug_server.analytics.service import NewSnapshot, SnapshotService
from svoykrug_server.kit.caller import system_caller
from svoykrug_server.kit.errors import Conflict, DomainError, FailedPrecondition, StoreUnavailable

_log = structlog.get_logger(__name__)

SOLD_WITHIN = timedelta(days=365)
KNOWN_FOR = timedelta(days=2 * MIN_HORIZON_DAYS)
"""How long ago the members of a scope must have bought: a window to learn from and one to judge by take that."""
TRY_AGAIN_AFTER = timedelta(days=7)
"""How long a scope waits whose first model was not good enough to serve."""
NOTHING_TO_DO = frozenset({"TOO_LITTLE_DATA", "NO_SERVING_MODEL", "HISTORY_NOT_KEPT"})
"""Why a scope is left out: next time it may have more, or a nearer horizon; trying again tonight would not help."""


class AnalyticsJobs:
    """What is done without being asked.

    Args:
        scopes: Which scopes there is something to do for.
        snapshots: Takes snapshots.
        models: Trains and promotes.
        risk: Scores.
        serving: Which models serve.
        grader: Grades forecasts.
        watermarks: How far the warehouse is.
    """

    def __init__(
        self,
        scopes: ScopeRepository,
        snapshots: SnapshotService,
        models: ModelService,
        risk: RiskService,
        serving: ChurnRepository,
        grader: ForecastGrader,
        watermarks: Watermarks,
    ) -> None:
        self._scopes = scopes
        self._snapshots = snapshots
        self._models = models
        self._risk = risk
        self._serving = serving
        self._grader = grader
        self._watermarks = watermarks

    async def take_snapshots(self, current: Round) -> None:
        """Takes a snapshot of the circle and of each business that sold in the year before the period.

        Raises:
            DomainError: Why the last scope that failed did.
        """
        cutoff = current.period.begin_time
        scopes = await self._scopes.sold_since(cutoff - SOLD_WITHIN)

        async def take(scope: UUID | None) -> None:
            await _made(
                current, scope, lambda key: self._snapshots.create(system_caller(), NewSnapshot(scope, cutoff, 0, key))
            )

        await _each(scopes, take)

    async def score(self, current: Round) -> None:
        """Scores the members of each scope that has a serving model.

        Raises:
            DomainError: Why the last scope that failed did.
        """
        cutoff = current.period.begin_time

        async def score(scope: UUID | None) -> None:
            await _made(current, scope, lambda key: self._risk.score(system_caller(), NewScoring(scope, cutoff, key)))

        await _each(await self._scopes.served(), score)

    async def train(self, current: Round) -> None:
        """Trains a model for each scope with enough data, and lets it serve where the rules of promotion allow it.

        Raises:
            DomainError: Why the last scope that failed did.
        """
        await self._train_all(current, await self._scopes.sold_since(current.period.begin_time - SOLD_WITHIN))

    async def train_first(self, current: Round) -> None:
        """Trains a model for each scope that has none and has got enough members: it need not wait for the month's end.

        Raises:
            DomainError: Why the last scope that failed did.
        """
        begin = current.period.begin_time
        bought = (begin - SOLD_WITHIN, begin - KNOWN_FOR)
        await self._train_all(current, await self._scopes.unserved(MIN_MEMBERS, bought, begin - TRY_AGAIN_AFTER))

    async def _train_all(self, current: Round, scopes: Sequence[UUID | None]) -> None:
        async def train(scope: UUID | None) -> None:
            made = await _made(current, scope, lambda key: self._train(scope, key))
            if made is not None:
                await self._promote(scope, UUID(made))

        await _each(scopes, train)

    async def grade(self, current: Round) -> None:
        """Writes the receipt of each forecast whose horizon has closed.

        Raises:
            FailedPrecondition: CUTOFF_AHEAD_OF_WATERMARK, the warehouse is not proven yet up to the period.
            DomainError: Why the last scope that failed did.
        """
        watermark = await self._watermarks.watermark()
        if watermark is None or watermark < current.period.begin_time:
            raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK")

        async def grade(scope: UUID | None) -> None:
            await self._grader.grade_closed(scope, watermark)

        await _each(await self._scopes.ungraded(watermark), grade)

    async def _train(self, scope: UUID | None, key: UUID) -> Operation:
        """Trains for the horizon of the serving model, so that the two can be compared; for a chosen one without."""
        serving = await self._serving.serving_model(scope)
        horizon, population = (0, 0) if serving is None else (serving.plan.horizon_days, serving.plan.population_days)
        return await self._models.train(system_caller(), NewModel(scope, horizon, None, (), population, key))

    async def _promote(self, scope: UUID | None, model_id: UUID) -> None:
        try:
            await self._models.promote(None, scope, model_id)
        except FailedPrecondition as refusal:
            _log.info("model_not_promoted", model_id=str(model_id), **refusal.metadata)
        except Conflict:
            _log.info("model_not_promoted", model_id=str(model_id), obstacles="another_was_promoted")


async def _made(current: Round, scope: UUID | None, start: Callable[[UUID], Awaitable[Operation]]) -> str | None:
    """Returns the id of what an operation made, or None when there was nothing to make or somebody cancelled it."""
    ended = await current.complete(scope, start)
    if ended.result is not None:
        return next(iter(ended.result.values()))
    if ended.reason and ended.reason not in NOTHING_TO_DO:
        raise DomainError(ended.reason)
    return None


async def _each(scopes: Sequence[UUID | None], work: Callable[[UUID | None], Awaitable[None]]) -> None:
    """Works for every scope, then raises why the last one that failed did."""
    failure: DomainError | None = None
    for scope in scopes:
        try:
            await work(scope)
        except StoreUnavailable:
            raise
        except DomainError as error:
            if error.reason not in NOTHING_TO_DO:
                failure = error
                _log.warning("scope_failed", business_id=str(scope), reason=error.reason)
    if failure is not None:
        raise failure
