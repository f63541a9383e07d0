"""What a call costs up to a million members: `python benchmarks/long_growth.py [members ...]`, from the root.

The sizes are 10 thousand, 100 thousand and a million members with ten purchases each. Table and chart go into
docs/performance.md; beside the calls the chart shows what a purchase costs analytics, by `analytics_scale.py`.
"""

import argparse
import sys
from pathlib import Path

import uvloop
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench import machine, report
from benchmarks.bench.figures import Part
from benchmarks.bench.growth import measure_sizes
from svoykrug_server.rpc.logs import configure_logging

MEMBERS = (10_000, 100_000, 1_000_000)
ROUNDS, WAIT_SECONDS = 5, 60.0


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("members", nargs="*", type=int, default=list(MEMBERS))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often every call is measured")
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds to wait for a quiet machine at most")
    asked = parser.parse_args()
    console = Console(highlight=False)
    busy = machine.wait_until_quiet(asked.wait, console)
    with Path("/dev/null").open("w") as nowhere:
        configure_logging(human=False, stream=nowhere)
        figures, told = uvloop.run(measure_sizes(sorted(asked.members), asked.rounds, console))
    report.keep("long_growth", Part(machine.facts(), busy, figures, told))


if __name__ == "__main__":
    main()
