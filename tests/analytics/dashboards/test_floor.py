"""What sensitive businesses sold cannot be taken apart by comparing answers, and who may ask at all."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations

import pytest

from svoykrug_server.analytics.dashboards.calendar import AskedDays, AskedMonths, Month
from svoykrug_server.analytics.dashboards.cohorts import without_small_cohorts
from svoykrug_server.analytics.dashboards.matrix import AskedMatrix
from svoykrug_server.analytics.dashboards.model import Cohort, Sales
from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.kit.errors import InvalidFields, PermissionDenied
from tests.analytics.circles import BUSINESSES, Entry, correction, purchase
from tests.analytics.dashboards.world import Dashboards, asked
from tests.callers import admin, person, service

DENTIST = BUSINESSES[3]
FLORIST, BAKER = BUSINESSES[0], BUSINESSES[1]
MONDAY = date(2026, 5, 4)
DAY = timedelta(days=1)


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def owner(business_id: object = FLORIST) -> Caller:
    return person(None, Role.MEMBER, staff={business_id: StaffRole.OWNER})  # type: ignore[dict-item]  # ids of the tests' circle


async def sensitive_of(circle: Dashboards, first: date, end: date, caller: Caller | None = None) -> Sales:
    answer = await circle.service.get(caller or admin(), asked(None, AskedDays(first, end)))
    return answer.dashboard.period.sensitive


def secret_rows(seed: int) -> list[Entry]:
    """Returns 48 purchases of 14 members in four weeks, and refunds of some, days after.

    The amounts of purchases are powers of two, and so are those of refunds: a sum of either names its rows.
    """
    rng = random.Random(seed)
    rows = []
    for number in range(48):
        when = at(MONDAY + rng.randrange(28) * DAY, rng.randrange(8, 20))
        bought = purchase(number + 1, rng.randint(1, 14), 1 << number + 4, when, DENTIST)
        rows.append(bought)
        if rng.random() < 0.3:
            rows.append(correction(number + 1_000, bought, "refund", 1 << number, rng.randrange(9) * DAY, DAY))
    return rng.sample(rows, len(rows))


def members_of(rows: list[Entry], sales: Sales, other: Sales) -> set[int]:
    """Returns the members whose rows are in one of two answers only."""
    bought = sales.gross_revenue_minor ^ other.gross_revenue_minor
    given_back, given_back_other = (each.gross_revenue_minor - each.net_revenue_minor for each in (sales, other))
    differing = {True: bought, False: given_back ^ given_back_other}
    return {row.member_id for row in rows if abs(row.amount_minor) & differing[row.kind == "purchase"]}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_two_answers_differ_by_fewer_than_five_members(dashboards: Dashboards, seed: int) -> None:
    rows = secret_rows(seed)
    periods = [
        (MONDAY - DAY + a * DAY, MONDAY + b * DAY)
        for a, b in ((0, 7), (1, 8), (0, 14), (1, 15), (8, 22), (0, 30), (1, 29))
    ]
    answers = set()
    for number in range(0, len(rows), 3):
        known = at(date(2026, 6, 1)) + number * timedelta(minutes=1)
        await dashboards.ship(*(replace(row, ingest_time=known) for row in rows[number : number + 3]))
        for first, end in periods:
            answers.add(await sensitive_of(dashboards, first, end))
    assert len(answers) > 3
    for one, other in combinations(answers, 2):
        assert len(members_of(rows, one, other)) >= 5


async def test_four_members_of_a_sensitive_business_show_nowhere(dashboards: Dashboards) -> None:
    rows = [purchase(number, number, 1_000, at(MONDAY), DENTIST) for number in range(1, 5)]
    await dashboards.ship(*rows)
    answer = await dashboards.service.get(admin(), asked(None, AskedDays(MONDAY, MONDAY + 7 * DAY)))
    assert answer.dashboard.period.sensitive == Sales()
    assert answer.dashboard.withheld
    await dashboards.ship(purchase(5, 5, 1_000, at(MONDAY, 13), DENTIST))
    assert await sensitive_of(dashboards, MONDAY, MONDAY + 7 * DAY) == Sales(5_000, 5_000, 5)
    assert await sensitive_of(dashboards, MONDAY, MONDAY + 6 * DAY) == Sales()


async def test_a_sensitive_sum_is_in_no_day_and_counts_no_member(dashboards: Dashboards) -> None:
    await dashboards.ship(*(purchase(number, number, 1_000, at(MONDAY), DENTIST) for number in range(1, 8)))
    dashboard = (await dashboards.service.get(admin(), asked(None, AskedDays(MONDAY, MONDAY + 7 * DAY)))).dashboard
    assert dashboard.period.sensitive.purchase_count == 7
    assert dashboard.period.buyers.active == 0
    assert dashboard.period.sales == Sales()
    assert {day.sales for day in dashboard.by_day} == {Sales()}


async def test_a_service_hears_nothing_of_sensitive_businesses(dashboards: Dashboards) -> None:
    await dashboards.ship(*(purchase(number, number, 1_000, at(MONDAY), DENTIST) for number in range(1, 8)))
    caller, days = service("analytics.read"), AskedDays(MONDAY, MONDAY + 7 * DAY)
    assert await sensitive_of(dashboards, MONDAY, MONDAY + 7 * DAY, caller) == Sales()
    with pytest.raises(PermissionDenied):
        await dashboards.service.get(caller, asked(DENTIST, days))
    with pytest.raises(PermissionDenied):
        await dashboards.cohorts.get(caller, DENTIST, AskedMonths())
    with pytest.raises(PermissionDenied):
        await dashboards.matrix.get(caller, AskedMatrix(DENTIST, AskedDays(), 0))


@pytest.mark.parametrize("make_caller", [lambda: owner(DENTIST), admin])
async def test_a_sensitive_business_is_whole_to_its_owner_and_to_admins(
    dashboards: Dashboards, make_caller: Callable[[], Caller]
) -> None:
    await dashboards.ship(purchase(1, 1, 1_000, at(MONDAY), DENTIST))
    answer = await dashboards.service.get(make_caller(), asked(DENTIST, AskedDays(MONDAY, MONDAY + DAY)))
    assert (answer.dashboard.period.buyers.active, answer.dashboard.period.sales.net_revenue_minor) == (1, 1_000)
    assert not answer.dashboard.withheld


async def test_another_business_changes_nothing_in_an_owners_dashboard(dashboards: Dashboards) -> None:
    days = AskedDays(MONDAY, MONDAY + 7 * DAY)
    await dashboards.ship(purchase(1, 1, 1_000, at(MONDAY), FLORIST))
    before = (await dashboards.service.get(owner(), asked(FLORIST, days))).dashboard
    await dashboards.ship(
        purchase(2, 1, 7_000, at(MONDAY), BAKER), purchase(3, 2, 7_000, at(MONDAY - 40 * DAY), DENTIST)
    )
    assert (await dashboards.service.get(owner(), asked(FLORIST, days))).dashboard == before


def cohort(month: int, *active: int) -> Cohort:
    return Cohort(Month(month), active, tuple(100 * count for count in active))


def test_a_small_cohort_is_withheld_and_never_alone() -> None:
    shown = without_small_cohorts([cohort(1, 40, 30, 3), cohort(2, 4, 2), cohort(3, 9), cohort(4, 0)])
    assert [each.withheld for each in shown] == [False, True, True, False]
    assert shown[0] == Cohort(Month(1), (40, 30, 0), (4_000, 3_000, 0))
    assert shown[1] == Cohort(Month(2), (0, 0), (0, 0), withheld=True)


async def test_small_cohorts_are_withheld_from_whoever_is_no_admin_in_the_circle(dashboards: Dashboards) -> None:
    await dashboards.ship(
        *(purchase(number, number, 1_000, at(MONDAY), FLORIST) for number in range(1, 7)),
        purchase(7, 7, 1_000, at(MONDAY - 60 * DAY), FLORIST),
    )
    stranger = (await dashboards.cohorts.get(person(), None, AskedMonths())).cohorts
    assert [each.month.first_day.month for each in stranger if each.withheld] == [3, 5]
    assert not any(each.withheld for each in (await dashboards.cohorts.get(admin(), None, AskedMonths())).cohorts)
    assert not any(each.withheld for each in (await dashboards.cohorts.get(owner(), FLORIST, AskedMonths())).cohorts)


async def test_sensitive_businesses_are_in_no_cohort_of_the_circle_and_in_no_cell(dashboards: Dashboards) -> None:
    rows = [
        entry
        for number in range(1, 9)
        for entry in (
            purchase(number, number, 1_000, at(MONDAY), DENTIST),
            purchase(100 + number, number, 1_000, at(MONDAY + DAY), FLORIST),
            purchase(200 + number, number, 1_000, at(MONDAY + 2 * DAY), DENTIST),
        )
    ]
    await dashboards.ship(*rows)
    cohorts = (await dashboards.cohorts.get(admin(), None, AskedMonths())).cohorts
    assert [each.net_revenue_minor[0] for each in cohorts if each.member_count] == [8_000]
    assert not (await dashboards.matrix.get(admin(), AskedMatrix(None, AskedDays(), 0))).cells
    dashboards.clock.advance(timedelta(days=31))
    assert not (await dashboards.matrix.get(owner(DENTIST), AskedMatrix(DENTIST, AskedDays(), 0))).cells
    assert not (await dashboards.matrix.get(owner(), AskedMatrix(FLORIST, AskedDays(), 0))).cells


def walk(first_number: int, members: range, day: date, known: datetime | None = None) -> list[Entry]:
    """Returns purchases of members who go from the baker to the florist two days later."""
    return [
        entry
        for number, member in enumerate(members, first_number)
        for entry in (
            purchase(2 * number, member, 1_000, at(day), BAKER, known),
            purchase(2 * number + 1, member, 1_000, at(day + 2 * DAY), FLORIST, known),
        )
    ]


async def test_an_owners_matrix_does_not_move_with_what_she_sells_today(dashboards: Dashboards) -> None:
    await dashboards.ship(*walk(1, range(1, 41), MONDAY))
    question = AskedMatrix(FLORIST, AskedDays(), 0)
    before = await dashboards.matrix.get(owner(), question)
    assert [abs(cell.member_count - 40) < 30 for cell in before.cells] == [True]
    dashboards.clock.advance(timedelta(days=3))
    today = at(date(2026, 6, 4))
    # She sells to a member whom she suspects to buy at the baker's, and enters a sale of last month for another.
    await dashboards.ship(
        *walk(150, range(70, 71), date(2026, 6, 1)),
        *walk(160, range(71, 72), MONDAY, known=today),
    )
    assert (await dashboards.matrix.get(owner(), question)).cells == before.cells
    assert [cell.member_count for cell in (await dashboards.matrix.get(admin(), question)).cells] == [42]


async def test_an_owner_of_two_businesses_gets_no_second_draw_of_a_count(dashboards: Dashboards) -> None:
    await dashboards.ship(*walk(1, range(1, 41), MONDAY))
    both = person(None, Role.MEMBER, staff={FLORIST: StaffRole.OWNER, BAKER: StaffRole.OWNER})
    answers = [
        (await dashboards.matrix.get(caller, AskedMatrix(business_id, AskedDays(), 0))).cells
        for caller, business_id in ((owner(), FLORIST), (owner(BAKER), BAKER), (both, FLORIST), (both, BAKER))
    ]
    assert len(answers[0]) == 1
    assert answers == [answers[0]] * 4


async def test_what_is_sold_at_sensitive_and_third_businesses_leaves_an_owners_cells_as_they_are(
    dashboards: Dashboards,
) -> None:
    await dashboards.ship(*walk(1, range(1, 41), MONDAY))
    question = AskedMatrix(FLORIST, AskedDays(), 0)
    before = (await dashboards.matrix.get(owner(), question)).cells
    await dashboards.ship(
        *(purchase(500 + member, member, 900, at(MONDAY + DAY), DENTIST) for member in range(1, 41)),
        *(purchase(600 + member, member, 900, at(MONDAY + DAY), BUSINESSES[2]) for member in range(60, 80)),
    )
    assert (await dashboards.matrix.get(owner(), question)).cells == before


async def test_a_sale_that_an_owner_invents_does_not_tell_whether_its_buyer_bought_elsewhere(
    dashboards: Dashboards,
) -> None:
    """She compares the answers without and with it, in circles where the buyer did and in others where she did not."""
    rises = {True: 0, False: 0}
    question = AskedMatrix(FLORIST, AskedDays(), 0)
    dashboards.clock.advance(timedelta(days=31))
    for number in range(40):
        bought_elsewhere = number % 2 == 0
        first = 1_000 * number
        rows = walk(first, range(first, first + 40), MONDAY)
        suspect = first + 500
        if bought_elsewhere:
            rows.append(purchase(2 * first + 900, suspect, 700, at(MONDAY), BAKER))
        await dashboards.warehouse.command("TRUNCATE TABLE purchases")
        await dashboards.ship(*rows)
        before = (await dashboards.matrix.get(owner(), question)).cells
        await dashboards.ship(purchase(2 * first + 901, suspect, 700, at(MONDAY + DAY), FLORIST))
        after = (await dashboards.matrix.get(owner(), question)).cells
        rises[bought_elsewhere] += sum(cell.member_count for cell in after) > sum(cell.member_count for cell in before)
    # Of 20 each a rise is about as frequent. Exact counts would rise in all of one kind and in none of the other.
    assert abs(rises[True] - rises[False]) < 10
    assert rises[False] > 3


@pytest.mark.parametrize(
    ("days", "within_days", "field"),
    [
        (AskedDays(MONDAY), 0, "from_date"),
        (AskedDays(None, MONDAY), 0, "from_date"),
        (AskedDays(), 7, "within_days"),
        (AskedDays(MONDAY, MONDAY + DAY), 30, "from_date"),
    ],
)
async def test_an_owner_does_not_choose_what_her_matrix_is_made_of(
    dashboards: Dashboards, days: AskedDays, within_days: int, field: str
) -> None:
    with pytest.raises(InvalidFields) as refusal:
        await dashboards.matrix.get(owner(), AskedMatrix(FLORIST, days, within_days))
    assert [violation.path for violation in refusal.value.violations] == [field]


async def test_an_owner_sees_the_cells_of_her_business_only(dashboards: Dashboards) -> None:
    third = BUSINESSES[2]
    rows = walk(1, range(1, 41), MONDAY)
    rows += [purchase(500 + member, member, 500, at(MONDAY + 3 * DAY), third) for member in range(1, 41)]
    await dashboards.ship(*rows)
    ways = {
        (cell.from_business_id, cell.to_business_id)
        for cell in (await dashboards.matrix.get(owner(third), AskedMatrix(third, AskedDays(), 0))).cells
    }
    assert ways == {(BAKER, third), (FLORIST, third)}
    everything = await dashboards.matrix.get(admin(), AskedMatrix(None, AskedDays(), 0))
    assert len(everything.cells) == 3


async def test_a_cell_of_four_members_is_never_shown(dashboards: Dashboards) -> None:
    await dashboards.ship(
        *walk(1, range(1, 5), MONDAY),
        *(purchase(900 + member, member, 1, at(MONDAY - 5 * DAY), FLORIST) for member in range(20, 40)),
    )
    assert not (await dashboards.matrix.get(admin(), AskedMatrix(None, AskedDays(), 0))).cells
