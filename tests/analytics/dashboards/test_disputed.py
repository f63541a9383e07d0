"""While the stores disagree on a day, or it must be feared, no figure of its scope is told."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from svoykrug_server.analytics.dashboards.calendar import AskedDays, AskedMonths
from svoykrug_server.analytics.dashboards.matrix import AskedMatrix
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import Unavailable
from tests.analytics.circles import BUSINESSES, purchase
from tests.analytics.dashboards.world import Dashboards, asked
from tests.callers import admin, service

FLORIST, BAKER, DENTIST = BUSINESSES[0], BUSINESSES[1], BUSINESSES[3]
READER = service("analytics.read")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MAY = AskedDays(date(2026, 5, 1), date(2026, 6, 1))
Ask = Callable[[Dashboards, Caller, UUID | None], Awaitable[object]]


async def dashboard(circle: Dashboards, caller: Caller, business_id: UUID | None) -> object:
    return (await circle.service.get(caller, asked(business_id, MAY))).dashboard.period.sales


async def cohorts(circle: Dashboards, caller: Caller, business_id: UUID | None) -> object:
    return (await circle.cohorts.get(caller, business_id, AskedMonths(MAY.from_day, MAY.from_day))).cohorts


async def matrix(circle: Dashboards, caller: Caller, business_id: UUID | None) -> object:
    return (await circle.matrix.get(caller, AskedMatrix(business_id, MAY, 0))).cells


async def dispute(circle: Dashboards, *business_ids: UUID) -> None:
    """Has the stores disagree on a day of these businesses, and on no other."""
    async with circle.postgres.transaction() as tx:
        connection = await tx.driver()
        await connection.execute("DELETE FROM proven_days")
        await connection.executemany(
            "INSERT INTO proven_days (business_id, day, touched_batch_id, disputed_since_time)"
            " VALUES ($1, '2026-04-30', 1, now())",
            [(business_id,) for business_id in business_ids],
        )


async def refusal(asking: Awaitable[object]) -> str:
    """Returns why something is refused; empty when it is not."""
    try:
        await asking
    except Unavailable as refused:
        assert refused.retry_after is not None  # noqa: PT017  of the one reason that is returned
        return refused.reason
    return ""


@pytest.mark.parametrize("ask", [dashboard, cohorts])
async def test_a_disputed_day_refuses_the_figures_of_its_scopes_and_of_no_other(
    dashboards: Dashboards, ask: Ask
) -> None:
    await dashboards.ship(purchase(1, 1, 100, NOON), purchase(2, 2, 200, NOON, BAKER))
    before = await ask(dashboards, READER, None)

    await dispute(dashboards, FLORIST)
    told = [await refusal(ask(dashboards, READER, scope)) for scope in (None, FLORIST, BAKER)]
    await dispute(dashboards)

    assert told == ["STORES_DISAGREE", "STORES_DISAGREE", ""]
    assert await ask(dashboards, READER, None) == before


async def test_a_disputed_day_refuses_the_matrix_of_every_business(dashboards: Dashboards) -> None:
    await dispute(dashboards, FLORIST)
    assert await refusal(matrix(dashboards, READER, BAKER)) == "STORES_DISAGREE"
    await dispute(dashboards)
    assert await matrix(dashboards, READER, BAKER) == ()


async def test_a_disputed_day_of_a_clinic_is_told_by_no_refusal_to_those_who_see_nothing_of_it(
    dashboards: Dashboards,
) -> None:
    await dispute(dashboards, DENTIST)
    told = [
        await refusal(dashboard(dashboards, READER, None)),
        await refusal(dashboard(dashboards, admin(), None)),
        await refusal(dashboard(dashboards, admin(), DENTIST)),
        await refusal(cohorts(dashboards, admin(), None)),
        await refusal(matrix(dashboards, admin(), None)),
    ]
    assert told == ["", "STORES_DISAGREE", "STORES_DISAGREE", "", ""]


@pytest.mark.parametrize(("ask", "read"), [(dashboard, "buyers"), (cohorts, "cohorts"), (matrix, "open_businesses")])
async def test_a_day_that_is_found_to_disagree_while_figures_are_read_refuses_them(
    dashboards: Dashboards, monkeypatch: pytest.MonkeyPatch, ask: Ask, read: str
) -> None:
    reading = getattr(dashboards.rows, read)

    async def read_then_dispute(*values: Any) -> object:
        found = await reading(*values)
        await dispute(dashboards, FLORIST)
        return found

    monkeypatch.setattr(dashboards.rows, read, read_then_dispute)
    assert await refusal(ask(dashboards, READER, None)) == "STORES_DISAGREE"


async def test_a_dashboard_that_was_remembered_before_a_repair_is_computed_anew(dashboards: Dashboards) -> None:
    await dashboards.ship(purchase(1, 1, 100, NOON))
    await dashboards.warehouse.command(
        "ALTER TABLE purchases UPDATE amount_minor = 99 WHERE 1 SETTINGS mutations_sync = 1"
    )
    wrong = await dashboard(dashboards, READER, FLORIST)

    await dispute(dashboards, FLORIST)
    refused = await refusal(dashboard(dashboards, READER, FLORIST))
    await dashboards.warehouse.command(
        "ALTER TABLE purchases UPDATE amount_minor = 100 WHERE 1 SETTINGS mutations_sync = 1"
    )
    await dispute(dashboards)

    assert refused == "STORES_DISAGREE"
    assert await dashboard(dashboards, READER, FLORIST) != wrong
