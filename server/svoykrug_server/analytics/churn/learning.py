"""The part of training that computes. Run it in a thread: it imports scikit-learn and takes seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from svoykrug_server.analytics.churn import borrowing, drift, estimator, evaluation
from svoykrug_server.analytics.churn.bgnbd import BgNbd
from svoykrug_server.analytics.churn.estimator import Window
from svoykrug_server.analytics.churn.features import COLUMN, DESIGN, RAW, Vector
from svoykrug_server.analytics.churn.loan import Borrowed
from svoykrug_server.analytics.churn.model import Difference, Measurement, ModelCard
from svoykrug_server.analytics.churn.scorer import Scorer
from svoykrug_server.analytics.value import spending
from svoykrug_server.analytics.value.calibration import Outcome, Tails, calibrate
from svoykrug_server.analytics.value.outlook import Outlook, Rates

if TYPE_CHECKING:
    import pyarrow as pa

_VALUE_WINDOWS = 3
_VALUE_MEMBERS = 5_000
"""Of each window at most: member ids are random, so the first of them are a random sample."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is learned from and judged by.

    Attributes:
        training: A window per training cutoff, the earliest first.
        test: The window that judges.
        test_everyone: The same for everyone with any purchase; None when the population is everyone.
        horizon_days: H.
        serving_id: The model that serves the scope with the same horizon; None when there is none.
        serving_document: Its numbers.
        lenders: The numbers of the models to borrow from; empty when the windows hold enough.
        borrowed_from: Why and from whom; None for a model of its own data.
    """

    training: list[Window]
    test: Window
    test_everyone: Window | None
    horizon_days: int
    serving_id: UUID | None = None
    serving_document: dict[str, Any] | None = None
    lenders: tuple[dict[str, Any], ...] = ()
    borrowed_from: Borrowed | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """A trained model: its card and its numbers as JSON values."""

    card: ModelCard
    document: dict[str, Any]
    algorithm: str
    features: tuple[str, ...] = DESIGN


def window_of(table: "pa.Table") -> Window:
    """Turns a window of the warehouse into arrays.

    Args:
        table: With the columns `features.RAW`, `churned`, `later_days` and `later_spend_minor`.
    """
    raw = np.column_stack([table[name].to_numpy() for name in RAW])
    return Window(raw, *(table[name].to_numpy() for name in ("churned", "later_days", "later_spend_minor")))


def learn(material: Material) -> Learned:
    """Fits a model on the training windows, or borrows one, and judges it by the test window."""
    if material.lenders:
        lenders = [Scorer.from_document(document) for document in material.lenders]
        scorer, algorithm = borrowing.borrow(lenders, material.training), borrowing.ALGORITHM
    else:
        scorer, algorithm = estimator.fit(material.training, material.horizon_days), estimator.ALGORITHM
    judgement = evaluation.judge(material.test.churned, _scores(scorer, material, material.test))
    card = ModelCard(
        test_member_count=len(material.test.churned),
        test_base_rate=float(material.test.churned.mean()),
        metrics=judgement.measurements,
        metrics_everyone=_everyone(scorer, material),
        calibration=judgement.calibration,
        differences=judgement.differences,
        training_member_counts=tuple(len(window.churned) for window in material.training),
        training_base_rates=tuple(float(window.churned.mean()) for window in material.training),
        compared_model_id=material.serving_id,
        feature_bins=drift.bins_of(*(window.raw for window in material.training)),
        borrowed_from=material.borrowed_from,
    )
    tails = value_tails(scorer.bg_nbd, material.training, material.horizon_days)
    return Learned(card, scorer.document() | {"value": tails.document()}, algorithm)


def value_tails(bg_nbd: BgNbd, windows: Sequence[Window], horizon_days: int) -> Tails:
    """Returns how wide the intervals of member value must be, measured on the last training windows.

    Args:
        bg_nbd: The model's.
        windows: The earliest first, together with at least one member.
        horizon_days: H.
    """
    outcomes: list[Outcome] = []
    for window in windows[-_VALUE_WINDOWS:]:
        raw = window.raw[:_VALUE_MEMBERS]
        spend = spending.fit(raw[:, COLUMN["purchase_days"]], raw[:, COLUMN["spend_minor"]])
        outlook = Outlook.of(raw, Rates.of(raw, bg_nbd.r, bg_nbd.alpha, horizon_days), spend, horizon_days)
        outcomes.append(Outcome(outlook, window.later_days[: len(raw)], window.later_spend_minor[: len(raw)]))
    return calibrate(outcomes)


def compare(document: dict[str, Any], serving_document: dict[str, Any], test: Window) -> tuple[Difference, ...]:
    """Compares a model with the one that serves on the same members and resamples.

    Args:
        document: The numbers of the model.
        serving_document: The numbers of the one that serves.
        test: The window that judges both.
    """
    scores = {"model": Scorer.from_document(document).probability(test.raw)}
    return evaluation.judge(test.churned, scores | _serving_scores(serving_document, test)).differences


def _scores(scorer: Scorer, material: Material, window: Window) -> dict[str, Vector]:
    past = material.training[-1]
    scores = {"model": scorer.probability(window.raw)}
    scores |= evaluation.baselines(window, past, material.horizon_days)
    if material.serving_document is not None:
        scores |= _serving_scores(material.serving_document, window)
    return scores


def _serving_scores(document: dict[str, Any], window: Window) -> dict[str, Vector]:
    """Returns what the serving model says; nothing where this program does not read it any more: nor can it score."""
    try:
        serving = Scorer.from_document(document)
    except ValueError:
        return {}
    return {"serving": serving.probability(window.raw)}


def _everyone(scorer: Scorer, material: Material) -> tuple[Measurement, ...]:
    if material.test_everyone is None:
        return ()
    scores = _scores(scorer, material, material.test_everyone)
    return evaluation.judge(material.test_everyone.churned, scores).measurements
