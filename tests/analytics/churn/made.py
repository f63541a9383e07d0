"""Windows made of arrays, for tests of the parts that compute."""

import numpy as np

from svoykrug_server.analytics.churn.estimator import Window
from svoykrug_server.analytics.churn.features import COLUMN, RAW


def window(members: int = 600, seed: int = 1) -> Window:
    """Returns members whose silence and rate decide, with noise, whether they stay away and how often they come."""
    random = np.random.default_rng(seed)
    raw = random.uniform(0, 10, (members, len(RAW)))
    recency = random.integers(1, 120, members)
    raw[:, COLUMN["recency_days"]] = recency
    raw[:, COLUMN["tenure_days"]] = recency + random.integers(0, 200, members)
    raw[:, COLUMN["purchase_days"]] = np.where(raw[:, 1] == recency, 1, random.integers(2, 40, members))
    raw[:, COLUMN["active_period_share"]] = random.uniform(0, 1, members)
    once = raw[:, COLUMN["purchase_days"]] == 1
    for name in ("mean_gap_days", "gap_deviation_days", "recent_gap_days"):
        raw[once, COLUMN[name]] = 0
    silence = recency / 60 - raw[:, COLUMN["purchase_days"]] / 20
    churned = (random.random(members) < 1 / (1 + np.exp(-2 * silence))).astype(np.float64)
    later_days = np.where(churned > 0, 0.0, 1.0 + random.poisson(raw[:, COLUMN["purchase_days"]] / 4))
    return Window(raw, churned, later_days, later_days * 50_000.0)
