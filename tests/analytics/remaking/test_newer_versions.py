"""While servers are replaced by newer ones, an old process leaves what a newer one made alone; that makes it again."""

import pytest

from svoykrug_server.analytics.churn import scorer
from svoykrug_server.analytics.model import Snapshot
from svoykrug_server.analytics.remaking import makers
from svoykrug_server.analytics.versions import UnknownVersion, refuse_unknown
from tests.analytics.churn.circle import Circle, fill, simulated
from tests.analytics.remaking.lost import BEING_REMADE, Remakers, lose, refusal_of
from tests.analytics.snapshots import Analytics
from tests.callers import admin


async def test_an_old_process_leaves_a_lost_snapshot_by_newer_rules_to_a_newer_process(
    analytics: Analytics, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with analytics.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE snapshots SET rules_version = 'rfm-2' WHERE id = $1", two[0].id)
    await lose(analytics)
    remakers = Remakers(analytics)
    await remakers.job().round()
    assert (remakers.metric("missing"), remakers.metric("lost"), remakers.metric("remade_total")) == (1, 0, 1)
    assert await refusal_of(analytics.service.summary(admin(), None, two[0].id)) == BEING_REMADE

    monkeypatch.setattr(makers, "RULES_VERSION", "rfm-2")
    await remakers.job().round()
    assert (remakers.metric("missing"), remakers.metric("lost"), remakers.metric("remade_total")) == (0, 0, 1)
    assert (await analytics.service.summary(admin(), None, two[0].id)).segments


@pytest.mark.parametrize("part", [("format", "svoykrug-churn/2"), ("features_version", "3")])
async def test_an_old_process_leaves_a_lost_scoring_by_a_newer_model_to_a_newer_process(
    analytics: Analytics, monkeypatch: pytest.MonkeyPatch, part: tuple[str, str]
) -> None:
    circle = Circle(analytics.postgres, analytics.warehouse, analytics.clock)
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    scoring_id = await circle.scored()
    await lose(analytics, "churn_scores")
    await become(analytics, *part)
    remakers = Remakers(analytics, circle.churn)
    await remakers.job().round()
    assert (remakers.metric("missing", "scoring"), remakers.metric("lost", "scoring")) == (1, 0)

    monkeypatch.setattr(scorer, part[0].upper(), part[1])
    await remakers.job().round()
    assert remakers.metric("remade_total", "scoring") == 1
    found = await circle.repository.find_scoring(scoring_id)
    assert found is not None
    assert found.standing.is_held


async def become(analytics: Analytics, key: str, value: str) -> None:
    """Makes every model one that a newer program wrote."""
    async with analytics.postgres.transaction() as tx:
        sql = "UPDATE churn_models SET document = jsonb_set(document, ARRAY[$1::text], to_jsonb($2::text))"
        await (await tx.driver()).execute(sql, key, value)


@pytest.mark.parametrize("version", ["rfm-11", "rfm-10000000000", "rfm", "rfm-2b", "abc-1", "1", ""])
def test_a_version_is_unknown_unless_it_is_ours_or_an_earlier_one(version: str) -> None:
    with pytest.raises(UnknownVersion):
        refuse_unknown(version, "rfm-10")
    refuse_unknown("rfm-10", "rfm-10")
    refuse_unknown("rfm-9", "rfm-10")
