"""A page of another site, in a real browser with the real TypeScript client: it may call when the settings name it."""

import os
from pathlib import Path

import pytest

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.dashboards.shop import open_shop
from tests.e2e.python_client import ADMIN_PHONE, grant_superadmin
from tests.gateway.chromium import Tab, chromium
from tests.gateway.front import front_of, gateway_before
from tests.gateway.live_page import served_page

SITE = "app.example"
IN_THE_BROWSER = f"--host-resolver-rules=MAP {SITE} 127.0.0.1"


async def press(tab: Tab, button: str, **values: str) -> None:
    """Fills the page's form and presses one of its buttons."""
    for name, value in values.items():
        await tab.run(f"document.forms[0].elements['{name}'].value = '{value}'")
    await tab.run(f"document.querySelector('button[value={button}]').click()")


async def until_shown(tab: Tab, element: str, text: str) -> None:
    """Waits until an element of the page shows a text."""
    await tab.until_true(f"document.querySelector('#{element}').textContent === '{text}'")


async def test_a_page_of_a_named_site_signs_in_and_shows_each_purchase_as_it_is_recorded(
    postgres: Postgres, warehouse: Warehouse
) -> None:
    async with served_page(SITE) as origin, front_of(postgres, warehouse, gateway_origins=(origin,)) as front:
        shop = await open_shop(front.server)
        await grant_superadmin(postgres)
        async with chromium(IN_THE_BROWSER) as tab:
            await tab.open(f"{origin}/?gateway=http://{front.gateway.address}&business={shop.business_id}")
            await press(tab, "start", phone=ADMIN_PHONE)
            await until_shown(tab, "state", "The code is on its way.")
            async with postgres.read() as connection:
                newest = "SELECT challenge_id FROM auth_challenges ORDER BY create_time DESC LIMIT 1"
                challenge_id = await connection.fetchval(newest)
            await press(tab, "complete", code=front.circle.code_of(challenge_id))
            await until_shown(tab, "state", "Signed in.")
            await until_shown(tab, "purchases", "0")
            await shop.sell(199_000)
            await until_shown(tab, "revenue", "1990.00")
            await shop.sell(51_000)
            await until_shown(tab, "revenue", "2500.00")
            assert await tab.run("document.querySelector('#purchases').textContent") == "2"
            assert await tab.run("Number(document.querySelector('#pushes').textContent)") >= 3
            await shoot(tab)
            assert tab.problems == []


async def shoot(tab: Tab) -> None:
    """Keeps a picture of the page where the environment names a folder for pictures."""
    if "SVOYKRUG_PICTURES" in os.environ:
        await tab.shoot(Path(os.environ["SVOYKRUG_PICTURES"]) / "live-dashboard.png")


@pytest.mark.parametrize("named", [(), ("https://app.example", "http://app.example")])
async def test_a_page_of_a_site_that_is_not_named_gets_no_answer(named: tuple[str, ...]) -> None:
    async with (
        served_page(SITE) as origin,
        gateway_before("127.0.0.1:1", gateway_origins=named) as gateway,
        chromium(IN_THE_BROWSER) as tab,
    ):
        await tab.open(f"{origin}/?gateway=http://{gateway.address}")
        await press(tab, "start", phone=ADMIN_PHONE)
        await until_shown(tab, "state", "No answer.")
        assert any("blocked by CORS policy" in problem for problem in tab.problems)
