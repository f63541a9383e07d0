"""The table that `make test-clients` prints is made of what the clients said, and has no green that nobody said."""

import json
import re
from pathlib import Path

import pytest
import test_clients
from test_clients import CLIENTS, Client, Suite, Table, lines_of
from toolchains import GO, NODE, NPM, missing_tools

CONTENT = json.loads(test_clients.SCENARIO.read_text("utf-8"))
NAMES = {client.name for client in CLIENTS}


@pytest.fixture
def table() -> Table:
    """The table of the repository."""
    return Table(CONTENT, NAMES)


@pytest.fixture
def everything(table: Table) -> str:
    """What the clients print when every step goes well."""
    lines = (line for column in table.columns for step in table.steps for line in table.wanted(step, column))
    return "\n".join(f"# scenario {line.name} {line.word} ({line.column})" for line in lines)


def test_a_table_with_a_line_for_every_expectation_and_step_is_green(table: Table, everything: str) -> None:
    said = lines_of(f"=== RUN\n{everything}\nok  \tsvoykrug\t30 s")
    assert table.complaints(said) == []
    shown = table.shown(said).splitlines()
    assert len(shown) == 1 + len(table.steps) + len(table.instead)
    assert "MISSING" not in "".join(shown)
    [typed_errors] = [line for line in shown if line.startswith("typed_errors ")]
    assert typed_errors.split() == ["typed_errors", *["ok", "5"] * len(table.columns)]


@pytest.mark.parametrize(
    ("step", "expectation", "cell"),
    [("deadline", "ends_in_time", "ok 1 of 2"), ("list_pages", "each_once", "ok 0 of 1")],
)
def test_an_expectation_that_nobody_told_of_is_missing_from_its_cell(
    table: Table, everything: str, step: str, expectation: str, cell: str
) -> None:
    said = lines_of(everything.replace(f"# scenario {step}.{expectation} ok (go)\n", ""))
    assert table.complaints(said) == [f"go: {step}.{expectation} ok is missing"]
    assert table.shown(said).count(cell) == 1


def test_a_step_that_did_not_come_to_its_end_is_a_hole(table: Table, everything: str) -> None:
    said = lines_of(everything.replace("# scenario deadline ok (go)\n", ""))
    assert table.complaints(said) == ["go: deadline ok is missing"]
    assert table.shown(said).count("MISSING") == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("deadline unary (go)", "go: deadline unary is not wanted"),
        ("deadline ok (go)", "go: deadline ok came 2 times"),
        ("deadline.ends_in_time ok (go)", "go: deadline.ends_in_time ok came 2 times"),
        ("deadline.on_time ok (go)", "go: deadline.on_time ok is not wanted"),
        ("deadline.ends_in_time ok (rust)", "rust: deadline.ends_in_time ok is not wanted"),
        ("import_stream ok (typescript grpc-web)", "typescript grpc-web: import_stream ok is not wanted"),
        (
            "import_stream.broken_rows_raise ok (typescript grpc-web)",
            "typescript grpc-web: import_stream.broken_rows_raise ok is not wanted",
        ),
        ("made_up ok (go)", "go: made_up ok is not wanted"),
    ],
)
def test_a_line_that_the_table_does_not_ask_for_is_no_green(
    table: Table, everything: str, line: str, complaint: str
) -> None:
    assert table.complaints(lines_of(f"{everything}\nscenario {line}")) == [complaint]


def test_what_stands_in_place_of_a_step_is_said_below_the_table(table: Table, everything: str) -> None:
    notes = [f"{row['line']}: {column}: {row['because']}. {row['does']}" for (_, column), row in table.instead.items()]
    assert notes
    assert table.shown(lines_of(everything)).splitlines()[-len(notes) :] == notes


def test_the_table_speaks_of_its_own_steps_expectations_and_columns(table: Table) -> None:
    ids = [row["id"] for row in CONTENT["steps"]]
    assert len(set(ids)) == len(ids)
    assert len(table.instead) == len(CONTENT["instead"])
    for row in CONTENT["steps"]:
        assert row["does"]
        assert row["expects"]
        assert all(re.fullmatch("[a-z_]+", name) for name in [row["id"], *row["expects"]])
        assert all(row["expects"].values())
    for (step, column), row in table.instead.items():
        assert column in table.columns
        assert row["line"] != "ok"
        assert set(row["expects"]) < set(table.steps[step])


def test_the_columns_of_a_client_that_does_not_run_are_not_in_the_table() -> None:
    assert {column["client"] for column in CONTENT["columns"]} == NAMES
    table = Table(CONTENT, {"go", "python"})
    assert table.columns == ["python async", "python sync", "go"]
    assert not table.instead


def telling(name: str) -> Client:
    """Returns a client of which all goes well, and which needs a program that is nowhere."""
    table = Table(CONTENT, {name})
    lines = (line for step in table.steps for line in table.wanted(step, name))
    said = "\n".join(f"scenario {line.name} {line.word} ({name})" for line in lines)
    return Client(name, (GO,) if name == "go" else (), (Suite(f"{name}: tests", ("echo", said)),))


@pytest.fixture
def without_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clients, of which that in Go cannot run here."""
    monkeypatch.setattr(test_clients, "CLIENTS", (telling("go"), telling("kotlin")))
    monkeypatch.setattr(test_clients, "missing_tools", lambda needs: dict.fromkeys(needs, "go: not on the path."))


@pytest.mark.usefixtures("without_go")
def test_a_client_without_its_toolchain_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert test_clients.main([]) == 0
    printed = capsys.readouterr().out
    assert "go was NOT run. go: not on the path." in printed
    assert "\nkotlin: the whole scenario is green;" in printed
    assert "MISSING" not in printed


@pytest.mark.usefixtures("without_go")
@pytest.mark.parametrize("asked", ["go", "all"])
def test_a_client_that_was_asked_for_and_cannot_run_is_a_failure(
    asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert test_clients.main([asked]) == 1
    printed = capsys.readouterr().out
    assert "go was NOT run. go: not on the path." in printed
    assert "scenario" not in printed


@pytest.mark.usefixtures("without_go")
def test_no_client_has_a_name_that_is_not_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert test_clients.main(["gopher"]) == 1
    assert "No client is called gopher" in capsys.readouterr().out


def test_a_suite_that_fails_is_shown_whole_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Client("kotlin", (), (*telling("kotlin").suites, Suite("kotlin: more", ("sh", "-c", "echo why; exit 3"))))
    monkeypatch.setattr(test_clients, "CLIENTS", (broken,))
    assert test_clients.main(["all"]) == 1
    printed = capsys.readouterr().out
    assert "--- kotlin: more\nwhy\nFAILED" in printed
    assert "kotlin: more failed" in printed


def test_every_missing_program_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(missing_tools([NODE, NPM]).values()) == [
        f"{tool.name}: not on the path. {tool.install}" for tool in (NODE, NPM)
    ]


def test_a_toolchain_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go version go1.9.7 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    [line] = missing_tools([GO]).values()
    assert line.startswith("go: too old (go version go1.9.7 linux/amd64). Install Go 1.26")
