"""The documentation in a real browser: it is read, searched, signed in from and tried."""

from pathlib import Path

import pytest

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.e2e.python_client import ADMIN_PHONE, grant_superadmin
from tests.gateway.chromium import Tab, chromium
from tests.gateway.curl import curl
from tests.gateway.front import Front, front_of

# Another machine's name, for the browser: a page from there, without TLS, gets less of it than one from this machine.
ELSEWHERE = "docs.example"
# As many characters as the page shows of an answer, and some for its head.
MOST_SHOWN = 200_000 + 100
# The page's own way to fill a field and press a button.
FILL = "(form, name, value) => { form.elements[name].value = value; }"
PRESS = "(form, value) => form.querySelector(`button[value=${value}]`).click()"


async def test_a_person_signs_in_on_a_page_without_tls_and_tries_a_method(front: Front) -> None:
    async with chromium(f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1") as tab:
        here = front.at("").replace("127.0.0.1", ELSEWHERE)
        await tab.open(f"{here}/docs/")
        assert await tab.run("typeof crypto.randomUUID") == "undefined"
        form = "document.querySelector('.sign-in')"
        await tab.run(f"({FILL})({form}, 'phone', '+79991234567'); ({PRESS})({form}, 'start')")
        await tab.until_true("document.querySelector('.state').textContent.startsWith('The code is on its way')")
        async with front.server.foundation.postgres.read() as connection:
            challenge_id = await connection.fetchval("SELECT challenge_id FROM auth_challenges")
        code = front.circle.code_of(challenge_id)
        await tab.run(f"({FILL})({form}, 'code', '{code}'); {form}.elements.consents.checked = true")
        await tab.run(f"({PRESS})({form}, 'complete')")
        await tab.until_true("document.querySelector('.state').textContent.startsWith('Name the version')")
        await tab.run(f"({FILL})({form}, 'version', '2026-09'); ({PRESS})({form}, 'complete')")
        await tab.until_true("document.querySelector('.state').textContent.startsWith('Signed in')")
        async with front.server.foundation.postgres.read() as connection:
            versions = await connection.fetch("SELECT DISTINCT document_version FROM user_consents")
        assert [row["document_version"] for row in versions] == ["2026-09"]

        await tab.open(f"{here}/docs/UsersService.html")
        await tab.run("document.querySelector('#GetMe .trial form').requestSubmit()")
        await tab.until_true("document.querySelector('#GetMe .answer').textContent.includes('+79991234567')")
        await tab.run("document.querySelector('#ExportMe .trial form').requestSubmit()")
        await tab.until_true("document.querySelector('#ExportMe .answer').textContent.includes('audit_events')")
        assert tab.problems == []


@pytest.fixture
async def token(front: Front) -> str:
    """The token of somebody who may watch the circle."""
    await grant_superadmin(front.server.foundation.postgres)
    return (await front.circle.sign_in(ADMIN_PHONE)).tokens.access_token


async def paste(tab: Tab, front: Front, token: str) -> None:
    """Pastes a token on the first page."""
    await tab.open(front.at("/docs/"))
    field = "document.querySelector('.sign-in').elements.token"
    await tab.run(f"{field}.value = '{token}'; {field}.dispatchEvent(new Event('input'))")


async def test_a_stream_is_watched_until_it_is_stopped(front: Front, token: str) -> None:
    async with chromium() as tab:
        await paste(tab, front, token)
        await tab.open(front.at("/docs/AnalyticsService.html"))
        trial = "document.querySelector('#WatchDashboard .trial')"
        stop, answer = f"{trial}.querySelector('.stop')", f"{trial}.querySelector('.answer')"
        assert await tab.run(f"{stop}.hidden")
        await tab.run(f"{trial}.querySelector('[name=address]').value = '/v1/circle/dashboard:watch'")
        await tab.run(f"{trial}.querySelector('form').requestSubmit()")
        await tab.until_true(f"{answer}.textContent.includes('net_revenue_minor') && !{stop}.hidden")
        await tab.run(f"{stop}.click()")
        await tab.until_true(f"{answer}.textContent.endsWith('Stopped.') && {stop}.hidden")
        assert tab.problems == []


async def test_of_an_endless_answer_the_newest_part_is_shown(front: Front) -> None:
    lines = "Array.from({ length: 5000 }, (_, n) => JSON.stringify({ n, text: 'x'.repeat(100) }) + '\\n').join('')"
    async with chromium() as tab:
        await tab.open(front.at("/docs/UsersService.html"))
        await tab.run(f"window.fetch = async () => new Response({lines})")
        await tab.run("document.querySelector('#ExportMe .trial form').requestSubmit()")
        answer = "document.querySelector('#ExportMe .answer').textContent"
        await tab.until_true(f"{answer}.includes('4999')")
        assert await tab.run(f"{answer}.length") < MOST_SHOWN
        assert not await tab.run(f"{answer}.includes('\"n\": 1,')")


async def test_where_the_documentation_is_switched_off_its_paths_are_unknown(
    postgres: Postgres, warehouse: Warehouse
) -> None:
    async with front_of(postgres, warehouse, gateway_docs=False) as front:
        for path in ("/", "/docs", "/docs/", "/docs/docs.js", "/docs/UsersService.html", "/openapi.json"):
            refused = await curl(front.at(path))
            assert (refused.status, refused.reason) == (404, "METHOD_UNKNOWN"), path
        assert (await curl(front.at("/v1/users/me"))).reason == "TOKEN_MISSING"
        assert (await curl(front.at("/healthz"))).status == 200


async def test_the_pictures_of_the_documentation_are_taken(front: Front, token: str, pictures: Path) -> None:
    async with chromium() as tab:
        await tab.look(1100, 1200)
        await tab.open(front.at("/docs/"))
        await tab.shoot(pictures / "docs.png")
        await paste(tab, front, token)
        await tab.open(front.at("/docs/UsersService.html"))
        await tab.run("document.querySelector('#GetMe .trial').open = true")
        await tab.run("document.querySelector('#GetMe .trial form').requestSubmit()")
        await tab.until_true(f"document.querySelector('#GetMe .answer').textContent.includes('{ADMIN_PHONE}')")
        await tab.run("document.querySelector('#GetMe').scrollIntoView()")
        await tab.shoot(pictures / "docs-try-it.png")
    for name in ("docs.png", "docs-try-it.png"):
        assert (pictures / name).stat().st_size < 200_000
    assert (pictures / "docs.png").read_bytes() != (pictures / "docs-try-it.png").read_bytes()


async def test_the_first_page_finds_methods_and_keeps_the_chosen_language(front: Front) -> None:
    async with chromium() as tab:
        await tab.open(front.at("/docs/"))
        search = "document.querySelector('#search')"
        await tab.run(f"{search}.value = 'wallet'; {search}.dispatchEvent(new Event('input'))")
        shown = "[...document.querySelectorAll('.list li:not([hidden]) a')].map((link) => link.textContent)"
        assert await tab.run(shown) == ["GetMyWalletCode"]
        await tab.open(front.at("/docs/AuthService.html"))
        language = "document.querySelector('#StartSignIn .panel:not([hidden])').dataset.language"
        assert await tab.run(language) == "curl"
        assert front.at("") in str(await tab.run("document.querySelector('#StartSignIn .panel code').textContent"))
        await tab.run(
            "[...document.querySelectorAll('[role=tab]')].find((tab) => tab.textContent === 'Python').click()"
        )
        await tab.open(front.at("/docs/BusinessesService.html"))
        assert await tab.run(language.replace("StartSignIn", "GetBusiness")) == "Python"
        assert tab.problems == []


async def test_no_page_is_wider_than_the_screen_that_shows_it(front: Front) -> None:
    async with chromium() as tab:
        for width in (360, 1280):
            await tab.look(width, 800)
            for name in ("", "AuthAdminService.html", "PurchasesService.html", "types.html", "errors.html"):
                await tab.open(front.at(f"/docs/{name}"))
                assert await tab.run("document.documentElement.scrollWidth") <= width, (name, width)


async def test_the_contents_of_a_page_stand_beside_it_and_the_page_is_marked_in_the_navigation(front: Front) -> None:
    async with chromium() as tab:
        await tab.look(1280, 800)
        await tab.open(front.at("/docs/PurchasesService.html"))
        assert await tab.run("document.querySelector('nav [aria-current]').textContent") == "Purchases"
        edges = "['.contents', '.method'].map((name) => document.querySelector(name).getBoundingClientRect())"
        assert await tab.run(f"(([beside, method]) => beside.right <= method.left)({edges})")
        assert tab.problems == []


async def test_pages_and_openapi_are_served_with_their_types(front: Front) -> None:
    kinds = {
        "/docs/": "text/html; charset=utf-8",
        "/docs/style.css": "text/css; charset=utf-8",
        "/docs/docs.js": "text/javascript; charset=utf-8",
        "/openapi.json": "application/json",
    }
    for path, kind in kinds.items():
        answer = await curl(front.at(path))
        assert (answer.status, answer.headers["content-type"]) == (200, [kind])
    assert (await curl(front.at("/openapi.json"))).json["openapi"] == "3.1.0"
    assert (await curl(front.at("/docs/nothing.html"))).status == 404
