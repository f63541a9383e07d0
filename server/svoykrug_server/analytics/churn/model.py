"""Words of churn: plans, model cards, scores and reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from svoykrug_server.analytics.churn.loan import Borrowed
from svoykrug_server.analytics.standing import HELD, Standing
from svoykrug_server.analytics.value.model import MemberValue
from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields

MIN_MEMBERS = 200
MIN_EVENTS = 20
MIN_HORIZON_DAYS = 7
MAX_HORIZON_DAYS = 730
SETTLING_DAYS = 7
"""Days between the end of the last training window and the test cutoff: time for late purchases to arrive."""
OUT_OF_DATE = 0.25
"""Above this population stability index of a feature, a model is said to be out of date."""
TRAINING_CUTOFFS = 5
"""How many windows a model learns from unless asked for."""
SAID_WITHIN = timedelta(hours=36)
"""A scoring published later than this after its cutoff is no forecast: a day, within which the schedule makes up a
night that was missed, and half a day to score."""


class ModelState(StrEnum):
    """Whether a model scores members."""

    CANDIDATE = "candidate"
    SERVING = "serving"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What to train.

    Attributes:
        model_id: The id the model will have.
        business_id: The business it covers; None for the circle.
        horizon_days: Churn means no purchase within this many days after a cutoff.
        population_days: Members with a purchase within this many days before the cutoff; 0 for everyone.
        test_cutoff: The cutoff whose window judges the model.
        training_cutoffs: The cutoffs whose windows it learns from, earliest first.
        watermark: What the warehouse was proven to hold when the plan was made; later rows are not read.
    """

    model_id: UUID
    business_id: UUID | None
    horizon_days: int
    population_days: int
    test_cutoff: datetime
    training_cutoffs: tuple[datetime, ...]
    watermark: datetime

    def __post_init__(self) -> None:
        """Refuses a plan that would learn from the window that judges it, or from one that has not closed.

        Raises:
            InvalidFields: A training window reaches beyond the test cutoff, or a cutoff is named twice.
            FailedPrecondition: CUTOFF_AHEAD_OF_WATERMARK, the test window is not complete yet.
        """
        horizon = timedelta(days=self.horizon_days)
        if self.test_cutoff + horizon > self.watermark:
            latest = (self.watermark - horizon).isoformat()
            raise FailedPrecondition("CUTOFF_AHEAD_OF_WATERMARK", metadata={"latest_test_cutoff_time": latest})
        for index, cutoff in enumerate(self.training_cutoffs):
            if cutoff + horizon > self.test_cutoff:
                path = f"training_cutoff_times[{index}]"
                raise InvalidFields.of(path, "must lie at least a horizon before the test cutoff")
        if len(set(self.training_cutoffs)) != len(self.training_cutoffs):
            raise InvalidFields.of("training_cutoff_times", "must not name a cutoff twice")


def default_training_cutoffs(test_cutoff: datetime, horizon_days: int) -> tuple[datetime, ...]:
    """Returns five cutoffs a horizon apart; the last one's window ends a week before the test cutoff."""
    last = test_cutoff - timedelta(days=horizon_days + SETTLING_DAYS)
    steps = range(TRAINING_CUTOFFS - 1, -1, -1)
    return tuple(last - timedelta(days=horizon_days * step) for step in steps)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """How good one way of ranking or predicting is on the test window.

    Attributes:
        name: `model`, `recency`, `rfm_sum` or `bg_nbd`.
        figures: By the names of `metrics.FORECAST_FIGURES`; a mere ranking has no brier, brier_skill and ece.
        lift_cap: The largest lift that the base rate allows.
    """

    name: str
    figures: dict[str, Estimate]
    lift_cap: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired comparison: the model's figure less another's on the same resamples.

    Attributes:
        other: `recency`, `rfm_sum`, `bg_nbd` or `serving`.
        figure: A name of `metrics.FORECAST_FIGURES`.
        estimate: The difference with its interval.
        share_better: The share of resamples in which the model was better.
    """

    other: str
    figure: str
    estimate: Estimate
    share_better: float


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """What was said of a tenth of the members and what happened."""

    predicted: float
    observed: float
    member_count: int


@dataclass(frozen=True, slots=True)
class FeatureBins:
    """How a feature was distributed among the members a model learned from.

    Attributes:
        feature: The column.
        edges: Its deciles, each once: a value up to an edge falls into its bin.
        shares: The share of the members in each bin; one more than edges.
    """

    feature: str
    edges: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model's quality.

    Attributes:
        test_member_count: Members of the population in the test window.
        test_base_rate: The share of them that churned.
        metrics: The model first, then the baselines.
        metrics_everyone: The same for everyone with any purchase; empty when the population is everyone.
        calibration: The model's, the highest probabilities first.
        differences: Paired comparisons with the baselines.
        training_member_counts: Members at each training cutoff.
        training_base_rates: The share of them that churned.
        compared_model_id: The serving model that `differences` compare it with; None when none served or it has another
            horizon.
        feature_bins: What drift is measured against; empty for models made before it was.
        borrowed_from: What the scope lacked and what it borrowed; None for a model of its own data.
    """

    test_member_count: int
    test_base_rate: float
    metrics: tuple[Measurement, ...]
    metrics_everyone: tuple[Measurement, ...]
    calibration: tuple[CalibrationBin, ...]
    differences: tuple[Difference, ...]
    training_member_counts: tuple[int, ...]
    training_base_rates: tuple[float, ...]
    compared_model_id: UUID | None = None
    feature_bins: tuple[FeatureBins, ...] = ()
    borrowed_from: Borrowed | None = None


@dataclass(frozen=True, slots=True)
class ChurnModel:
    """A trained model, without its numbers.

    Attributes:
        plan: What it was trained on.
        card: How good it is.
        algorithm: What it was built as, in words.
        features: What it reads.
        state: Whether it serves.
        create_time: When it was trained.
        drift: The stability index of each feature between training and its latest scoring; empty before one.
    """

    plan: TrainingPlan
    card: ModelCard
    algorithm: str
    features: tuple[str, ...]
    state: ModelState
    create_time: datetime
    drift: Mapping[str, float] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        """The model's id."""
        return self.plan.model_id


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """What to score.

    Attributes:
        scoring_id: The id the scoring will have.
        model_id: The model that scores.
        business_id: The business; None for the circle.
        cutoff: What may be known.
        watermark: What the warehouse was proven to hold when the plan was made.
    """

    scoring_id: UUID
    model_id: UUID
    business_id: UUID | None
    cutoff: datetime
    watermark: datetime


@dataclass(frozen=True, slots=True)
class Scoring:
    """A finished scoring.

    Attributes:
        plan: What was scored.
        build_id: The attempt whose rows count.
        horizon_days: The horizon of its model.
        population_days: The population of its model.
        scored_count: How many members.
        create_time: When it was finished and could be read: when it was said.
        drift: The stability index of each feature between training and this scoring.
        content_hash: Of all its rows; None of the oldest scorings.
        snapshot_id: The snapshot that said the segments; None when there was none.
        standing: Whether its rows are known to be gone.
    """

    plan: ScoringPlan
    build_id: UUID
    horizon_days: int
    population_days: int
    scored_count: int
    create_time: datetime
    drift: Mapping[str, float] = field(default_factory=dict)
    content_hash: int | None = None
    snapshot_id: UUID | None = None
    standing: Standing = HELD

    @property
    def is_backtest(self) -> bool:
        """Whether it was said too late for a forecast: its model may know what came after the cutoff."""
        return self.create_time > self.plan.cutoff + SAID_WITHIN


@dataclass(frozen=True, slots=True)
class Reason:
    """A thing that moves a member's probability.

    Attributes:
        feature: The column, such as `recency_days`.
        value: Hers.
        typical_value: That of a typical member of her segment.
        effect: How much it moves her probability, -1 to 1; positive towards leaving.
    """

    feature: str
    value: float
    typical_value: float
    effect: float


@dataclass(frozen=True, slots=True)
class MemberScore:
    """A member and how likely she is to leave.

    Attributes:
        member_id: The warehouse's number for her.
        probability: Of no purchase within the horizon.
        reasons: The strongest first.
        net_spend_minor: What she spent in the 365 days before the cutoff, net.
        value: What she is expected to buy within the horizon; None where it was not read, or not computed yet.
    """

    member_id: int
    probability: float
    reasons: tuple[Reason, ...]
    net_spend_minor: int
    value: MemberValue | None = None


@dataclass(frozen=True, slots=True)
class ForecastReceipt:
    """What a scoring said and what happened, once its horizon had closed: of a forecast or of a backtest.

    Attributes:
        scoring: The scoring that is graded.
        member_count: Members it scored.
        predicted_share: The mean probability it said.
        observed_share: The share that left.
        figures: ROC-AUC, Brier score and ECE, by name.
        bins: Ten bins of equal mass, the highest probabilities first.
        watermark: What the warehouse was proven to hold when it was graded.
        create_time: When it was graded.
    """

    scoring: Scoring
    member_count: int
    predicted_share: float
    observed_share: float
    figures: dict[str, float]
    bins: tuple[CalibrationBin, ...]
    watermark: datetime
    create_time: datetime


def too_little_data(members: int, churned: int, window: str) -> FailedPrecondition | None:
    """Returns the refusal when a window holds too little to learn from or to judge by, or None.

    Args:
        members: How many members the window holds.
        churned: How many of them left.
        window: Which window, such as `test` or `training`.
    """
    stayed = members - churned
    if members >= MIN_MEMBERS and min(churned, stayed) >= MIN_EVENTS:
        return None
    metadata = {
        "window": window,
        "member_count": str(members),
        "churned_count": str(churned),
        "stayed_count": str(stayed),
        "needed_member_count": str(MIN_MEMBERS),
        "needed_event_count": str(MIN_EVENTS),
    }
    return FailedPrecondition("TOO_LITTLE_DATA", metadata=metadata)
