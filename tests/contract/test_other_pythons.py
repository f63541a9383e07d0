"""`make test-pythons` runs the Pythons that a machine has, and fails for none that nobody asked for."""

import pytest
import test_pythons as tool


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Pythons of the machine; the tests of 3.13 fail on it."""
    versions: list[str] = []
    monkeypatch.setattr(tool, "OWN", "3.11")
    monkeypatch.setattr(tool, "find", lambda version: f"python{version}" if version in versions else "")
    monkeypatch.setattr(tool, "pip", list)
    monkeypatch.setattr(tool, "uv_settings", lambda _: {})
    monkeypatch.setattr(tool, "passes", lambda version, *_: version != "3.13")
    return versions


def test_a_machine_without_another_python_is_no_failure_and_says_so(
    here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    here.append("3.11")
    assert tool.main([]) == 0
    said = capsys.readouterr().out
    assert "NOT run, for they are not on this machine: Python 3.12, 3.13, 3.14" in said
    assert "pass with Python none beside 3.11" in said


def test_every_other_python_that_is_here_is_run(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    here.extend(("3.11", "3.12", "3.14"))
    assert tool.main([]) == 0
    assert "pass with Python 3.12, 3.14 beside 3.11" in capsys.readouterr().out


def test_tests_that_fail_are_a_failure(here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    here.extend(("3.12", "3.13"))
    assert tool.main([]) == 1
    assert "FAIL with Python 3.13" in capsys.readouterr().out


def test_a_python_that_was_asked_for_and_is_not_here_is_a_failure(here: list[str]) -> None:
    here.append("3.11")
    assert tool.main(["3.11"]) == 0
    assert tool.main(["3.11", "3.12"]) == 1
