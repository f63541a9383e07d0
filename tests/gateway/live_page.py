"""A page of another site than the gateway's, with the real TypeScript client in its bundle."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

PAGE = Path(__file__).parent / "live"
CLIENT = Path(__file__).resolve().parents[2] / "clients" / "typescript"


async def bundle() -> bytes:
    """Builds the package as its users get it, and returns what a browser loads of the page's script."""
    if not (CLIENT / "node_modules").exists():
        await _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    await _run("npm", "run", "--silent", "build")
    # The script is given on standard input, so that it finds the package as an application does.
    options = ("--bundle", "--minify", "--format=esm", "--target=es2022", "--loader=ts")
    return await _run("node_modules/.bin/esbuild", *options, given=(PAGE / "live.ts").read_bytes())


async def _run(*command: str, given: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=CLIENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    printed, problems = await process.communicate(given)
    assert process.returncode == 0, (printed + problems).decode()
    return printed


@asynccontextmanager
async def served_page(host: str) -> AsyncIterator[str]:
    """Serves the page for one block, and yields its origin.

    Args:
        host: The name of the site, which the browser is told to look for on this machine.
    """
    script = await bundle()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=(PAGE / "index.html").read_text("utf-8"), content_type="text/html")

    async def bundled(_: web.Request) -> web.Response:
        return web.Response(body=script, content_type="text/javascript")

    application = web.Application()
    application.add_routes([web.get("/", page), web.get("/live.bundle.js", bundled)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
