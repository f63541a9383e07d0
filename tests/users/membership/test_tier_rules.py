from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from svoykrug_server.users.membership.composition import membership_options
from svoykrug_server.users.membership.model import Missing, Standing
from svoykrug_server.users.model import Tier
from tests.conftest import isolated_settings

RULES = membership_options(isolated_settings()).tiers
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def missing(tier: Tier, spend_minor: int, categories: int, top_spend_minor: int | None = None) -> Missing | None:
    standing = Standing(spend_minor, categories, tier, pinned=False, top_spend_minor=top_spend_minor)
    return RULES.status(standing, NOW).missing


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        ("Europe/Moscow", date(2026, 6, 1), datetime(2025, 5, 31, 21, tzinfo=UTC)),
        ("UTC", date(2024, 2, 29), datetime(2023, 2, 28, tzinfo=UTC)),
        ("UTC", date(2025, 2, 28), datetime(2024, 2, 28, tzinfo=UTC)),
        # That day began at 01:00: the clocks were put forward at midnight.
        ("America/Sao_Paulo", date(2019, 11, 4), datetime(2018, 11, 4, 3, tzinfo=UTC)),
        # That day began twice: the clocks were put back from 01:00 to midnight.
        ("America/Havana", date(2026, 11, 2), datetime(2025, 11, 2, 4, tzinfo=UTC)),
    ],
)
def test_the_window_begins_with_the_day_12_months_before(zone: str, day: date, start: datetime) -> None:
    assert replace(RULES, time_zone=ZoneInfo(zone)).window_start(day) == start


def test_a_day_is_a_day_in_the_circle() -> None:
    assert RULES.today(datetime(2026, 5, 31, 21, tzinfo=UTC)) == date(2026, 6, 1)
    assert RULES.today(datetime(2026, 5, 31, 21, tzinfo=UTC) - timedelta(microseconds=1)) == date(2026, 5, 31)


@pytest.mark.parametrize(
    ("tier", "spend_minor", "categories", "top_spend_minor", "expected"),
    [
        (Tier.INSIDER, 0, 0, None, Missing(Tier.VIP, 3_000_000, 3)),
        (Tier.INSIDER, 5_000_000, 2, None, Missing(Tier.VIP, 0, 1)),
        (Tier.INSIDER, 2_999_999, 9, None, Missing(Tier.VIP, 1, 0)),
        (Tier.VIP, 3_000_000, 3, None, Missing(Tier.ELITE, 7_000_000, 2)),
        (Tier.VIP, 3_000_000, 3, 4_000_000, Missing(Tier.ELITE, 1_000_000, 0)),
        (Tier.VIP, 3_000_000, 3, 15_000_000, Missing(Tier.ELITE, 7_000_000, 2)),
        (Tier.VIP, 12_000_000, 4, 15_000_000, Missing(Tier.ELITE, 0, 1)),
        (Tier.VIP, 3_000_000, 3, 10_000_000, Missing(Tier.ELITE, 7_000_000, 0)),
        (Tier.ELITE, 10_000_000, 5, None, Missing(Tier.INNER_CIRCLE, 10_000_000, 0)),
        (Tier.INNER_CIRCLE, 20_000_000, 1, None, None),
    ],
)
def test_what_is_missing_is_told_by_the_way_that_takes_less_money_and_then_fewer_categories(
    tier: Tier, spend_minor: int, categories: int, top_spend_minor: int | None, expected: Missing | None
) -> None:
    assert missing(tier, spend_minor, categories, top_spend_minor) == expected


def test_whoever_an_admin_pinned_is_at_the_highest_tier_and_misses_nothing() -> None:
    status = RULES.status(Standing(0, 0, Tier.INSIDER, pinned=True, top_spend_minor=None), NOW)
    assert (status.tier, status.missing) == (Tier.INNER_CIRCLE, None)


@pytest.mark.parametrize(
    "values",
    [
        {"vip_spend_minor": 0},
        {"elite_spend_minor": 2_999_999},
        {"inner_circle_spend_minor": 9_999_999},
        {"elite_categories": 2},
    ],
)
def test_rules_by_which_a_higher_tier_is_easier_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a higher tier asks for no"):
        replace(RULES, **values)  # type: ignore[arg-type]  # the names and types are those of TierRules
