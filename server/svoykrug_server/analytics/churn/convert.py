"""Protobuf <-> model for churn."""

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1 import churn_pb2, scope_pb2

from svoykrug_server.analytics.churn.model import (
    CalibrationBin,
    ChurnModel,
    Estimate,
    ForecastReceipt,
    Measurement,
    MemberScore,
    ModelState,
    Reason,
    Scoring,
)
from svoykrug_server.analytics.churn.promotion import obstacles, worse_than_serving
from svoykrug_server.analytics.churn.risk import AtRiskPage, NewScoring
from svoykrug_server.analytics.churn.service import NewModel
from svoykrug_server.analytics.churn.words import Locale, borrowed_text, obstacle_text, reason_text
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.rpc.timestamps import timestamp_from

STATES = {
    ModelState.CANDIDATE: churn_pb2.CHURN_MODEL_STATE_CANDIDATE,
    ModelState.SERVING: churn_pb2.CHURN_MODEL_STATE_SERVING,
    ModelState.RETIRED: churn_pb2.CHURN_MODEL_STATE_RETIRED,
}


def new_model_from_proto(request: pb.TrainChurnModelRequest) -> NewModel:
    """Returns what a caller asks to be trained.

    Raises:
        InvalidFields: A cutoff is no instant that the calendar knows.
    """
    return NewModel(
        business_id=id_or_none(request.business_id),
        horizon_days=request.horizon_days,
        test_cutoff=_instant(request.test_cutoff_time, "test_cutoff_time")
        if request.HasField("test_cutoff_time")
        else None,
        training_cutoffs=tuple(
            _instant(timestamp, f"training_cutoff_times[{index}]")
            for index, timestamp in enumerate(request.training_cutoff_times)
        ),
        population_days=request.population_days,
        request_id=UUID(request.request_id),
    )


def new_scoring_from_proto(request: pb.ScoreMembersRequest) -> NewScoring:
    """Returns what a caller asks to be scored.

    Raises:
        InvalidFields: The cutoff is no instant that the calendar knows.
    """
    return NewScoring(
        business_id=id_or_none(request.business_id),
        cutoff=_instant(request.cutoff_time, "cutoff_time") if request.HasField("cutoff_time") else None,
        request_id=UUID(request.request_id),
    )


def id_or_none(text: str) -> UUID | None:
    """Returns the id in an optional field."""
    return UUID(text) if text else None


def model_to_proto(model: ChurnModel, locale: Locale) -> churn_pb2.ChurnModel:
    """Returns a model's card.

    Args:
        model: The model.
        locale: The language of the rules it breaks and of what it borrowed.
    """
    plan, card = model.plan, model.card
    broken = obstacles(model) + worse_than_serving(card.differences)
    return churn_pb2.ChurnModel(
        id=str(model.id),
        business_id="" if plan.business_id is None else str(plan.business_id),
        state=STATES[model.state],
        horizon_days=plan.horizon_days,
        population_days=plan.population_days,
        training_cutoff_times=[timestamp_from(cutoff) for cutoff in plan.training_cutoffs],
        test_cutoff_time=timestamp_from(plan.test_cutoff),
        test_member_count=card.test_member_count,
        test_base_rate=card.test_base_rate,
        metrics=[_metrics_to_proto(row) for row in card.metrics],
        calibration=[_bin_to_proto(row) for row in card.calibration],
        algorithm=model.algorithm,
        features=model.features,
        promotion_obstacles=[obstacle_text(name, locale) for name in broken],
        create_time=timestamp_from(model.create_time),
        metrics_everyone=[_metrics_to_proto(row) for row in card.metrics_everyone],
        borrowed_from="" if card.borrowed_from is None else borrowed_text(card.borrowed_from, locale),
        drift=[
            churn_pb2.FeatureDrift(feature=feature, psi=index)
            for feature, index in sorted(model.drift.items(), key=lambda item: -item[1])
        ],
    )


def score_to_proto(scoring: Scoring, score: MemberScore, user_id: UUID | None, locale: Locale) -> churn_pb2.ChurnScore:
    """Returns what a scoring says of a member.

    Args:
        scoring: The scoring.
        score: What it says.
        user_id: Who she is; None once she has been erased.
        locale: The language of the reasons.
    """
    return churn_pb2.ChurnScore(
        user_id="" if user_id is None else str(user_id),
        probability=score.probability,
        reasons=[_reason_to_proto(reason, scoring.horizon_days, locale) for reason in score.reasons],
        churn_model_id=str(scoring.plan.model_id),
        cutoff_time=timestamp_from(scoring.plan.cutoff),
        horizon_days=scoring.horizon_days,
        net_spend_minor=score.net_spend_minor,
        publish_time=timestamp_from(scoring.create_time),
        backtest=scoring.is_backtest,
    )


def at_risk_to_proto(page: AtRiskPage, locale: Locale) -> pb.ListAtRiskMembersResponse:
    """Returns a page of members at risk.

    Args:
        page: The page.
        locale: The language of the reasons.
    """
    watermark = None if page.watermark is None else timestamp_from(page.watermark)
    return pb.ListAtRiskMembersResponse(
        members=[score_to_proto(page.scoring, score, user_id, locale) for user_id, score in page.members],
        next_page_token=page.next_page_token,
        scoring_id=str(page.scoring.plan.scoring_id),
        scored_count=page.scoring.scored_count,
        freshness=scope_pb2.Freshness(watermark=watermark),
    )


def receipt_to_proto(receipt: ForecastReceipt) -> churn_pb2.ForecastReceipt:
    """Returns what became of a forecast."""
    scoring, observed = receipt.scoring, receipt.observed_share
    return churn_pb2.ForecastReceipt(
        scoring_id=str(scoring.plan.scoring_id),
        churn_model_id=str(scoring.plan.model_id),
        cutoff_time=timestamp_from(scoring.plan.cutoff),
        horizon_days=scoring.horizon_days,
        member_count=receipt.member_count,
        predicted_rate=receipt.predicted_share,
        observed_rate=observed,
        roc_auc=receipt.figures["roc_auc"] if 0 < observed < 1 else 0.0,
        brier=receipt.figures["brier"],
        ece=receipt.figures["ece"],
        calibration=[_bin_to_proto(row) for row in receipt.bins],
        create_time=timestamp_from(receipt.create_time),
        publish_time=timestamp_from(scoring.create_time),
        backtest=scoring.is_backtest,
    )


def _reason_to_proto(reason: Reason, horizon_days: int, locale: Locale) -> churn_pb2.ChurnReason:
    return churn_pb2.ChurnReason(
        feature=reason.feature,
        value=reason.value,
        typical_value=reason.typical_value,
        effect=reason.effect,
        text=reason_text(reason, horizon_days, locale),
    )


def _metrics_to_proto(row: Measurement) -> churn_pb2.ChurnMetrics:
    metrics = churn_pb2.ChurnMetrics(name=row.name, lift_cap=row.lift_cap)
    for name, figure in row.figures.items():
        getattr(metrics, name).CopyFrom(_estimate_to_proto(figure))
    return metrics


def _estimate_to_proto(figure: Estimate) -> churn_pb2.Estimate:
    return churn_pb2.Estimate(value=figure.value, low=figure.low, high=figure.high)


def _bin_to_proto(row: CalibrationBin) -> churn_pb2.CalibrationBin:
    return churn_pb2.CalibrationBin(predicted=row.predicted, observed=row.observed, member_count=row.member_count)


def _instant(timestamp: Timestamp, path: str) -> datetime:
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidFields.of(path, "must lie between the years 1 and 9999") from error
