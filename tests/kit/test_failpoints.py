"""Failpoints do nothing unless armed, and kill the process when they are."""

import signal
import subprocess
import sys

import pytest

from svoykrug_server.config import Settings
from svoykrug_server.kit.failpoints import failpoint, parse_failpoints
from tests.conftest import isolated_settings

COUNTED = """
from svoykrug_server.kit.failpoints import arm_failpoints, failpoint
arm_failpoints({"step": 2})
failpoint("other")
failpoint("step")
print("passed once", flush=True)
failpoint("step")
print("passed twice", flush=True)
"""


def test_an_unarmed_place_is_passed() -> None:
    failpoint("relay.sealed")


def test_an_armed_place_kills_when_it_is_passed_for_the_counted_time() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.splitlines()[-1] == "passed once"


def test_places_are_written_as_name_and_count() -> None:
    assert parse_failpoints("relay.sealed:1,import.batch_written:3") == {"relay.sealed": 1, "import.batch_written": 3}
    assert parse_failpoints("") == {}


@pytest.mark.parametrize("text", ["relay.sealed", "relay.sealed:0", ":1", "relay.sealed:x"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name:count"):
        parse_failpoints(text)
    with pytest.raises(ValueError, match="failpoints"):
        isolated_settings(failpoints=text)


def test_a_server_has_none_unless_it_is_told() -> None:
    assert Settings.model_construct().failpoints == ""
