"""Run every check side by side and say, one line each, how it went; the output of a failed one is shown.

Why this exists: a developer wants all complaints at once and the time of each check, and the same command must serve
CI.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import third_party

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
RELEASED = "protos/released.binpb"
TYPED = ["server", "clients/python", "tests", "demo", "tools", "benchmarks"]

# The slowest first: they run side by side.
CHECKS = {
    "types (mypy --strict)": ["mypy", *(folder for folder in TYPED if (ROOT / folder).exists())],
    "generated files are current": ["python", "tools/generate.py", "--check"],
    "import rules (lint-imports)": ["lint-imports"],
    "format (ruff)": ["ruff", "format", "--check", "--output-format=concise", "."],
    "lint (ruff)": ["ruff", "check", "--quiet", "."],
    "protos: lint (buf)": ["buf", "lint", "protos"],
    "protos: format (buf)": ["buf", "format", "--diff", "--exit-code", "protos"],
    "protos: breaking (buf)": ["buf", "breaking", "protos", "--against", RELEASED],
    "house rules": ["python", "tools/house_rules.py"],
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check went.

    Attributes:
        name: The check's name, as shown.
        passed: Whether its program ended with code 0.
        seconds: How long it took.
        output: What it printed.
    """

    name: str
    passed: bool
    seconds: float
    output: str


def run(name: str, command: list[str]) -> Outcome:
    """Run one check in the root folder."""
    start = time.monotonic()
    program = [str(BIN / command[0]), *command[1:]]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return Outcome(name, done.returncode == 0, time.monotonic() - start, done.stdout)


def main() -> None:
    """Run all checks; ends the program with code 1 when one failed."""
    start = time.monotonic()
    third_party.main()
    failed: list[Outcome] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for done in as_completed([pool.submit(run, name, command) for name, command in CHECKS.items()]):
            outcome = done.result()
            print(f"{'ok    ' if outcome.passed else 'FAILED'} {outcome.seconds:5.1f} s  {outcome.name}", flush=True)
            if not outcome.passed:
                failed.append(outcome)
    for outcome in failed:
        print(f"\n--- {outcome.name}\n{outcome.output.rstrip()}")
    print(f"\n{len(CHECKS) - len(failed)} of {len(CHECKS)} checks passed in {time.monotonic() - start:.1f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
