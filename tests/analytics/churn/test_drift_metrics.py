"""What Prometheus learns of drift: by kind of scope and feature, never by business."""

from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from svoykrug_server.analytics.churn.drift_metrics import DriftMetrics
from svoykrug_server.analytics.churn.features import RAW
from svoykrug_server.analytics.churn.model import OUT_OF_DATE
from svoykrug_server.analytics.churn.risk import NewScoring
from svoykrug_server.analytics.churn.stability import Stability
from tests.analytics.churn.circle import IN_TIME, TEST_CUTOFF, Circle, fill, new_model, simulated
from tests.analytics.circles import BUSINESSES
from tests.analytics.snapshots import Analytics
from tests.callers import CallBy, admin

FIRST, SECOND = BUSINESSES[0], BUSINESSES[1]


def shown(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """Returns a family's values by their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


async def scored_business(circle: Circle, business_id: UUID, seed: int) -> None:
    """Trains, promotes and scores a business that has enough of its own."""
    await fill(circle.warehouse, simulated(members=400, seed=seed, business_id=business_id))
    model = await circle.trained(new_model(business_id))
    await circle.churn.models.promote(CallBy(admin()), business_id, model.id)
    circle.clock.set(TEST_CUTOFF + IN_TIME)
    asked = NewScoring(business_id, TEST_CUTOFF, uuid4())
    ended = await circle.finished(await circle.churn.risk.score(admin(), asked))
    assert ended.result is not None, ended.failure


async def test_a_scoring_shows_the_drift_of_its_kind_of_scope(circle: Circle) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    assert shown(circle.registry, "churn_feature_drift_psi") == {}
    await circle.scored()
    scoring = await circle.repository.latest_forecast(None, None)
    assert scoring is not None
    assert shown(circle.registry, "churn_feature_drift_psi") == {
        ("circle", feature): pytest.approx(scoring.drift[feature]) for feature in RAW
    }
    outdated = float(max(scoring.drift.values()) > OUT_OF_DATE)
    assert shown(circle.registry, "churn_models_out_of_date") == {("circle",): outdated, ("business",): 0.0}


async def test_however_many_businesses_are_scored_the_series_stay_as_many(circle: Circle, analytics: Analytics) -> None:
    await scored_business(circle, FIRST, 7)
    one = shown(circle.registry, "churn_feature_drift_psi")
    await scored_business(circle, SECOND, 13)
    both = shown(circle.registry, "churn_feature_drift_psi")
    assert one.keys() == both.keys() == {("business", feature) for feature in RAW}
    scorings = [await circle.repository.latest_forecast(business_id, None) for business_id in (FIRST, SECOND)]
    drifts = [scoring.drift for scoring in scorings if scoring is not None]
    assert both == {("business", feature): pytest.approx(max(each[feature] for each in drifts)) for feature in RAW}
    outdated = sum(max(each.values()) > OUT_OF_DATE for each in drifts)
    assert shown(circle.registry, "churn_models_out_of_date")["business",] == outdated


def test_what_is_gone_leaves_no_figure_behind() -> None:
    registry = CollectorRegistry()
    metrics = DriftMetrics(registry)
    metrics.show([Stability("circle", {"recency_days": 0.3, "tenure_days": 0.1}, 1)])
    metrics.show([Stability("circle", {"recency_days": 0.2}, 0)])
    assert shown(registry, "churn_feature_drift_psi") == {("circle", "recency_days"): 0.2}
    assert shown(registry, "churn_models_out_of_date") == {("circle",): 0.0}
