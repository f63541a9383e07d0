"""Every block of the root README.md, then of docs/gateway.md, is run in its order as it stands, against `make run`.

One shell runs them all, as a reader's does: what a block sets, the next ones use. What differs is where things are: the
environment, the ports, and the folder of the gateway.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from svoykrug_server.gateway.folder import folder_of
from tests.auth.sms_providers import free_port
from tests.conftest import reachable_folder
from tests.gateway.commands import run_command
from tests.gateway.example_programs import TOOLS, install_grpcurl
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"@\S+ #(\d{6})")
COMMENT = re.compile(r"\s+#.*")
START_SECONDS = 120.0
MARK = "----- block"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a document.

    Attributes:
        language: What it is written in.
        text: What stands in it.
    """

    language: str
    text: str


def blocks(document: str) -> list[Block]:
    """Returns the blocks of a document, in their order."""
    return [Block(*found) for found in FENCED.findall((ROOT / document).read_text("utf-8"))]


README, GUIDE = blocks("README.md"), blocks("docs/gateway.md")
MAKE, *REST = README
ANNA = "+79991234567"
PROMISED = [
    ["svoykrug.users.v1.UsersService/GetMe"],
    ["challenge: "],
    ["the six digits: "],
    [f'"phone": "{ANNA}"'],
    ["rpc RefundPurchase", f'"phone": "{ANNA}"', '"field": "user.email"'],
    ["is superadmin now", "my-crm.json", "takes calls on"],
    [f'phone: "{ANNA}"'],
    ["the six digits", f'"phone":"{ANNA}"', '"display_name":"Анна"'],
    [ANNA, "UNAUTHENTICATED TOKEN_INVALID"],
    ["envoy_http_downstream_rq_total"],
]
"""What each run block prints, of the README and then of the guide; a program is run by the block after it."""


class Made:
    """`make run` on ports of its own, with what it shows on its console.

    Args:
        folder: Its own; PostgreSQL's user can pass it.

    Attributes:
        environment: What the operator's commands beside it find in their environment too.
        places: What stands in the documents -> what stands for it here.
    """

    def __init__(self, folder: Path) -> None:
        self._ready, self._console = folder / "ready.json", folder / "console.txt"
        port = free_port()
        own = {
            "DATA_DIR": str(folder / "data"),
            "LISTEN": '["127.0.0.1:0"]',
            "HTTP_PORT": "0",
            "GATEWAY_LISTEN": f"127.0.0.1:{port}",
            "READY_FILE": str(self._ready),
            "CODE_RESEND_SECONDS": "0",
            "DRAIN_SECONDS": "0",
            "GRACE_SECONDS": "1",
            "MINIMUM_FREE_DISK_MB": "0",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
        self.environment = {**inherited, **{f"SVOYKRUG_{name}": value for name, value in own.items()}}
        self.places = {
            ".venv/bin/": f"{BIN}/",
            "127.0.0.1:8080": f"127.0.0.1:{port}",
            "/tmp/svoykrug-gateway-0-8080": str(folder_of(port)),  # noqa: S108  as the guide has it
        }

    @asynccontextmanager
    async def running(self, command: str) -> AsyncIterator[None]:
        """Runs it for one block, with the environment that the tests have."""
        words = (*command.split(), f"BIN={BIN}", "--old-file=.venv/.ready")
        with self._console.open("wb") as console:
            process = await asyncio.create_subprocess_exec(
                *words, cwd=ROOT, env=self.environment, stdout=console, stderr=console, start_new_session=True
            )
        try:
            await until(lambda: self._ready.exists() or process.returncode is not None, START_SECONDS)
            assert process.returncode is None, self._console.read_text()[-5000:]
            self.places["127.0.0.1:50051"] = json.loads(self._ready.read_text())["addresses"][0]
            yield
        finally:
            if process.returncode is None:
                # As Ctrl-C does: make and what it runs hear it.
                os.killpg(process.pid, signal.SIGINT)
            await process.wait()

    def codes(self) -> list[str]:
        """Returns the codes that it showed so far."""
        return CODE.findall(self._console.read_text())

    def has_shown(self, count: int) -> bool:
        """Tells whether it showed so many codes."""
        return len(self.codes()) >= count


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the server's and the reader's own."""
    made = reachable_folder("svoykrug-guides-")
    yield made
    shutil.rmtree(made)


def script(made: Made, reader: Path) -> str:
    """Returns the blocks as one script, and saves the programs among them where they are run."""
    (program,) = [block for block in REST if block.language == "python"]
    (page,) = [block for block in GUIDE if block.language == "js"]
    commands = [block.text for block in REST if block.language == "sh"]
    assert "`.venv/bin/python first.py`" in (ROOT / "README.md").read_text("utf-8")
    commands.append(".venv/bin/python first.py\n")
    commands += [block.text for block in GUIDE if block.language == "sh"]
    assert len(commands) == len(PROMISED) == len(REST) + len(GUIDE) - 1
    parts = [f"echo; echo '{MARK}'\n{command}" for command in commands]
    texts = {"all.sh": "".join(parts), "first.py": program.text, "me.mjs": page.text}
    for name, text in texts.items():
        for place, here in made.places.items():
            text = text.replace(place, here)  # noqa: PLW2901  each place in turn
        (reader / name).write_text(text, "utf-8")
    (reader / ".curlrc").write_text("silent\n")
    return "all.sh"


@pytest.mark.timeout(900)
async def test_every_block_of_the_readme_and_of_the_guide_does_what_it_says(folder: Path) -> None:
    run, test = (COMMENT.sub("", line) for line in MAKE.text.splitlines())
    assert "tools/test.py" in await run_command(ROOT, *test.split(), "--dry-run", "--old-file=.venv/.ready")
    made, reader = Made(folder), folder / "reader"
    reader.mkdir()
    await install_grpcurl(reader)
    async with made.running(run):
        path = os.pathsep.join([str(TOOLS), str(BIN), os.environ["PATH"]])
        environment = {**made.environment, "PATH": path, "CURL_HOME": str(reader), "CLONE": str(ROOT)}
        shell = await asyncio.create_subprocess_exec(
            "bash", script(made, reader), cwd=reader, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        typing = asyncio.ensure_future(typed(made, shell))
        assert shell.stdout is not None
        printed = (await shell.stdout.read()).decode()
        typing.cancel()
        await asyncio.gather(typing, return_exceptions=True)
        await shell.wait()
    _, *told = printed.split(MARK)
    assert len(told) == len(PROMISED), printed[:10_000]
    for text, fragments in zip(told, PROMISED, strict=True):
        assert [fragment for fragment in fragments if fragment not in text] == [], text[:3000]


async def typed(made: Made, shell: asyncio.subprocess.Process) -> None:
    """Types each of the three codes that are asked for as soon as it is shown, and nothing when none comes."""
    assert shell.stdin is not None
    try:
        for count in (1, 2, 3):
            await until(partial(made.has_shown, count), START_SECONDS)
            shell.stdin.write(f"{made.codes()[-1]}\n".encode())
            await shell.stdin.drain()
    finally:
        shell.stdin.close()
