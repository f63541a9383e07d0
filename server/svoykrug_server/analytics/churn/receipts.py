"""Grades forecasts once their horizon has closed: "we said 30 %, 31 % left"."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from svoykrug_server.analytics.churn.model import CalibrationBin, ForecastReceipt, Scoring
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse, Scope, blocks
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.ports import Disputes
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import StoreUnavailable, Unavailable, WarehouseUnavailable
from svoykrug_server.kit.failpoints import failpoint

BLOCK_MEMBERS = 500_000
_log = structlog.get_logger(__name__)


class ForecastGrader:
    """Writes receipts.

    Args:
        repository: Scorings and receipts.
        warehouse: The scores, and who bought since.
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

    async def grade_closed(self, business_id: UUID | None, watermark: datetime) -> int:
        """Grades every scoring of a scope whose horizon has closed and that has no receipt, and returns how many.

        One of a time from which not every purchase is held can be graded no more. One whose rows are gone is graded
        when they have been made again, and one of a time on which the stores disagree when that is repaired: a receipt
        is written once.

        Args:
            business_id: The business; None for the circle.
            watermark: Purchases ingested by then count.
        """
        earliest = await self._kept.earliest()
        ungraded = await self._repository.ungraded(business_id, watermark)
        closed = [scoring for scoring in ungraded if earliest is None or scoring.plan.cutoff >= earliest]
        graded = 0
        for scoring in closed:
            receipt = await self._graded_undisputed(scoring, watermark) if scoring.standing.is_held else None
            if receipt is None:
                _log.warning("forecast_not_graded", scoring_id=str(scoring.plan.scoring_id))
                continue
            failpoint("receipt.graded")
            await self._repository.add_receipt(receipt)
            failpoint("receipt.kept")
            graded += 1
        return graded

    async def _graded_undisputed(self, scoring: Scoring, watermark: datetime) -> ForecastReceipt | None:
        """Returns the receipt; None where it would tell who did not come by purchases that are not there."""
        horizon_end = scoring.plan.cutoff + timedelta(days=scoring.horizon_days)
        try:
            async with self._disputes.undisputed(scoring.plan.business_id, horizon_end) as refuse_disputed:
                receipt = await self._grade(scoring, watermark)
                await refuse_disputed()
                return receipt
        except (StoreUnavailable, WarehouseUnavailable):
            raise
        except Unavailable as refusal:
            _log.info("grading_refused", scoring_id=str(scoring.plan.scoring_id), reason=refusal.reason)
            return None

    async def _grade(self, scoring: Scoring, watermark: datetime) -> ForecastReceipt | None:
        """Returns the receipt; None where the warehouse does not hold all that was said."""
        plan = scoring.plan
        scope = Scope(plan.business_id, watermark)
        parts = [
            await self._warehouse.graded_block(scope, scoring, block)
            for block in blocks(scoring.scored_count // BLOCK_MEMBERS + 1)
        ]
        member_count = sum(part.num_rows for part in parts)
        if member_count != scoring.scored_count:
            return None
        said, happened, figures, bins = await asyncio.to_thread(_figures, parts)
        return ForecastReceipt(
            scoring=scoring,
            member_count=member_count,
            predicted_share=said,
            observed_share=happened,
            figures=figures,
            bins=bins,
            watermark=watermark,
            create_time=self._clock.now(),
        )


def _figures(parts: list[Any]) -> tuple[float, float, dict[str, float], tuple[CalibrationBin, ...]]:
    from svoykrug_server.analytics.churn import evaluation  # noqa: PLC0415  heavy: in a thread only

    return evaluation.grade(parts)
