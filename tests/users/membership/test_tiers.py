"""Tiers follow purchases and refunds, the calendar, and what an admin sets."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import NotFound, PermissionDenied, StoreUnavailable
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.membership.composition import Membership
from svoykrug_server.users.membership.tier_upkeep import FEW, MANY
from svoykrug_server.users.model import Tier
from tests.callers import CallBy, admin
from tests.conftest import isolated_settings
from tests.users.membership.shops import Shop, Shops
from tests.users.memberships import membership_of
from tests.users.people import audited, join

VIP, ELITE, INNER = 3_000_000, 10_000_000, 20_000_000
CHIEF = CallBy(admin())


@pytest.fixture
async def anna(postgres: Postgres, clock: ManualClock) -> UUID:
    return await join(postgres, clock.now())


@pytest.fixture
async def street(shops: Shops) -> list[Shop]:
    return [await shops.open(name) for name in ("beauty", "gastronomy", "floristry", "optics", "textile")]


async def stored(postgres: Postgres, user_id: UUID) -> tuple[str, int]:
    """Returns a user's tier and version, as everything but GetMyTier sees them."""
    async with postgres.read() as connection:
        row = await connection.fetchrow("SELECT tier, version FROM users WHERE id = $1", user_id)
    assert row is not None
    return row["tier"], row["version"]


async def due_count(postgres: Postgres) -> int:
    async with postgres.read() as connection:
        counted: int = await connection.fetchval("SELECT count(*) FROM tier_due")
    return counted


async def compute_night(membership: Membership) -> int:
    """Computes everybody and returns in how many parts."""
    parts = 0
    while await membership.upkeep.compute_night():
        parts += 1
    return parts


async def test_a_tier_follows_purchases_and_refunds_and_each_change_is_a_new_version_and_an_event(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, street: list[Shop], clock: ManualClock
) -> None:
    receipts = [await shops.sell(shop, anna, VIP // 2) for shop in street[:3]]
    assert (await membership.use_cases.tiers.get(anna)).tier is Tier.VIP
    assert await stored(postgres, anna) == ("insider", 1)
    assert await membership.upkeep.compute_due(FEW)
    assert await stored(postgres, anna) == ("vip", 2)

    clock.advance(timedelta(seconds=1))
    await shops.give_back(street[2], receipts[2], VIP // 2)
    assert await membership.upkeep.compute_due(FEW)
    assert await stored(postgres, anna) == ("insider", 3)

    events = [event for event in await audited(postgres, anna) if event[0] == "TIER_CHANGED"]
    assert events == [
        ("TIER_CHANGED", {"before": "insider", "after": "vip"}),
        ("TIER_CHANGED", {"before": "vip", "after": "insider"}),
    ]


async def test_a_purchase_that_changes_no_tier_writes_nothing_about_her(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, street: list[Shop]
) -> None:
    await shops.sell(street[0], anna, VIP - 1)
    assert await membership.upkeep.compute_due(FEW)
    assert not await membership.upkeep.compute_due(FEW)
    assert await stored(postgres, anna) == ("insider", 1)


async def test_purchases_of_one_category_do_not_lift_but_their_sum_lifts_to_inner_circle(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, street: list[Shop]
) -> None:
    await shops.sell(street[0], anna, INNER - 1)
    await membership.upkeep.compute_due(FEW)
    assert await stored(postgres, anna) == ("insider", 1)
    await shops.sell(street[0], anna, 1)
    await membership.upkeep.compute_due(FEW)
    assert await stored(postgres, anna) == ("inner_circle", 2)


async def test_a_sensitive_purchase_counts_by_its_amount_and_opens_no_category(
    shops: Shops, membership: Membership, anna: UUID, street: list[Shop]
) -> None:
    dentist, salon = await shops.open("dental", sensitive=True), await shops.open("beauty", sensitive=True)
    for shop in (street[1], street[2], dentist, salon):
        await shops.sell(shop, anna, VIP)
    status = await membership.use_cases.tiers.get(anna)
    assert (status.standing.net_spend_minor, status.standing.category_count) == (4 * VIP, 2)
    assert status.tier is Tier.INSIDER


async def test_a_late_refund_of_an_old_purchase_and_a_backdated_purchase_are_counted_on_the_purchases_day(
    shops: Shops, membership: Membership, anna: UUID, street: list[Shop], clock: ManualClock
) -> None:
    window_start = (await membership.use_cases.tiers.get(anna)).window_start_time
    old = await shops.sell(street[0], anna, 500, window_start - timedelta(microseconds=1))
    await shops.sell(street[0], anna, 300, window_start)
    await shops.give_back(street[0], old, 500)
    assert (await membership.use_cases.tiers.get(anna)).standing.net_spend_minor == 300


async def test_tiers_fall_with_the_night_in_which_purchases_leave_the_window(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, street: list[Shop], clock: ManualClock
) -> None:
    await shops.sell(street[0], anna, INNER)
    await membership.upkeep.compute_due(FEW)
    await compute_night(membership)
    clock.advance(timedelta(days=365))
    assert await compute_night(membership) == 2
    assert (await stored(postgres, anna))[0] == "inner_circle"
    clock.advance(timedelta(hours=9))  # 00:00 in Moscow
    await compute_night(membership)
    assert (await stored(postgres, anna))[0] == "insider"
    assert await compute_night(membership) == 0


async def test_a_night_goes_on_where_it_stopped_and_missed_nights_are_made_up_by_one(
    shops: Shops,
    membership: Membership,
    postgres: Postgres,
    street: list[Shop],
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("svoykrug_server.users.membership.tier_upkeep.BLOCK_MEMBERS", 2)
    people = [await join(postgres, clock.now()) for _ in range(5)]
    for user_id in people:
        await shops.sell(street[0], user_id, INNER)
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute("DELETE FROM tier_due")
    assert await membership.upkeep.compute_night()  # who is among the top
    assert await membership.upkeep.compute_night()
    lifted = [(await stored(postgres, user_id))[0] for user_id in people]
    assert lifted.count("inner_circle") == 2

    after_a_crash = membership_of(postgres, clock)
    assert await compute_night(after_a_crash) == 2
    assert {await stored(postgres, user_id) for user_id in people} == {("inner_circle", 2)}

    clock.advance(timedelta(days=400))
    assert await compute_night(after_a_crash) == 4
    assert {await stored(postgres, user_id) for user_id in people} == {("insider", 3)}


async def test_the_few_who_spend_most_are_elite_from_the_night_on_and_others_join_them_by_purchase(
    shops: Shops, postgres: Postgres, street: list[Shop], clock: ManualClock
) -> None:
    membership = membership_of(postgres, clock, isolated_settings(tier_elite_top_percent=40))
    people = [await join(postgres, clock.now()) for _ in range(5)]
    for place, user_id in enumerate(people):
        await shops.sell(street[0], user_id, 1_000 * (place + 1))
    await compute_night(membership)
    assert [(await stored(postgres, user_id))[0] for user_id in people] == ["insider"] * 3 + ["elite"] * 2

    status = await membership.use_cases.tiers.get(people[2])
    assert status.standing.top_spend_minor == 4_000
    await shops.sell(street[0], people[2], 1_000)
    await membership.upkeep.compute_due(FEW)
    assert (await stored(postgres, people[2]))[0] == "elite"


async def test_fewer_members_than_make_one_of_the_top_have_no_top(
    shops: Shops, membership: Membership, anna: UUID, street: list[Shop]
) -> None:
    await shops.sell(street[0], anna, 1)
    await compute_night(membership)
    assert (await membership.use_cases.tiers.get(anna)).standing.top_spend_minor is None


async def test_an_import_is_computed_once_it_pauses_and_keeps_nobody_at_a_till_waiting(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, street: list[Shop], clock: ManualClock
) -> None:
    vera = await join(postgres, clock.now())
    await shops.import_all(street[0], [(vera, INNER // 100, clock.now()) for _ in range(101)])
    await shops.sell(street[0], anna, INNER)
    assert await membership.upkeep.compute_due(FEW)
    assert [(await stored(postgres, user_id))[0] for user_id in (anna, vera)] == ["inner_circle", "insider"]
    assert not await membership.upkeep.compute_due(MANY)
    clock.advance(MANY.quiet)
    assert await membership.upkeep.compute_due(MANY)
    assert (await stored(postgres, vera))[0] == "inner_circle"
    assert await due_count(postgres) == 0


async def test_an_import_that_does_not_pause_is_computed_after_a_minute(
    shops: Shops, membership: Membership, anna: UUID, street: list[Shop], clock: ManualClock
) -> None:
    computed = []
    for _ in range(61):
        await shops.import_all(street[0], [(anna, 1, clock.now())] * 101)
        computed.append(await membership.upkeep.compute_due(MANY))
        clock.advance(timedelta(seconds=1))
    assert computed == [False] * 60 + [True]


async def test_what_a_transaction_writes_costs_one_row_and_one_that_writes_nothing_or_fails_costs_none(
    shops: Shops,
    postgres: Postgres,
    anna: UUID,
    street: list[Shop],
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await shops.import_all(street[0], [(anna, amount, clock.now()) for amount in range(50)])
    assert await due_count(postgres) == 1
    with pytest.raises(AssertionError, match="MEMBER_UNKNOWN"):
        await shops.import_all(street[0], [(uuid4(), 1, clock.now())])
    assert await due_count(postgres) == 1

    def fail(name: str) -> None:
        if name == "import.batch_written":
            raise ConnectionAbortedError(name)

    monkeypatch.setattr("svoykrug_server.purchases.imports.failpoint", fail)
    with pytest.raises(StoreUnavailable):
        await shops.sell(street[0], anna, INNER)
    assert await due_count(postgres) == 1


async def test_servers_that_compute_at_once_share_the_work_and_lose_none(
    shops: Shops, postgres: Postgres, street: list[Shop], clock: ManualClock
) -> None:
    people = [await join(postgres, clock.now()) for _ in range(12)]
    servers = [membership_of(postgres, clock).upkeep for _ in range(4)]

    async def buy(user_id: UUID) -> None:
        for shop in street[:3]:
            await shops.sell(shop, user_id, VIP)

    computing = [server.compute_due(FEW) for server in servers for _ in range(3)]
    await asyncio.gather(*(buy(user_id) for user_id in people), *computing)
    await asyncio.gather(*(server.compute_due(FEW) for server in servers))
    assert await due_count(postgres) == 0
    assert {(await stored(postgres, user_id))[0] for user_id in people} == {"vip"}
    changes = [
        len([event for event in await audited(postgres, user_id) if event[0] == "TIER_CHANGED"]) for user_id in people
    ]
    assert changes == [1] * 12


async def test_a_member_whose_link_is_erased_has_no_tier_to_compute(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, street: list[Shop]
) -> None:
    await shops.sell(street[0], anna, INNER)
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute("DELETE FROM member_links WHERE user_id = $1", anna)
    assert await membership.upkeep.compute_due(FEW)
    await compute_night(membership)
    assert await stored(postgres, anna) == ("insider", 1)
    with pytest.raises(PermissionDenied):
        await membership.use_cases.tiers.get(anna)


async def test_a_pinned_tier_stays_whatever_she_spends_until_it_is_freed(
    shops: Shops, membership: Membership, postgres: Postgres, anna: UUID, street: list[Shop], clock: ManualClock
) -> None:
    tiers = membership.use_cases.tiers
    pinned = await tiers.set(CHIEF, anna, pin=True)
    assert (pinned.tier, pinned.etag) == (Tier.INNER_CIRCLE, "2")
    assert await tiers.set(CHIEF, anna, pin=True) == pinned

    for shop in street[:3]:
        await shops.sell(shop, anna, VIP)
    await membership.upkeep.compute_due(FEW)
    await compute_night(membership)
    status = await tiers.get(anna)
    assert (status.tier, status.standing.pinned, status.missing) == (Tier.INNER_CIRCLE, True, None)
    assert await stored(postgres, anna) == ("inner_circle", 2)

    clock.advance(timedelta(seconds=1))
    freed = await tiers.set(CHIEF, anna, pin=False)
    assert (freed.tier, freed.etag) == (Tier.VIP, "3")
    assert await tiers.set(CHIEF, anna, pin=False) == freed
    assert [event for event in await audited(postgres, anna) if event[0].startswith("TIER")] == [
        ("TIER_SET", {"before": "insider", "after": "inner_circle", "pinned": True}),
        ("TIER_SET", {"before": "inner_circle", "after": "vip", "pinned": False}),
    ]


async def test_whoever_earned_the_highest_tier_can_be_pinned_to_it(
    shops: Shops, membership: Membership, anna: UUID, street: list[Shop]
) -> None:
    await shops.sell(street[0], anna, INNER)
    await membership.upkeep.compute_due(FEW)
    await membership.use_cases.tiers.set(CHIEF, anna, pin=True)
    assert (await membership.use_cases.tiers.get(anna)).standing.pinned


async def test_nobody_unknown_is_pinned(membership: Membership) -> None:
    with pytest.raises(NotFound):
        await membership.use_cases.tiers.set(CHIEF, uuid4(), pin=True)
