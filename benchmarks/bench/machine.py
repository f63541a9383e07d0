"""The machine that measures: what it is, what runs on it, and whether it is quiet."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.bench.processes import PACKAGES, ROOT

QUIET_SHARE = 0.15
"""A machine is quiet while less than this share of its cores works for others."""
SAMPLE_SECONDS = 2.0
LIBRARIES = ("grpcio", "protobuf", "asyncpg", "uvloop", "sqlalchemy", "chdb-core")
COMPARED = ("fastapi", "uvicorn", "pydantic")


def facts() -> dict[str, str]:
    """Returns what figures depend on, for the reader of a table: machine, versions, date."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Node": _printed(("node", "--version")),
        "h2load": _printed(("h2load", "--version")).removeprefix("h2load "),
        **{name: version(name) for name in LIBRARIES},
        **{found.name: found.version for found in distributions(path=[str(PACKAGES)]) if found.name in COMPARED},
    }


def wait_until_quiet(most_seconds: float, console: Console) -> float:
    """Waits until little else works on the machine, but no longer than asked, and says so.

    Returns:
        The share of all cores that was busy when it stopped waiting.
    """
    deadline = time.monotonic() + most_seconds
    while (busy := psutil.cpu_percent(SAMPLE_SECONDS) / 100) > QUIET_SHARE:
        left = deadline - time.monotonic()
        if left <= 0:
            console.print(f"[yellow]The machine is not quiet ({busy:.0%} of it is busy): figures will be worse.[/]")
            return busy
        console.print(f"waiting for a quiet machine: {busy:.0%} busy, {left:.0f} s more at most", style="dim")
    return busy


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Returns which commit is measured, and whether its code was changed since."""
    begin = ("git", "-C", str(ROOT))
    changed = _printed((*begin, "status", "--porcelain", "--", "server", "generated", "benchmarks"))
    return _printed((*begin, "rev-parse", "--short=9", "HEAD")) + (" with changes" if changed else "")


def _printed(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        return "missing"
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
