"""Model cards as JSON values, and back: what PostgreSQL keeps beside a model."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from svoykrug_server.analytics.churn.loan import Borrowed
from svoykrug_server.analytics.churn.model import (
    CalibrationBin,
    Difference,
    Estimate,
    FeatureBins,
    Measurement,
    ModelCard,
)


def card_document(card: ModelCard) -> dict[str, Any]:
    """Returns a card as JSON values."""
    compared = card.compared_model_id
    return asdict(card) | {"compared_model_id": None if compared is None else str(compared)}


def card_from_document(document: dict[str, Any]) -> ModelCard:
    """Reads what `card_document` wrote.

    Raises:
        KeyError: The document is not a card.
    """
    return ModelCard(
        test_member_count=document["test_member_count"],
        test_base_rate=document["test_base_rate"],
        metrics=_measurements(document["metrics"]),
        metrics_everyone=_measurements(document["metrics_everyone"]),
        calibration=bins_from_document(document["calibration"]),
        differences=tuple(_difference(row) for row in document["differences"]),
        training_member_counts=tuple(document["training_member_counts"]),
        training_base_rates=tuple(document["training_base_rates"]),
        compared_model_id=UUID(compared) if (compared := document["compared_model_id"]) else None,
        feature_bins=tuple(_feature_bins(row) for row in document.get("feature_bins", ())),
        borrowed_from=_borrowed(document.get("borrowed_from")),
    )


def bins_document(bins: tuple[CalibrationBin, ...]) -> list[dict[str, Any]]:
    """Returns calibration bins as JSON values."""
    return [asdict(row) for row in bins]


def bins_from_document(rows: list[dict[str, Any]]) -> tuple[CalibrationBin, ...]:
    """Reads what `bins_document` wrote."""
    return tuple(CalibrationBin(**row) for row in rows)


def _measurements(rows: list[dict[str, Any]]) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(
            name=row["name"],
            figures={name: Estimate(**figure) for name, figure in row["figures"].items()},
            lift_cap=row["lift_cap"],
        )
        for row in rows
    )


def _borrowed(row: Any) -> Borrowed | None:
    """Reads what was borrowed; earlier cards held an English sentence here, which is not shown any more."""
    return Borrowed(**row) if isinstance(row, dict) else None


def _feature_bins(row: dict[str, Any]) -> FeatureBins:
    return FeatureBins(row["feature"], tuple(row["edges"]), tuple(row["shares"]))


def _difference(row: dict[str, Any]) -> Difference:
    return Difference(row["other"], row["figure"], Estimate(**row["estimate"]), row["share_better"])
