"""Everything that has a target, measured side by side: `make bench`, or `make bench WHAT=getme` for one part.

Each part runs in a process of its own on stores and servers of its own, sees right answers before it counts any, and
writes docs/performance.md, its charts and its JSON when it has ended: a run that is stopped loses one part.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks.bench import h2load, machine, report
from benchmarks.bench.figures import Measured, Part
from svoykrug_server.rpc.logs import configure_logging

WAIT_SECONDS = 30.0
"""How long each part waits for a quiet machine at most."""
Measuring = Callable[[int, Console], Coroutine[None, None, Measured]]


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*report.TITLES, []], help="which parts; all of them by default")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds to wait for a quiet machine at most")
    asked = parser.parse_args()
    console = Console(highlight=False)
    try:
        h2load.find()
    except h2load.Missing as missing:
        raise SystemExit(str(missing)) from None
    parts = asked.parts or list(report.TITLES)
    if len(parts) == 1:
        _measure(parts[0], asked.rounds, asked.wait, console)
        return
    options = ["--rounds", str(asked.rounds), "--wait", str(asked.wait)]
    began = time.monotonic()
    for part in parts:
        subprocess.run([sys.executable, "-m", "benchmarks.bench", part, *options], check=True)
    console.print(f"measured in {(time.monotonic() - began) / 60:.1f} minutes")


def _measure(name: str, rounds: int, wait_seconds: float, console: Console) -> None:
    console.rule(report.TITLES[name])
    busy = machine.wait_until_quiet(wait_seconds, console)
    measuring: Measuring = import_module(f"benchmarks.bench.{name}").measure
    with Path("/dev/null").open("w") as nowhere:
        configure_logging(human=False, stream=nowhere)
        figures, note = uvloop.run(measuring(rounds, console))
    report.keep(name, Part(machine.facts(), busy, figures, note))


if __name__ == "__main__":
    main()
