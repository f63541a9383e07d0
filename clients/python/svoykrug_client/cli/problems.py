"""Turns whatever a person must mend into one line and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from svoykrug_client import errors


class ExitCode(IntEnum):
    """What a script learns from the end of a command; typer itself ends a wrong usage with 2 and Ctrl-C with 130."""

    REFUSED = 1
    UNAVAILABLE = 3
    NOT_SIGNED_IN = 4


class CommandRefused(Exception):
    """What a person asked for cannot be done; the message says why in one line."""


class NotSignedIn(CommandRefused):
    """Nobody is signed in here."""


@contextmanager
def explained() -> Iterator[None]:
    """Ends the process with one line on standard error when the block meets something that a person must mend."""
    try:
        yield
    except NotSignedIn as refusal:
        _end(str(refusal), ExitCode.NOT_SIGNED_IN)
    except CommandRefused as refusal:
        _end(str(refusal), ExitCode.REFUSED)
    except (errors.ConnectionLost, errors.Unavailable, errors.DeadlineExceeded) as error:
        _end(_words(error), ExitCode.UNAVAILABLE)
    except errors.Unauthenticated as error:
        _end(_words(error), ExitCode.NOT_SIGNED_IN)
    except errors.SvoyKrugError as error:
        _end(_words(error), ExitCode.REFUSED)
    except OSError as error:
        # The file of the session, or that of its lock, on a disk that is full for instance.
        _end(str(error), ExitCode.REFUSED)


def _words(error: errors.SvoyKrugError) -> str:
    facts = [f"{path}: {rule}" for path, rule in error.field_violations.items()]
    facts += [f"{name} {value}" for name, value in error.metadata.items()]
    if error.retry_after is not None:
        facts.append(f"again in {error.retry_after.total_seconds():.0f} s")
    if error.request_id:
        facts.append(f"request {error.request_id}")
    return f"{error.reason}: {error.text}" + (f" ({'; '.join(facts)})" if facts else "")


def _end(line: str, exit_code: ExitCode) -> None:
    sys.stderr.write(f"svoykrug-cli: {' '.join(line.split())}\n")
    sys.exit(exit_code)
