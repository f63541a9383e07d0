"""Scores members: the work function of the operation `score_members`.

Block by block: features from the warehouse, probabilities and reasons in a thread, rows back into the warehouse. Every
attempt writes its rows under a build id of its own: what it read may have been repaired when the next one begins. A
block is inserted whole under a token of its own, so that repeating the insert adds nothing. PostgreSQL makes the
finished scoring visible in one step, with the build that counts; it never changes from then on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog

from svoykrug_server.analytics.churn.drift_metrics import DriftMetrics
from svoykrug_server.analytics.churn.model import OUT_OF_DATE, ChurnModel, FeatureBins, Scoring, ScoringPlan
from svoykrug_server.analytics.churn.receipts import ForecastGrader
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.stability_repository import StabilityRepository
from svoykrug_server.analytics.churn.starts import look_back_start
from svoykrug_server.analytics.churn.warehouse import Block, ChurnWarehouse, Scope, blocks
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import Snapshot
from svoykrug_server.analytics.ports import Disputes, Progress
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.analytics.standing import CannotBeMade, LostReason
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.kit.failpoints import failpoint

if TYPE_CHECKING:
    from svoykrug_server.analytics.churn.blocks import BlockScorer

KIND = "score_members"
BLOCK_MEMBERS = 12_500
"""Twice as many take as much processor time and more memory."""
_log = structlog.get_logger(__name__)


class ScoreWriter:
    """Computes the rows of a scoring and writes them; the same plan and segments give the same rows.

    Args:
        repository: Models.
        warehouse: What is known of members, and their scores.
        clock: Tells the time.
    """

    def __init__(self, repository: ChurnRepository, warehouse: ChurnWarehouse, clock: Clock) -> None:
        self._repository = repository
        self._warehouse = warehouse
        self._clock = clock

    async def write(self, plan: ScoringPlan, build_id: UUID, segments: Snapshot | None, progress: Progress) -> Scoring:
        """Writes the rows of a build, and returns the scoring that they would be.

        Args:
            plan: What is scored.
            build_id: The build, which nobody knows yet.
            segments: The snapshot that says the segments; None when there is none.
            progress: Told the stage `score`.

        Raises:
            CannotBeMade: This program does not read the model.
            FailedPrecondition: RESULT_LOST, the rows of the snapshot are lost for good.
            Unavailable: RESULT_BEING_REMADE, they are being made again; or the warehouse is away.
        """
        if segments is not None:
            segments.standing.refuse_gone()
        model = await self._repository.find_model(plan.business_id, plan.model_id)
        document = await self._repository.document(plan.model_id)
        if model is None or document is None:
            raise FailedPrecondition("NO_SERVING_MODEL")
        scope = await self._warehouse.scope(plan.business_id, plan.watermark)
        count = await self._warehouse.member_count(scope, plan.cutoff)
        scorer = await asyncio.to_thread(_block_scorer, document, model.card.feature_bins)
        all_blocks = blocks(count // BLOCK_MEMBERS + 1)
        segments_build_id = None if segments is None else segments.build_id
        await self._write_blocks(plan, build_id, model, scorer, scope, segments_build_id, all_blocks, progress)
        if segments is not None:
            await self._warehouse.refuse_without_segments(segments)
        contents = await self._warehouse.contents(plan.scoring_id, build_id)
        return Scoring(
            plan=plan,
            build_id=build_id,
            horizon_days=model.plan.horizon_days,
            population_days=model.plan.population_days,
            scored_count=contents.member_count,
            create_time=self._clock.now(),
            drift=scorer.drift(),
            content_hash=contents.content_hash,
            snapshot_id=None if segments is None else segments.id,
        )

    async def _write_blocks(
        self,
        plan: ScoringPlan,
        build_id: UUID,
        model: ChurnModel,
        scorer: "BlockScorer",
        scope: Scope,
        segments_build_id: UUID | None,
        all_blocks: list[Block],
        progress: Progress,
    ) -> None:
        horizon, population = model.plan.horizon_days, model.plan.population_days
        done = 0
        for number, block in enumerate(all_blocks):
            await progress.report("score", 5 + 85 * number // len(all_blocks), done)
            known = await self._warehouse.scoring_block(
                scope, plan.cutoff, horizon, population, block, segments_build_id
            )
            scored = await asyncio.to_thread(scorer.score, known, plan.scoring_id, build_id)
            if scored.num_rows:
                failpoint("scoring.scored")
                await self._warehouse.insert_scores(scored, f"{build_id}-{number}-of-{len(all_blocks)}")
                failpoint("scoring.inserted")
            done += scored.num_rows


class MemberScorer:
    """Scores and publishes.

    Args:
        repository: Models and scorings.
        writer: Computes and writes.
        warehouse: Holds the scores.
        snapshots: Which snapshot says the segments.
        grader: Grades the forecasts whose horizon has closed.
        disputes: Where the stores disagree.
        kept: From when on purchases are held.
        stability: How far the members have moved.
        metrics: Shown that.
        clock: Tells the time.
    """

    def __init__(
        self,
        repository: ChurnRepository,
        writer: ScoreWriter,
        warehouse: ChurnWarehouse,
        snapshots: SnapshotRepository,
        grader: ForecastGrader,
        disputes: Disputes,
        kept: KeptHistory,
        stability: StabilityRepository,
        metrics: DriftMetrics,
        clock: Clock,
    ) -> None:
        self._repository = repository
        self._writer = writer
        self._warehouse = warehouse
        self._snapshots = snapshots
        self._grader = grader
        self._disputes = disputes
        self._kept = kept
        self._stability = stability
        self._metrics = metrics
        self._clock = clock

    async def run(self, parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        """Scores what `parameters` describe, unless an earlier attempt has finished it already.

        Args:
            parameters: `scoring_id`, `churn_model_id`, `business_id` or null, `cutoff_time`, `watermark`: instants in
                ISO 8601.
            progress: Told the stages `verify`, `score`, `publish` and `grade`.

        Returns:
            `scoring_id`.

        Raises:
            FailedPrecondition: TOO_LITTLE_DATA, nobody is to be scored; or HISTORY_NOT_KEPT, not all of the year before
                the cutoff is held.
            Unavailable: STORES_DISAGREE, a day it covers is being repaired; or the warehouse is away.
        """
        plan = _plan(parameters)
        found = await self._repository.find_scoring(plan.scoring_id)
        build_id = await self._publish(plan, uuid4(), progress) if found is None else found.build_id
        if found is None or found.standing.is_held:
            # What attempts before it left is seen by nobody; one that still works loses what it cannot publish.
            await self._warehouse.clear_others(plan.scoring_id, build_id)
        await progress.report("grade", 95)
        await self._grader.grade_closed(plan.business_id, plan.watermark)
        self._metrics.show(await self._stability.stability())
        return {"scoring_id": str(plan.scoring_id)}

    async def _publish(self, plan: ScoringPlan, build_id: UUID, progress: Progress) -> UUID:
        """Scores, and returns the build that is published: another attempt's where that came first."""
        await progress.report("verify", 2)
        async with self._disputes.undisputed(plan.business_id, plan.cutoff) as refuse_disputed:
            await self._kept.refuse_before(look_back_start(plan.cutoff))
            segments = await self._snapshots.latest(plan.business_id, plan.cutoff, plan.watermark)
            scoring = await self._writer.write(plan, build_id, segments, progress)
            if scoring.scored_count == 0:
                raise FailedPrecondition("TOO_LITTLE_DATA", metadata={"member_count": "0", "needed_member_count": "1"})
            await progress.report("publish", 90, scoring.scored_count)
            await refuse_disputed()
            published = await self._repository.add_scoring(scoring)
        failpoint("scoring.published")
        _warn_of_drift(scoring)
        return published


def _plan(parameters: Mapping[str, Any]) -> ScoringPlan:
    return ScoringPlan(
        scoring_id=UUID(parameters["scoring_id"]),
        model_id=UUID(parameters["churn_model_id"]),
        business_id=UUID(parameters["business_id"]) if parameters["business_id"] else None,
        cutoff=datetime.fromisoformat(parameters["cutoff_time"]),
        watermark=datetime.fromisoformat(parameters["watermark"]),
    )


def _warn_of_drift(scoring: Scoring) -> None:
    moved = {feature: round(index, 3) for feature, index in scoring.drift.items() if index > OUT_OF_DATE}
    if moved:
        _log.warning("churn_model_out_of_date", churn_model_id=str(scoring.plan.model_id), stability_indexes=moved)


def _block_scorer(document: dict[str, Any], bins: Sequence[FeatureBins]) -> "BlockScorer":
    from svoykrug_server.analytics.churn.blocks import BlockScorer  # noqa: PLC0415  heavy: in a thread only

    try:
        return BlockScorer(document, bins)
    except ValueError as error:
        raise CannotBeMade(LostReason.MODEL_UNREADABLE) from error
