"""The model as numbers: the same scores as scikit-learn's, and a format that cannot run code."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from svoykrug_server.analytics.churn import bgnbd, estimator
from svoykrug_server.analytics.churn.features import DESIGN, bg_nbd_statistics, design
from svoykrug_server.analytics.churn.scorer import Logistic, Scorer, sigmoid
from svoykrug_server.analytics.versions import UnknownVersion
from tests.analytics.churn.made import window


@cache
def trained() -> Scorer:
    """Returns a model of three windows."""
    return estimator.fit([window(seed=seed) for seed in (1, 2, 3)], 28)


@pytest.mark.parametrize("leaves", [2, 3, 8])
def test_trees_from_the_document_score_as_scikit_learn_does(leaves: int) -> None:
    columns = np.random.default_rng(5).normal(size=(3_000, len(DESIGN)))
    label = (columns[:, 0] * columns[:, 3] + columns[:, 5] > 0.3).astype(float)
    fitted = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=leaves, early_stopping=False).fit(
        columns, label
    )
    boosting = estimator.boosting_of(fitted)
    fresh = np.random.default_rng(6).normal(size=(5_000, len(DESIGN)))
    expected = fitted.predict_proba(fresh)[:, 1]
    assert np.abs(sigmoid(boosting.log_odds(fresh)) - expected).max() < 1e-9


def test_a_tree_that_does_not_split_scores_as_scikit_learn_does() -> None:
    columns = np.zeros((300, len(DESIGN)))
    label = np.array([0.0, 1.0, 1.0] * 100)
    fitted = HistGradientBoostingClassifier(max_iter=3, early_stopping=False).fit(columns, label)
    found = sigmoid(estimator.boosting_of(fitted).log_odds(columns))
    assert np.abs(found - fitted.predict_proba(columns)[:, 1]).max() < 1e-9


def test_the_logistic_regression_scores_as_scikit_learn_does() -> None:
    part = window()
    fitted_bg_nbd = bgnbd.fit(*bg_nbd_statistics(part.raw))
    columns = design(part.raw, fitted_bg_nbd, 28)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000)).fit(columns, part.churned)
    scaler, regression = pipeline[0], pipeline[1]
    ours = Logistic(scaler.mean_, scaler.scale_, regression.coef_[0], float(regression.intercept_[0]))
    assert np.abs(sigmoid(ours.log_odds(columns)) - pipeline.predict_proba(columns)[:, 1]).max() < 1e-9


def test_a_model_read_back_from_json_scores_exactly_the_same() -> None:
    scorer, members = trained(), window(seed=9).raw
    again = Scorer.from_document(json.loads(json.dumps(scorer.document())))
    assert np.array_equal(again.probability(members), scorer.probability(members))


def test_a_document_holds_nothing_but_json_values() -> None:
    def kinds(value: Any) -> set[type]:
        if isinstance(value, dict):
            return {kind for each in value.values() for kind in kinds(each)}
        if isinstance(value, list):
            return {kind for each in value for kind in kinds(each)}
        return {type(value)}

    assert kinds(trained().document()) <= {int, float, str}


def test_training_twice_gives_the_same_model() -> None:
    again = estimator.fit([window(seed=seed) for seed in (1, 2, 3)], 28)
    assert again.document() == trained().document()


def put(path: str, value: Any) -> dict[str, Any]:
    """Returns the document of a model with a value in another's place; the path is separated by dots."""
    document: dict[str, Any] = json.loads(json.dumps(trained().document()))
    place: Any = document
    *parents, last = (int(step) if step.isdigit() else step for step in path.split("."))
    for step in parents:
        place = place[step]
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("wrong", "path", "value"),
    [
        ("an earlier format", "format", "svoykrug-churn/0"),
        ("an earlier version of the features", "features_version", "0"),
        ("features in another order", "features", list(reversed(DESIGN))),
        ("a missing part", "logistic", {}),
        ("a coefficient too few", "logistic.coefficients", [0.0] * (len(DESIGN) - 1)),
        ("a column without a scale", "logistic.scale.0", 0.0),
        ("a number that is none", "logistic.coefficients.0", float("nan")),
        ("a tree that asks about no column", "boosting.trees.0.features.0", len(DESIGN)),
        ("a tree with a leaf too few", "boosting.trees.0.leaves", [0.0, 1.0]),
        ("a tree that loses its last leaf", "boosting.trees.0.keeps.0", 0),
        ("text for a number", "boosting.trees.0.leaves.0", "__import__('os')"),
        ("a number too large for a byte", "boosting.trees.0.keeps.0", 4_096),
        ("trees that are none", "boosting.trees", 5),
        ("a calibration that turns the order around", "calibration.slope", -1.0),
        ("no horizon", "horizon_days", 0),
        ("impossible purchase rates", "bg_nbd", [1.0, -1.0, 1.0, 1.0]),
        ("too few purchase rates", "bg_nbd", [1.0, 1.0]),
    ],
)
def test_a_damaged_or_foreign_document_is_refused(wrong: str, path: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"model|tree|regression"):
        Scorer.from_document(put(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [("format", "svoykrug-churn/2"), ("format", "pickle"), ("features_version", "3"), ("features_version", "2b")],
)
def test_a_document_of_a_program_that_is_not_known_is_refused_as_such(path: str, value: str) -> None:
    with pytest.raises(UnknownVersion):
        Scorer.from_document(put(path, value))


def test_probabilities_are_probabilities_for_any_members() -> None:
    scorer = trained()
    raw = window(members=50).raw
    extreme = np.vstack([np.zeros_like(raw[:1]), np.full_like(raw[:1], 1e12), raw, -raw])
    said = scorer.probability(extreme)
    assert np.isfinite(said).all()
    assert ((said >= 0) & (said <= 1)).all()
