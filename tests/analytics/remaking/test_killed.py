"""A process killed while it makes lost snapshots again: the next one finishes, and nothing is there twice."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("step", ["remaking.begun", "remaking.made", "remaking.restored"])
@pytest.mark.parametrize("which", [1, 2])
async def test_the_next_process_finishes_what_a_killed_one_left(
    postgres_url: str, data_dir: Path, step: str, which: int
) -> None:
    assert await run_worker(postgres_url, data_dir, f"{step}:{which}") is None
    ended = await run_worker(postgres_url, data_dir, "")
    assert ended is not None
    assert ended["held"] == [True, True]
    assert ended["found_counts"] == ended["member_counts"]
    assert ended["rows"] == sum(ended["member_counts"]) > 0


async def run_worker(postgres_url: str, data_dir: Path, failpoints: str) -> "dict[str, Any] | None":
    """Makes snapshots again in a process of its own; returns what it says, None when it was killed."""
    root = Path(__file__).parents[3]
    command = (sys.executable, "-m", "tests.analytics.remaking.worker", postgres_url, str(data_dir), failpoints)
    process = await asyncio.create_subprocess_exec(*command, cwd=root, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer
