"""The documentation in a real browser: it is read, searched, signed in from and tried."""

from tests.gateway.chromium import chromium
from tests.gateway.curl import curl
from tests.gateway.front import Front

# The page's own way to fill a field and press a button.
FILL = "(form, name, value) => { form.elements[name].value = value; }"
PRESS = "(form, value) => form.querySelector(`button[value=${value}]`).click()"


async def test_a_person_signs_in_on_the_page_and_tries_a_method(front: Front) -> None:
    async with chromium() as tab:
        await tab.open(front.at("/docs/"))
        form = "document.querySelector('.sign-in')"
        await tab.run(f"({FILL})({form}, 'phone', '+79991234567'); ({PRESS})({form}, 'start')")
        await tab.until_true("document.querySelector('.state').textContent.startsWith('The code is on its way')")
        async with front.server.foundation.postgres.read() as connection:
            challenge_id = await connection.fetchval("SELECT challenge_id FROM auth_challenges")
        code = front.circle.code_of(challenge_id)
        await tab.run(f"({FILL})({form}, 'code', '{code}'); {form}.elements.consents.checked = true")
        await tab.run(f"({PRESS})({form}, 'complete')")
        await tab.until_true("document.querySelector('.state').textContent.startsWith('Signed in')")

        await tab.open(front.at("/docs/UsersService.html"))
        await tab.run("document.querySelector('#GetMe .trial form').requestSubmit()")
        await tab.until_true("document.querySelector('#GetMe .answer').textContent.includes('+79991234567')")
        await tab.run("document.querySelector('#ExportMe .trial form').requestSubmit()")
        await tab.until_true("document.querySelector('#ExportMe .answer').textContent.includes('audit_events')")
        assert tab.problems == []


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
