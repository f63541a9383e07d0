"""No leak from the future, and proof that one would be seen: every check here is also run on a leak made on purpose."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from svoykrug_server.analytics.churn import statements
from svoykrug_server.analytics.churn import warehouse as churn_warehouse
from svoykrug_server.analytics.churn.estimator import Window
from svoykrug_server.analytics.churn.features import COLUMN
from svoykrug_server.analytics.churn.learning import Material, learn
from svoykrug_server.analytics.churn.model import Estimate, ModelCard
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.churn.circle import HORIZON_DAYS, TEST_CUTOFF, Circle, fill, fill_entries, simulated
from tests.analytics.churn.made import window
from tests.analytics.churn.test_features import BEGIN_TIMES, Row, features_of, is_known, rows_of
from tests.analytics.circles import WATERMARK, Entry, random_circle

LEAKS = {
    "purchase_time": (
        "purchase_time <= fromUnixTimestamp64Micro({cutoff_us:Int64}, 'UTC')",
        "purchase_time <= fromUnixTimestamp64Micro({horizon_end_us:Int64}, 'UTC')",
    ),
    "ingest_time": (
        "ingest_time <= fromUnixTimestamp64Micro({cutoff_us:Int64}, 'UTC')",
        "ingest_time <= fromUnixTimestamp64Micro({watermark_us:Int64}, 'UTC')",
    ),
}
"""What keeps the future out of the columns, and what would let it in."""


@pytest.fixture
def leak(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lets the future into the columns by one of the two times, and returns which."""
    name: str = request.param
    honest, leaking = LEAKS[name]
    assert honest in statements.WINDOW
    monkeypatch.setattr(churn_warehouse, "WINDOW", statements.WINDOW.replace(honest, leaking))
    return name


def shuffled(parts: Sequence[Window]) -> list[Window]:
    """Returns windows whose labels belong to other members."""
    random = np.random.default_rng(8)
    return [replace(part, churned=random.permutation(part.churned)) for part in parts]


def roc_auc(card: ModelCard, name: str = "model") -> Estimate:
    """Returns the area under the ROC curve of a way of ranking, with its interval."""
    return next(row for row in card.metrics if row.name == name).figures["roc_auc"]


def learned(parts: Sequence[Window]) -> ModelCard:
    """Learns from all windows but the last, which judges."""
    return learn(Material(list(parts[:-1]), parts[-1], None, HORIZON_DAYS)).card


def test_permuted_labels_teach_nothing() -> None:
    card = learned(shuffled([window(1_500, seed) for seed in (1, 2, 3)]))
    for name in ("model", "recency", "rfm_sum", "bg_nbd"):
        assert roc_auc(card, name).low < 0.5 < roc_auc(card, name).high, name


def test_permuted_labels_teach_everything_where_a_column_holds_them() -> None:
    parts = shuffled([window(1_500, seed) for seed in (1, 2, 3)])
    for part in parts:
        part.raw[:, COLUMN["last_year_days"]] = part.churned
    assert roc_auc(learned(parts)).low > 0.95


def test_the_same_windows_with_their_own_labels_do_teach() -> None:
    assert roc_auc(learned([window(1_500, seed) for seed in (1, 2, 3)])).low > 0.75


def with_futures_of_others(rows: pa.Table) -> pa.Table:
    """Gives what each member bought after the test cutoff to another one: nothing known before foretells it."""
    times, members = rows["purchase_time"], rows["member_id"].to_numpy()
    later = np.array([time > TEST_CUTOFF for time in times.to_pylist()])
    whose = np.unique(members)
    others = np.random.default_rng(1).permutation(whose)[np.searchsorted(whose, members)]
    exchanged = pa.array(np.where(later, others, members), pa.int64())
    return rows.set_column(rows.schema.get_field_index("member_id"), "member_id", exchanged)


async def test_the_futures_of_others_cannot_be_foreseen(circle: Circle) -> None:
    await fill(circle.warehouse, with_futures_of_others(simulated(members=900)))
    model = await circle.trained()
    for name in ("model", "recency", "rfm_sum", "bg_nbd"):
        assert roc_auc(model.card, name).low < 0.5 < roc_auc(model.card, name).high, name


@pytest.mark.parametrize("leak", ["purchase_time"], indirect=True)
async def test_the_futures_of_others_are_foreseen_by_who_looks_into_them(circle: Circle, leak: str) -> None:
    await fill(circle.warehouse, with_futures_of_others(simulated(members=900)))
    model = await circle.trained()
    assert roc_auc(model.card).low > 0.6, leak


async def before_and_after(warehouse: Warehouse, begin_time: datetime | None) -> tuple[dict[int, Row], dict[int, Row]]:
    """Returns the columns with what is known at the cutoff alone, and once everything later has come.

    Args:
        warehouse: An empty one.
        begin_time: When every business began; None for before all purchases.
    """
    entries = random_circle(13)
    past = [entry for entry in entries if is_known(entry, begin_time)]
    await fill_entries(warehouse, past)
    before = await rows_of(warehouse, begin_time=begin_time)
    await fill_entries(warehouse, _others(entries, past))
    return features_of(before), features_of(await rows_of(warehouse, begin_time=begin_time))


def _others(entries: Sequence[Entry], known: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry not in set(known)]


@pytest.mark.parametrize("begin_time", BEGIN_TIMES)
async def test_nothing_that_happens_or_arrives_after_the_cutoff_changes_a_column(
    warehouse: Warehouse, begin_time: datetime | None
) -> None:
    before, after = await before_and_after(warehouse, begin_time)
    assert before == after


@pytest.mark.parametrize(
    ("leak", "begin_time"), [("purchase_time", WATERMARK), ("ingest_time", None)], indirect=["leak"]
)
async def test_a_statement_that_looks_into_the_future_changes_a_column(
    warehouse: Warehouse, leak: str, begin_time: datetime | None
) -> None:
    before, after = await before_and_after(warehouse, begin_time)
    changed = {name for member_id, row in before.items() for name in row if after[member_id][name] != row[name]}
    assert {"purchase_days", "spend_minor"} <= changed, leak
