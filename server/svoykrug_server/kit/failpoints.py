"""Named places at which a test kills the process, to prove that what was acknowledged survives and nothing is doubled.

A place does nothing unless the setting `SVOYKRUG_FAILPOINTS` armed it. `relay.sealed:3` kills the process with SIGKILL
when it comes to `relay.sealed` for the third time; several are separated by commas. Armed failpoints are logged as a
warning at start: a server that serves people has none.
"""

import os
import signal
from collections.abc import Mapping

import structlog

_log = structlog.get_logger(__name__)
_armed: dict[str, int] = {}


def parse_failpoints(text: str) -> dict[str, int]:
    """Returns the places to die at, each with how often it is passed until then.

    Args:
        text: `name:count` pairs separated by commas; empty for none.

    Raises:
        ValueError: A pair has another form.
    """
    armed: dict[str, int] = {}
    for pair in filter(None, text.split(",")):
        name, colon, count = pair.strip().partition(":")
        if not (name and colon and count.isdecimal() and int(count) > 0):
            raise ValueError("failpoints are written name:count, separated by commas, with a count of 1 or more")
        armed[name] = int(count)
    return armed


def arm_failpoints(armed: Mapping[str, int]) -> None:
    """Arms exactly these places in this process."""
    _armed.clear()
    _armed.update(armed)
    if armed:
        _log.warning("failpoints_armed", failpoints=dict(armed))


def failpoint(name: str) -> None:
    """Dies here when the place is armed and its time has come."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
