"""Run the tests of every client against the real server, and show the scenario they share as a table.

Why this exists: the scenario stands once, in clients/scenario.json, and each client runs it in its own language by its
own runner. Each step that went well is printed as `scenario <step> ok (<column>)`; the table at the end is made of
these lines and of nothing else, so that a step that did not run is a hole in it. A missing toolchain is a failure, as
is generated code that is stale.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCENARIO = ROOT / "clients" / "scenario.json"
GO, KOTLIN, TYPESCRIPT = (ROOT / "clients" / name for name in ("go", "kotlin", "typescript"))
_LINE = re.compile(r"scenario (\S+) (\S+) \((.+?)\)")
Cell = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that the tests of a client need.

    Attributes:
        name: The program.
        install: How to get it.
        oldest: The oldest version that will do; empty for any.
        version: The command that prints its version.
    """

    name: str
    install: str
    oldest: tuple[int, ...] = ()
    version: Sequence[str] = ()


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


TOOLS = (
    Tool("go", "Install Go 1.26 or newer (macOS: brew install go; else from go.dev).", (1, 26), ("go", "version")),
    Tool("cc", "The race detector of Go needs it (Debian: apt-get install gcc; macOS: xcode-select --install)."),
    Tool("javac", "Install a JDK, 17 or newer (Debian: apt-get install default-jdk).", (17,), ("javac", "--version")),
    Tool("mvn", "Install Maven (Debian: apt-get install maven; macOS: brew install maven)."),
    Tool(
        "node",
        "Install Node 20 or newer (macOS: brew install node; else from nodejs.org).",
        (20,),
        ("node", "--version"),
    ),
    Tool("npm", "It comes with Node; Debian has a package of its own (apt-get install npm)."),
)
SUITES = (
    Suite("python: tests", (sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/clients")),
    Suite("go: generated code is current", (sys.executable, "tools/generate_go.py", "--check")),
    Suite("go: tests with the race detector", ("go", "test", "-race", "-count=1", "-v", "./..."), GO),
    Suite("kotlin: tests", ("mvn", "-B", "test"), KOTLIN),
    Suite("typescript: packages of the lock", ("npm", "ci", "--no-audit", "--no-fund"), TYPESCRIPT),
    Suite("typescript: generated code is current, tests", ("npm", "test"), TYPESCRIPT),
    Suite("typescript: the React Native example fits the types", ("npm", "run", "check-example"), TYPESCRIPT),
)


class Table:
    """The scenario: its steps, who runs it, and what a step is replaced by where a transport cannot do it.

    Args:
        content: What clients/scenario.json holds.
    """

    def __init__(self, content: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
        self.steps = [step["id"] for step in content["steps"]]
        self.columns = [column["name"] for column in content["columns"]]
        self.instead = {(row["step"], row["column"]): row for row in content["instead"]}

    def wanted(self, cell: Cell) -> str:
        """Returns the word that the line of a step has in one column."""
        return self.instead[cell]["line"] if cell in self.instead else "ok"

    def complaints(self, said: Mapping[Cell, str]) -> list[str]:
        """Returns what is wrong with the lines that were printed; nothing when the table is all green."""
        cells = [(step, column) for column in self.columns for step in self.steps]
        wrong = [
            f"{column}: {step} is {said.get((step, column), 'missing')}, not {self.wanted((step, column))}"
            for step, column in cells
            if said.get((step, column)) != self.wanted((step, column))
        ]
        return wrong + [f"{column}: {step} is not in the table" for step, column in said.keys() - set(cells)]

    def shown(self, said: Mapping[Cell, str]) -> str:
        """Returns the table as text, with what stands in place of a step below it."""
        first = max(map(len, self.steps))
        lines = ["  ".join(["step".ljust(first), *self.columns])]
        for step in self.steps:
            words = (said.get((step, column), "MISSING").ljust(len(column)) for column in self.columns)
            lines.append("  ".join([step.ljust(first), *words]).rstrip())
        notes = (
            f"{row['line']}: {column}: {row['because']}. {row['does']}" for (_, column), row in self.instead.items()
        )
        return "\n".join([*lines, *notes])


def missing_tools(tools: Iterable[Tool]) -> list[str]:
    """Returns one line for each program that is not there or too old, and how to get it."""
    return [f"{tool.name}: {problem} {tool.install}" for tool in tools if (problem := _problem(tool))]


def _problem(tool: Tool) -> str:
    if shutil.which(tool.name) is None:
        return "not on the path."
    if tool.oldest:
        printed = subprocess.run(tool.version, capture_output=True, text=True, check=False).stdout
        found = re.search(r"(\d+)\.(\d+)", printed)
        if found is None or tuple(map(int, found.groups())) < tool.oldest:
            return f"too old ({printed.strip()})."
    return ""


def lines_of(text: str) -> dict[Cell, str]:
    """Returns the word of each step and column that a text tells of."""
    return {(step, column): word for step, word, column in _LINE.findall(text)}


def run(suite: Suite, said: dict[Cell, str]) -> bool:
    """Run a suite; its steps are shown as they come, and everything when it fails. Returns whether it passed."""
    begin = time.monotonic()
    output: list[str] = []
    with subprocess.Popen(
        suite.command, cwd=suite.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            output.append(line)
            found = lines_of(line)
            said.update(found)
            if found:
                print(f"    {line.strip().lstrip('# ')}", flush=True)
    passed = process.returncode == 0
    if not passed:
        print("".join(output), end="")
    print(f"{'ok    ' if passed else 'FAILED'} {time.monotonic() - begin:5.1f} s  {suite.name}", flush=True)
    return passed


def main() -> int:
    """Run every suite, print the table; return 0 when all passed and the table is whole."""
    begin = time.monotonic()
    if missing := missing_tools(TOOLS):
        print("The tests of the clients need programs that are not here:", *missing, sep="\n  ")
        return 1
    table = Table(json.loads(SCENARIO.read_text("utf-8")))
    said: dict[Cell, str] = {}
    failed = [suite.name for suite in SUITES if not run(suite, said)]
    complaints = [*(f"{name} failed" for name in failed), *table.complaints(said)]
    print(f"\n{table.shown(said)}\n")
    for complaint in complaints:
        print(complaint)
    green = "NOT every client runs" if complaints else "every client runs"
    print(f"{green} the whole scenario; {time.monotonic() - begin:.0f} s")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
