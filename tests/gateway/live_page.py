"""A page of another site than the gateway's, with the real TypeScript client in its bundle."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.gateway.commands import run_command
from tests.gateway.typescript_package import CLIENT, build_package

PAGE = Path(__file__).parent / "live"


async def bundle(script: str) -> str:
    """Returns what a browser loads of a page's script."""
    await build_package()
    # The script is given on standard input, so that it finds the package as an application does.
    options = ("--bundle", "--minify", "--format=esm", "--target=es2022", "--loader=ts")
    return await run_command(CLIENT, "node_modules/.bin/esbuild", *options, given=(PAGE / script).read_bytes())


@asynccontextmanager
async def served_page(host: str, script: str = "live.ts") -> AsyncIterator[str]:
    """Serves the page for one block, and yields its origin.

    Args:
        host: The name of the site, which the browser is told to look for on this machine.
        script: The file of the page's script.
    """
    loaded = await bundle(script)

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=(PAGE / "index.html").read_text("utf-8"), content_type="text/html")

    async def bundled(_: web.Request) -> web.Response:
        return web.Response(text=loaded, content_type="text/javascript")

    application = web.Application()
    application.add_routes([web.get("/", page), web.get("/live.bundle.js", bundled)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
