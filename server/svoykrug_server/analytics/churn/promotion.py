"""When a model may serve: it beats the baselines, its probabilities say something, the serving one is not better."""

from svoykrug_server.analytics.churn.model import ChurnModel, Difference

BASELINES = ("recency", "rfm_sum", "bg_nbd")
CONFIDENCE = 0.90
"""The share of resamples in which the model must beat a baseline."""


def obstacles(model: ChurnModel) -> tuple[str, ...]:
    """Returns which rules keep a model from serving, as stable names; empty when none.

    - `not_better_than_<baseline>`: its ROC-AUC does not beat the baseline's in 90 % of the paired resamples.
    - `no_skill`: its Brier score does not beat that of the base rate.
    - `fewer_training_windows`: it learned from fewer than two windows, so that its probabilities are not calibrated.
    """
    ahead = {row.other: row for row in model.card.differences if row.figure == "roc_auc"}
    found = [f"not_better_than_{name}" for name in BASELINES if not _beats(ahead.get(name))]
    measured = {row.name: row for row in model.card.metrics}
    skill = measured["model"].figures["brier_skill"]
    if skill.value <= 0:
        found.append("no_skill")
    if len(model.plan.training_cutoffs) < 2:
        found.append("fewer_training_windows")
    return tuple(found)


def worse_than_serving(differences: tuple[Difference, ...]) -> tuple[str, ...]:
    """Returns in which figures a model is worse than the serving one beyond doubt: the whole paired interval says so.

    Args:
        differences: The model's figures less the serving model's, on the same members and resamples.
    """
    found: list[str] = []
    for difference in differences:
        if difference.other != "serving":
            continue
        if difference.figure == "roc_auc" and difference.estimate.high < 0:
            found.append("worse_than_serving_roc_auc")
        if difference.figure == "brier" and difference.estimate.low > 0:
            found.append("worse_than_serving_brier")
    return tuple(found)


def _beats(difference: Difference | None) -> bool:
    return difference is not None and difference.estimate.value > 0 and difference.share_better >= CONFIDENCE
