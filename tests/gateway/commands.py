"""Commands that have to succeed."""

import asyncio
import os
import subprocess
from pathlib import Path


async def run_command(folder: Path, *command: str, given: bytes = b"", **environment: str) -> str:
    """Runs a command, and returns what it printed.

    Args:
        folder: Where it runs.
        command: The command.
        given: What it finds on its standard input.
        environment: What it finds in its environment besides ours.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    printed, problems = await process.communicate(given)
    assert process.returncode == 0, (printed + problems).decode()[:10_000]
    return printed.decode()
