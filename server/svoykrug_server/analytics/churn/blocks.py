"""Scores one block of members after another: the part of scoring that computes, run in a thread."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import structlog
from threadpoolctl import threadpool_limits

from svoykrug_server.analytics.churn.drift import DriftMeter
from svoykrug_server.analytics.churn.features import COLUMN, RAW, REASON_GROUPS, Matrix, Vector
from svoykrug_server.analytics.churn.model import FeatureBins
from svoykrug_server.analytics.churn.reasons import REASONS_PER_MEMBER, Reasons, Typical, explain
from svoykrug_server.analytics.churn.scorer import Scorer
from svoykrug_server.analytics.value import spending
from svoykrug_server.analytics.value.calibration import Tails
from svoykrug_server.analytics.value.forecast import forecast
from svoykrug_server.analytics.value.outlook import Outlook, Rates
from svoykrug_server.analytics.value.spending import GammaGamma

_log = structlog.get_logger(__name__)
_HEADLINES = pa.array([group.headline for group in REASON_GROUPS])


class BlockScorer:
    """A model at work.

    The first block, a random sample of the members, says who is typical of each segment and how members spend.

    Args:
        document: The model's numbers.
        bins: How the features of the members it learned from were distributed.

    Raises:
        ValueError: The document is not a model.
    """

    def __init__(self, document: dict[str, Any], bins: Sequence[FeatureBins]) -> None:
        self._scorer = Scorer.from_document(document)
        self._tails = Tails.from_document(document.get("value"))
        self._meter = DriftMeter(bins)
        self._typical: Typical | None = None
        self._spending: GammaGamma | None = None

    def drift(self) -> dict[str, float]:
        """Returns the stability index of each feature over all blocks that were scored."""
        return self._meter.indexes()

    def score(self, known: pa.Table, scoring_id: UUID, build_id: UUID) -> pa.Table:
        """Returns the rows of `churn_scores` for a block: scores, reasons, and what each is expected to buy.

        It runs on one thread: threads of BLAS that wait for each other cost twice the processor time of one.

        Args:
            known: `member_id`, the columns `features.RAW`, `net_spend_minor` and `segment`.
            scoring_id: The scoring they are of.
            build_id: The attempt that writes them.
        """
        with threadpool_limits(1):
            return self._score(known, scoring_id, build_id)

    def _score(self, known: pa.Table, scoring_id: UUID, build_id: UUID) -> pa.Table:
        raw = np.column_stack([known[name].to_numpy() for name in RAW])
        self._meter.add(raw)
        segments = known["segment"].to_numpy()
        if self._typical is None and len(raw):
            self._typical = Typical.of(raw, segments)
        typical = raw if self._typical is None else self._typical.rows(segments)
        probability = self._scorer.probability(raw)
        reasons = explain(self._scorer, raw, probability, typical)
        return pa.table(
            {
                "scoring_id": pa.array([scoring_id.bytes] * len(raw), pa.binary(16)),
                "build_id": pa.array([build_id.bytes] * len(raw), pa.binary(16)),
                "member_id": known["member_id"],
                "probability": probability,
                "net_spend_minor": known["net_spend_minor"],
                **_reason_columns(reasons),
                **self._value_columns(raw),
            }
        )

    def _value_columns(self, raw: Matrix) -> dict[str, pa.Array]:
        if self._spending is None:
            days, spend = raw[:, COLUMN["purchase_days"]], raw[:, COLUMN["spend_minor"]]
            self._spending = spending.fit(days, spend)
            _log.info("member_spending_fitted", members=len(raw), independence=spending.independence(days, spend))
        horizon, bg_nbd = self._scorer.horizon_days, self._scorer.bg_nbd
        rates = Rates.of(raw, bg_nbd.r, bg_nbd.alpha, horizon)
        said = forecast(Outlook.of(raw, rates, self._spending, horizon), self._tails)
        return {
            "expected_purchase_count": pa.array(said.purchase_count),
            "purchase_count_low": pa.array(said.purchase_count_low, pa.uint32()),
            "purchase_count_high": pa.array(said.purchase_count_high, pa.uint32()),
            "expected_spend_minor": _whole(said.spend_minor),
            "spend_low_minor": _whole(said.spend_low_minor),
            "spend_high_minor": _whole(said.spend_high_minor),
        }


def _reason_columns(reasons: Reasons) -> dict[str, pa.Array]:
    names = _HEADLINES.take(pa.array(reasons.groups.ravel()))
    return {
        "reason_features": _lists(names),
        "reason_values": _lists(pa.array(reasons.values.ravel())),
        "reason_typical_values": _lists(pa.array(reasons.typical_values.ravel())),
        "reason_effects": _lists(pa.array(reasons.effects.ravel())),
    }


def _whole(values: Vector) -> pa.Array:
    return pa.array(np.rint(values).astype(np.int64))


def _lists(values: pa.Array) -> pa.Array:
    """Returns three successive values as a list per member."""
    offsets = np.arange(0, len(values) + 1, REASONS_PER_MEMBER, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
