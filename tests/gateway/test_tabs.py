"""The tabs of one site share a session of the TypeScript client, in a real browser: one at a time changes it."""

from tests.gateway.chromium import chromium
from tests.gateway.live_page import served_page


async def test_a_page_waits_for_the_lock_that_another_page_of_its_site_holds() -> None:
    async with served_page("localhost", "tabs.ts") as origin, chromium() as tab:
        await tab.open(f"{origin}/")
        order = await tab.run("orderOfTwoPages()")
        assert order == ["the other page begins", "the other page ends", "this page"]
        assert await tab.run("navigator.locks.query().then(({held, pending}) => held.length + pending.length)") == 0
