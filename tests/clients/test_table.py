"""The table that `make test-clients` prints is made of what the clients said, and has no green that nobody said."""

import json
from pathlib import Path
from typing import Any

import pytest
import test_clients
from test_clients import TOOLS, Table, lines_of, missing_tools

CONTENT = json.loads(test_clients.SCENARIO.read_text("utf-8"))


@pytest.fixture
def table() -> Table:
    """The table of the repository."""
    return Table(CONTENT)


@pytest.fixture
def everything(table: Table) -> str:
    """What the clients print when every step goes well."""
    cells = [(step, column) for column in table.columns for step in table.steps]
    return "\n".join(f"# scenario {step} {table.wanted((step, column))} ({column})" for step, column in cells)


def test_a_table_with_a_line_for_every_cell_is_green(table: Table, everything: str) -> None:
    said = lines_of(f"=== RUN\n{everything}\nok  \tsvoykrug\t30 s")
    assert len(said) == len(table.steps) * len(table.columns)
    assert table.complaints(said) == []
    assert "MISSING" not in table.shown(said)


def test_a_step_that_nobody_told_of_is_a_hole(table: Table, everything: str) -> None:
    said = lines_of(everything.replace("# scenario deadline ok (go)\n", ""))
    assert table.complaints(said) == ["go: deadline is missing, not ok"]
    assert table.shown(said).count("MISSING") == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("scenario deadline unary (go)", "go: deadline is unary, not ok"),
        ("scenario import_stream ok (typescript grpc-web)", "typescript grpc-web: import_stream is ok, not unary"),
        ("scenario made_up ok (go)", "go: made_up is not in the table"),
    ],
)
def test_a_line_that_the_table_does_not_ask_for_is_no_green(
    table: Table, everything: str, line: str, complaint: str
) -> None:
    assert table.complaints(lines_of(f"{everything}\n{line}")) == [complaint]


def test_what_stands_in_place_of_a_step_is_said_below_the_table(table: Table, everything: str) -> None:
    shown = table.shown(lines_of(everything))
    assert shown.splitlines()[-1].startswith("unary: typescript grpc-web: gRPC-Web has no streams of requests.")


def test_the_table_speaks_of_its_own_steps_and_columns(table: Table) -> None:
    assert len(set(table.steps)) == len(table.steps) == 14
    for step, column in table.instead:
        assert step in table.steps
        assert column in table.columns
    for row in CONTENT["steps"]:
        assert row["does"]
        assert row["expects"]


def test_every_missing_toolchain_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: Any) -> bool:
        raise AssertionError("nothing runs without the toolchains")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(test_clients, "run", run)
    assert test_clients.main() == 1
    printed = capsys.readouterr().out
    for tool in TOOLS:
        assert f"{tool.name}: not on the path. {tool.install}" in printed


def test_a_toolchain_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go version go1.9.7 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    [line] = missing_tools([tool for tool in TOOLS if tool.name == "go"])
    assert line.startswith("go: too old (go version go1.9.7 linux/amd64). Install Go 1.26")
