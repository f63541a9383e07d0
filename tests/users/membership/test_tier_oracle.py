"""Tiers and progress are what a plain reading of the rules says, for any purchases, refunds, zone and hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.membership.composition import Membership
from svoykrug_server.users.membership.tier_upkeep import FEW
from tests.conftest import isolated_settings
from tests.users.membership.shops import Shop, Shops
from tests.users.memberships import membership_of

CATEGORIES = ("beauty", "cosmetology", "gastronomy", "floristry", "optics", "textile", "dental")
ZONES = (
    "UTC",
    "Europe/Moscow",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Pacific/Apia",
)
NOWS = (
    datetime(2024, 2, 29, 21, 30, tzinfo=UTC),
    datetime(2025, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2019, 11, 3, 3, 0, tzinfo=UTC),  # America/Sao_Paulo had no midnight that day
    datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC),  # nor had Asia/Beirut the day before a year
    datetime(2026, 6, 1, 12, tzinfo=UTC),
)
BEGINNING = datetime(2017, 1, 1, tzinfo=UTC)
VIP, ELITE, INNER = 3_000_000, 10_000_000, 20_000_000


@dataclass(frozen=True, slots=True)
class Sale:
    """A purchase of an example: who, where, for how much, how long before now, and which parts were given back."""

    buyer: int
    category: int
    amount_minor: int
    age: timedelta
    refunded_tenths: tuple[int, ...] = ()

    @property
    def refunds(self) -> list[int]:
        """What was given back, one amount a refund."""
        given = [self.amount_minor * tenths // 10 for tenths in self.refunded_tenths]
        return [amount for amount in given if amount]

    @property
    def net_minor(self) -> int:
        """What is left of it."""
        return self.amount_minor - sum(self.refunds)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the rules say of a member."""

    net_spend_minor: int
    category_count: int
    tier: str
    missing: tuple[str, int, int] | None


ages = st.one_of(
    st.timedeltas(timedelta(0), timedelta(days=800)),
    st.builds(
        lambda days, hours, microseconds: timedelta(days=days, hours=hours, microseconds=microseconds),
        st.integers(364, 367),
        st.integers(-1, 24),
        st.integers(0, 2),
    ),
)
amounts = st.one_of(
    st.sampled_from([0, 1, VIP - 1, VIP, ELITE - 1, ELITE, INNER - 1, INNER]), st.integers(0, 25_000_000)
)
sales = st.lists(
    st.builds(
        Sale,
        st.integers(0, 3),
        st.integers(0, len(CATEGORIES) - 1),
        amounts,
        ages,
        st.sampled_from([(), (), (), (10,), (5,), (5, 5), (3, 7), (9,)]),
    ),
    max_size=14,
)


def same_day_last_year(day: date) -> date:
    return date(day.year - 1, 2, 28) if (day.month, day.day) == (2, 29) else date(day.year - 1, day.month, day.day)


def expected_of(buyer: int, bought: Sequence[Sale], now: datetime, zone: ZoneInfo, top: int | None) -> Expected:
    since = same_day_last_year(now.astimezone(zone).date())
    counted = [sale for sale in bought if sale.buyer == buyer and (now - sale.age).astimezone(zone).date() >= since]
    spend = sum(sale.net_minor for sale in counted)
    opened = {sale.category for sale in counted if sale.net_minor > 0 and CATEGORIES[sale.category] != "dental"}
    tier = "insider"
    if spend >= VIP and len(opened) >= 3:
        tier = "vip"
    if (spend >= ELITE and len(opened) >= 5) or (top is not None and spend >= top):
        tier = "elite"
    if spend >= INNER:
        tier = "inner_circle"
    return Expected(spend, len(opened), tier, missing_of(tier, spend, len(opened), top))


def missing_of(tier: str, spend: int, opened: int, top: int | None) -> tuple[str, int, int] | None:
    if tier == "inner_circle":
        return None
    if tier == "elite":
        return "inner_circle", INNER - spend, 0
    if tier == "insider":
        return "vip", max(VIP - spend, 0), max(3 - opened, 0)
    by_categories = ("elite", max(ELITE - spend, 0), max(5 - opened, 0))
    if top is None:
        return by_categories
    by_place = ("elite", max(top - spend, 0), 0)
    return by_place if by_place[1] <= by_categories[1] else by_categories


def top_of(spends: Sequence[int], percent: float) -> int | None:
    ranked = sorted((spend for spend in spends if spend > 0), reverse=True)
    among = int(len(ranked) * percent / 100)
    return ranked[among - 1] if among else None


class World:
    """Runs one example after the other on one database."""

    def __init__(self, shops: Shops, opened: list[Shop]) -> None:
        self.shops = shops
        self.opened = opened

    async def begin(self, bought: Sequence[Sale], now: datetime) -> list[UUID]:
        """Forgets the example before, makes four members and their purchases, and returns who they are."""
        await self._forget()
        clock = self.shops.circle.clock
        clock.set(now)
        people = [(await self.shops.circle.add_member()).user_id for _ in range(4)]
        for place, shop in enumerate(self.opened):
            here = [sale for sale in bought if sale.category == place]
            rows = [(people[sale.buyer], sale.amount_minor, now - sale.age) for sale in here]
            receipts = await self.shops.import_all(shop, rows) if rows else []
            for sale, receipt in zip(here, receipts, strict=True):
                for amount_minor in sale.refunds:
                    await self.shops.give_back(shop, receipt, amount_minor)
        return people

    async def _forget(self) -> None:
        async with self.shops.circle.postgres.transaction() as tx:
            driver: asyncpg.Connection[asyncpg.Record] = await tx.driver()
            await driver.execute(
                "DELETE FROM member_links; DELETE FROM tier_due; "
                "UPDATE tier_state SET done_day = NULL, walk_day = NULL, top_spend_minor = NULL"
            )


async def check(membership: Membership, postgres: Postgres, people: list[UUID], expected: list[Expected]) -> None:
    """Compares what GetMyTier answers and what is stored with what the rules say."""
    for user_id, plain in zip(people, expected, strict=True):
        status = await membership.use_cases.tiers.get(user_id)
        missing = status.missing
        told = None if missing is None else (missing.tier.value, missing.spend_minor, missing.category_count)
        standing = status.standing
        assert Expected(standing.net_spend_minor, standing.category_count, status.tier.value, told) == plain
        async with postgres.read() as connection:
            assert await connection.fetchval("SELECT tier FROM users WHERE id = $1", user_id) == plain.tier


@pytest.fixture
async def world(shops: Shops) -> World:
    return World(shops, [await shops.open(name, sensitive=name == "dental") for name in CATEGORIES])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    bought=sales,
    zone_name=st.sampled_from(ZONES),
    now=st.sampled_from(NOWS)
    | st.integers(0, 3_000 * 24 * 60).map(lambda minutes: BEGINNING + timedelta(minutes=minutes)),
    percent=st.sampled_from([0.0, 1.0, 25.0, 50.0, 100.0]),
)
@example([Sale(0, 0, VIP, timedelta(days=366))], "UTC", NOWS[0], 100.0)
async def test_tiers_and_progress_are_what_the_rules_say(
    world: World, postgres: Postgres, bought: list[Sale], zone_name: str, now: datetime, percent: float
) -> None:
    rules = isolated_settings(circle_time_zone=zone_name, tier_elite_top_percent=percent)
    membership, zone = membership_of(postgres, world.shops.circle.clock, rules), ZoneInfo(zone_name)
    people = await world.begin(bought, now)

    while await membership.upkeep.compute_due(FEW):
        """Until nobody is due."""
    by_categories = [expected_of(buyer, bought, now, zone, None) for buyer in range(4)]
    await check(membership, postgres, people, by_categories)

    while await membership.upkeep.compute_night():
        """Until everybody is computed."""
    top = top_of([plain.net_spend_minor for plain in by_categories], percent)
    await check(membership, postgres, people, [expected_of(buyer, bought, now, zone, top) for buyer in range(4)])
