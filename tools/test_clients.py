"""Run the tests of the clients against the real server, and show the scenario they share as a table.

Why this exists: the scenario stands once, in clients/scenario.json, and each client runs it in its own language by its
own runner. Each step that went well is printed as `scenario <step> ok (<column>)`; the table at the end is made of
these lines and of nothing else, so that a step that did not run is a hole in it, and stale generated code is a failure.

A client whose toolchain is not here is left out, and named at the end. It is a failure when the client was asked for,
by its name or by `all`, as CI does.
"""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from toolchains import CC, GO, GOFMT, JAVAC, MAVEN, NODE, NPM, Tool, missing_tools

ROOT = Path(__file__).resolve().parent.parent
SCENARIO = ROOT / "clients" / "scenario.json"
GO_MODULE, KOTLIN, TYPESCRIPT = (ROOT / "clients" / name for name in ("go", "kotlin", "typescript"))
# Each has a server of its own, which its scenario restarts; they wait half of their time.
SIDE_BY_SIDE = 2
_LINE = re.compile(r"scenario (\S+) (\S+) \((.+?)\)")


@dataclass(frozen=True, slots=True)
class Suite:
    """A command that tests or prepares a client.

    Attributes:
        name: What is shown.
        command: The command; it passed when it ends with code 0.
        folder: Where it runs.
    """

    name: str
    command: Sequence[str]
    folder: Path = ROOT


@dataclass(frozen=True, slots=True)
class Client:
    """A client and how it is tested.

    Attributes:
        name: What the columns of the table name it by.
        needs: The programs that its tests need.
        suites: What is run, one after the other.
    """

    name: str
    needs: Sequence[Tool]
    suites: Sequence[Suite]


# The slowest first: they run side by side.
CLIENTS = (
    Client(
        "typescript",
        (NODE, NPM),
        (
            Suite("typescript: packages of the lock", ("npm", "ci", "--no-audit", "--no-fund"), TYPESCRIPT),
            Suite("typescript: generated code is current, tests", ("npm", "test"), TYPESCRIPT),
            Suite("typescript: the React Native example fits the types", ("npm", "run", "check-example"), TYPESCRIPT),
        ),
    ),
    Client("kotlin", (JAVAC, MAVEN), (Suite("kotlin: tests", ("mvn", "-B", "test"), KOTLIN),)),
    Client(
        "go",
        (GO, GOFMT, CC),
        (
            Suite("go: generated code is current", (sys.executable, "tools/generate_go.py", "--check")),
            Suite("go: tests with the race detector", ("go", "test", "-race", "-count=1", "-v", "./..."), GO_MODULE),
        ),
    ),
    Client(
        "python",
        (),
        (
            Suite(
                "python: tests", (sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/clients")
            ),
        ),
    ),
)


class Line(NamedTuple):
    """What a client printed.

    Attributes:
        name: The step, or `<step>.<expectation>`.
        word: `ok`, or what stands in place of the step.
        column: Who says so.
    """

    name: str
    word: str
    column: str


class Table:
    """The scenario: its steps, who runs it, and what a step is replaced by where a transport cannot do it.

    Args:
        content: What clients/scenario.json holds.
        clients: The clients that run it.
    """

    def __init__(self, content: Mapping[str, Any], clients: Collection[str]) -> None:
        self.steps: dict[str, list[str]] = {step["id"]: list(step["expects"]) for step in content["steps"]}
        self.columns: list[str] = [column["name"] for column in content["columns"] if column["client"] in clients]
        self.instead = {
            (row["step"], row["column"]): row for row in content["instead"] if row["column"] in self.columns
        }

    def wanted(self, step: str, column: str) -> list[Line]:
        """Returns the lines of one step in one column: its expectations, and the step itself as the last."""
        row = self.instead.get((step, column))
        expects, word = (row["expects"], row["line"]) if row else (self.steps[step], "ok")
        return [*(Line(f"{step}.{name}", "ok", column) for name in expects), Line(step, word, column)]

    def complaints(self, said: Iterable[Line]) -> list[str]:
        """Returns what is wrong with the lines that were printed; nothing when each that is wanted came once."""
        times = Counter(said)
        wanted = [line for column in self.columns for step in self.steps for line in self.wanted(step, column)]
        missing = [f"{line.column}: {line.name} {line.word} is missing" for line in wanted if not times[line]]
        often = [
            f"{line.column}: {line.name} {line.word} came {times[line]} times" for line in wanted if times[line] > 1
        ]
        unknown = [
            f"{line.column}: {line.name} {line.word} is not wanted" for line in sorted(times.keys() - set(wanted))
        ]
        return missing + often + unknown

    def shown(self, said: Collection[Line]) -> str:
        """Returns the table as text, with what stands in place of a step below it."""
        rows = [["step", *self.columns]]
        rows += [[step, *(self._cell(step, column, said) for column in self.columns)] for step in self.steps]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        notes = (
            f"{row['line']}: {column}: {row['because']}. {row['does']}" for (_, column), row in self.instead.items()
        )
        return "\n".join([*lines, *notes])

    def _cell(self, step: str, column: str, said: Collection[Line]) -> str:
        """Returns the word of a step and how many expectations held; of how many, where they were not all."""
        *expectations, end = self.wanted(step, column)
        held = sum(line in said for line in expectations)
        count = f" {held}" if held == len(expectations) else f" {held} of {len(expectations)}"
        return f"{end.word if end in said else 'MISSING'}{count if expectations else ''}"


def lines_of(text: str) -> list[Line]:
    """Returns the lines of the scenario that a text holds."""
    return [Line(*found) for found in _LINE.findall(text)]


def run(suite: Suite, said: list[Line]) -> bool:
    """Run a suite; its steps are shown as they come, and everything when it fails. Returns whether it passed."""
    begin = time.monotonic()
    output: list[str] = []
    with subprocess.Popen(
        suite.command, cwd=suite.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            output.append(line)
            found = lines_of(line)
            said += found
            if any("." not in each.name for each in found):
                print(f"    {line.strip().lstrip('# ')}", flush=True)
    passed = process.returncode == 0
    shown = "" if passed else f"\n--- {suite.name}\n{''.join(output)}"
    print(f"{shown}{'ok    ' if passed else 'FAILED'} {time.monotonic() - begin:5.1f} s  {suite.name}", flush=True)
    return passed


def run_all(clients: Iterable[Client], said: list[Line]) -> list[str]:
    """Run the suites of clients, two clients side by side; returns the names of the suites that failed."""

    def failed(client: Client) -> list[str]:
        return [suite.name for suite in client.suites if not run(suite, said)]

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return [name for names in pool.map(failed, clients) for name in names]


def left_out(clients: Iterable[Client]) -> dict[str, list[str]]:
    """Returns the clients whose toolchain is not here, each with one line for every program that it lacks."""
    lacking = {client.name: list(missing_tools(client.needs).values()) for client in clients}
    return {name: lines for name, lines in lacking.items() if lines}


def main(asked: Sequence[str]) -> int:
    """Run the clients that were asked for, or all that can run here; return 0 when the table is whole."""
    begin = time.monotonic()
    names = [client.name for client in CLIENTS]
    if unknown := set(asked) - {"all", *names}:
        print(f"No client is called {', '.join(sorted(unknown))}: there are {', '.join(names)}, and all.")
        return 1
    chosen = [client for client in CLIENTS if not asked or "all" in asked or client.name in asked]
    absent = left_out(chosen)
    absences = [f"{name} was NOT run. {line}" for name, lines in absent.items() for line in lines]
    if asked and absent:
        print(*absences, "`make toolchains` installs what it can.", sep="\n")
        return 1
    running = [client for client in chosen if client.name not in absent]
    table = Table(json.loads(SCENARIO.read_text("utf-8")), {client.name for client in running})
    said: list[Line] = []
    complaints = [f"{name} failed" for name in run_all(running, said)]
    complaints += table.complaints(said)
    print(f"\n{table.shown(said)}\n")
    print(*absences, *complaints, sep="\n", end="\n" if absences or complaints else "")
    who = "every client" if len(running) == len(CLIENTS) else ", ".join(client.name for client in running)
    green = f"NOT all is well with {who}" if complaints else f"{who}: the whole scenario is green"
    print(f"{green}; {time.monotonic() - begin:.0f} s")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
