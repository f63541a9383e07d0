"""The analytics of the demo: two snapshots, a churn model, its scores, and an independent check of the gate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1.analytics_service_pb2 import (
    CreateSnapshotRequest,
    GetChurnModelRequest,
    ListAtRiskMembersRequest,
    ListChurnModelsRequest,
    ListSnapshotsRequest,
    PromoteChurnModelRequest,
    ScoreMembersRequest,
    TrainChurnModelRequest,
)
from svoykrug.analytics.v1.churn_pb2 import ChurnModel, ChurnScore
from svoykrug.analytics.v1.snapshot_pb2 import Snapshot
from svoykrug.operations.v1.operation_pb2 import Operation

from demo.circle import request_id
from demo.console import bar
from svoykrug_client import Client, items

if TYPE_CHECKING:
    import pandas as pd

CUTOFF = datetime(2017, 12, 1, tzinfo=UTC)
EARLIER_CUTOFF = datetime(2017, 9, 1, tzinfo=UTC)
HORIZON_DAYS = 28
# The instants after the last day of 07-06, 08-03, 08-31, 09-28 and 10-26.
TRAINING_CUTOFFS = tuple(
    datetime(2017, month, day, tzinfo=UTC) for month, day in ((7, 7), (8, 4), (9, 1), (9, 29), (10, 27))
)
MEMBERS, BASE_RATE = 2_463, 0.180
LEAST_ROC_AUC, MOST_ECE, MOST_BRIER = 0.885, 0.025, 0.098
_BINS = 10


@dataclass(frozen=True, slots=True)
class Gate:
    """The quality of the scores on the test window, computed here from the raw purchases and the scores alone.

    Attributes:
        n: Members scored.
        base_rate: The share that left.
        roc_auc: The area under the ROC curve.
        ece: The expected calibration error over 10 equal-mass bins.
        brier: The Brier score.
    """

    n: int
    base_rate: float
    roc_auc: float
    ece: float
    brier: float

    def failures(self) -> list[str]:
        """Returns in words what keeps the gate closed; empty when it is open."""
        checks = (
            (self.n == MEMBERS, f"{self.n} members instead of {MEMBERS}"),
            (round(self.base_rate, 3) == BASE_RATE, f"base rate {self.base_rate:.4f} instead of {BASE_RATE:.3f}"),
            (self.roc_auc >= LEAST_ROC_AUC, f"ROC-AUC {self.roc_auc:.4f} < {LEAST_ROC_AUC}"),
            (self.ece <= MOST_ECE, f"ECE {self.ece:.4f} > {MOST_ECE}"),
            (self.brier <= MOST_BRIER, f"Brier {self.brier:.4f} > {MOST_BRIER}"),
        )
        return [words for holds, words in checks if not holds]


async def snapshot_at(service: Client, cutoff: datetime) -> tuple[Snapshot, bool]:
    """Returns the circle's snapshot at a cutoff and whether this call made it."""
    listed = items(service.analytics.ListSnapshots, ListSnapshotsRequest(page_size=500), lambda page: page.snapshots)
    async for snapshot in listed:
        if snapshot.cutoff_time.ToDatetime(tzinfo=UTC) == cutoff:
            return snapshot, False
    request = CreateSnapshotRequest(
        cutoff_time=_timestamp(cutoff), request_id=request_id(f"snapshot {cutoff:%Y-%m-%d}")
    )
    await _watched(service, (await service.analytics.CreateSnapshot(request)).operation, f"snapshot {cutoff:%Y-%m-%d}")
    snapshot, _ = await snapshot_at(service, cutoff)
    return snapshot, True


async def churn_model(service: Client) -> tuple[ChurnModel, bool]:
    """Returns the circle's model for the demo's split, trained when there is none, and whether this call trained it."""
    listed = items(
        service.analytics.ListChurnModels, ListChurnModelsRequest(page_size=100), lambda page: page.churn_models
    )
    async for model in listed:
        if model.test_cutoff_time.ToDatetime(tzinfo=UTC) == CUTOFF and model.horizon_days == HORIZON_DAYS:
            return model, False
    request = TrainChurnModelRequest(
        horizon_days=HORIZON_DAYS,
        test_cutoff_time=_timestamp(CUTOFF),
        training_cutoff_times=[_timestamp(cutoff) for cutoff in TRAINING_CUTOFFS],
        request_id=request_id("churn model"),
    )
    operation = (await service.analytics.TrainChurnModel(request)).operation
    ended = await _watched(service, operation, "training the churn model")
    answer = await service.analytics.GetChurnModel(GetChurnModelRequest(churn_model_id=ended.result.churn_model_id))
    return answer.churn_model, True


async def scores(service: Client, model: ChurnModel) -> list[ChurnScore]:
    """Promotes the model, scores the members at the cutoff, and returns every score, the likeliest to leave first.

    The cutoff lies years back, so the service marks the scoring as a backtest, which only its id gives.
    """
    await service.analytics.PromoteChurnModel(PromoteChurnModelRequest(churn_model_id=model.id))
    request = ScoreMembersRequest(cutoff_time=_timestamp(CUTOFF), request_id=request_id(f"scores of {model.id}"))
    ended = await _watched(service, (await service.analytics.ScoreMembers(request)).operation, "scoring members")
    asked = ListAtRiskMembersRequest(page_size=1_000, scoring_id=ended.result.scoring_id)
    listed = items(service.analytics.ListAtRiskMembers, asked, lambda page: page.members)
    return [score async for score in listed]


def gate(receipts: "pd.DataFrame", probabilities: dict[int, float]) -> Gate:
    """Judges the scores by the raw purchases.

    Args:
        receipts: As `source.receipts` returns them.
        probabilities: The probability of leaving by household.
    """
    times = receipts["purchase_time"].dt.tz_localize("UTC")
    inside = (times > CUTOFF) & (times <= CUTOFF + timedelta(days=HORIZON_DAYS))
    stayed = set(receipts.loc[inside, "household"])
    left = np.array([household not in stayed for household in probabilities], dtype=float)
    said = np.array(list(probabilities.values()))
    bins = np.array_split(np.argsort(said, kind="stable"), _BINS)
    ece = sum(len(each) * abs(said[each].mean() - left[each].mean()) for each in bins) / len(said)
    return Gate(len(said), float(left.mean()), _roc_auc(left, said), float(ece), float(np.mean((said - left) ** 2)))


def _roc_auc(left: np.ndarray, said: np.ndarray) -> float:
    """Returns the share of pairs ranked rightly, ties half: the Mann-Whitney form of the area under the ROC curve."""
    stay, leave = np.sort(said[left == 0]), said[left == 1]
    below, upto = np.searchsorted(stay, leave, "left"), np.searchsorted(stay, leave, "right")
    return float((below + upto).sum() / 2 / len(stay) / len(leave))


async def _watched(service: Client, operation: Operation, description: str) -> Operation:
    with bar(description, 100) as advance:
        shown = 0

        def show(state: Operation) -> None:
            nonlocal shown
            advance(state.percent - shown)
            shown = state.percent

        return await service.wait_for(operation, show)


def _timestamp(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def probabilities_by_household(members: Sequence[ChurnScore], households: dict[str, int]) -> dict[int, float]:
    """Returns the probabilities by household.

    Args:
        members: The scores.
        households: The household of each user id.
    """
    return {households[score.user_id]: score.probability for score in members}
