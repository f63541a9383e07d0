"""The gate of the quality of churn on real purchases: Complete Journey, trained and judged as the product does it.

The test window is December 2017; nothing was tuned on it (see `docs/decisions/churn-model.md`).
"""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from svoykrug_server.analytics.churn.promotion import obstacles
from svoykrug_server.analytics.churn.service import NewModel
from tests.analytics.churn.circle import Circle
from tests.analytics.churn.journey import import_complete_journey

CUTOFF = datetime(2017, 12, 1, tzinfo=UTC)
TRAINING = [datetime(2017, month, day, tzinfo=UTC) for month, day in ((7, 7), (8, 4), (9, 1), (9, 29), (10, 27))]


async def test_the_model_reaches_the_gate_on_complete_journey(circle: Circle) -> None:
    await import_complete_journey(circle)
    asked = NewModel(None, 28, CUTOFF, tuple(TRAINING), 0, uuid4())
    model = await circle.trained(asked)
    card = model.card
    figures = {row.name: row.figures for row in card.metrics}
    assert card.test_member_count == 2_463
    assert round(card.test_base_rate, 3) == 0.180
    assert figures["model"]["roc_auc"].value >= 0.885
    assert figures["model"]["ece"].value <= 0.025
    assert figures["model"]["brier"].value <= 0.098
    assert figures["recency"]["roc_auc"].value == pytest.approx(0.837, abs=0.002)
    assert figures["bg_nbd"]["roc_auc"].value == pytest.approx(0.876, abs=0.003)
    assert obstacles(model) == ()
    chosen = await circle.trained(NewModel(None, 0, CUTOFF, (), 0, uuid4()))
    assert chosen.plan.horizon_days == 28
    assert chosen.plan.training_cutoffs == tuple(TRAINING)
    earlier = await circle.trained(NewModel(None, 28, CUTOFF - timedelta(days=35), (), 0, uuid4()))
    assert earlier.card.metrics[0].figures["roc_auc"].value >= 0.875
