"""Headless Chromium, driven over its own protocol: the browser that people read the documentation in."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from tests.waiting import until

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page in the browser.

    Args:
        socket: The connection to it.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self.problems: list[str] = []

    async def open(self, url: str) -> None:
        """Goes to an address, and waits until its scripts ran."""
        await self._ask("Page.enable")
        await self._ask("Log.enable")
        await self._ask("Runtime.enable")
        await self._ask("Page.navigate", url=url)

        async def is_loaded() -> bool:
            return bool(await self.run(f"location.href === {json.dumps(url)} && document.readyState === 'complete'"))

        await until(is_loaded, seconds=30)

    async def run(self, script: str) -> Any:
        """Runs a script in the page, and returns its value."""
        answer = await self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until_true(self, script: str) -> None:
        """Waits until a script's value is true."""

        async def is_so() -> bool:
            return bool(await self.run(script))

        await until(is_so, seconds=30)

    async def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Makes the page as large as a screen, light or dark as the reader's device is."""
        await self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self._ask("Emulation.setEmulatedMedia", features=[scheme])

    async def shoot(self, path: Path) -> None:
        """Writes a picture of what is seen of the page."""
        answer = await self._ask("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(answer["data"]))

    async def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            said = await self._socket.receive_json()
            if said.get("id") == number:
                return said["result"]
            if said.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}:
                self.problems.append(json.dumps(said["params"]))


@asynccontextmanager
async def chromium(*options: str) -> AsyncIterator[Tab]:
    """Runs the browser for one block, with one empty page.

    Args:
        options: What the browser is started with besides.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program is not None, "the tests of the documentation need Chromium"
    folder = Path(tempfile.mkdtemp(prefix="svoykrug-chromium-"))
    command = (program, *_OPTIONS, *options, f"--user-data-dir={folder}", "about:blank")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = folder / "DevToolsActivePort"
        await until(lambda: port_file.exists() and "\n" in port_file.read_text(), seconds=60)
        port = port_file.read_text().splitlines()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as listed:
                [tab] = [target for target in await listed.json() if target["type"] == "page"]
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)
