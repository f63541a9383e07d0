"""Turns whatever a person must mend into one line and an exit code."""

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from pydantic_settings import SettingsError

from svoykrug_server.config import Settings
from svoykrug_server.kit.errors import DomainError, StoreUnavailable
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.rpc.logs import configure_logging

PREFIX = "SVOYKRUG_"
INTERRUPTED = 128 + signal.SIGINT
"""What a shell expects of a program that Ctrl-C ended."""


class CommandRefused(Exception):
    """What a person asked for cannot be done; the message says why in one line."""


def settings_of_environment() -> Settings:
    """Reads the settings.

    Raises:
        CannotStart: One of them is wrong; the line names it and does not repeat its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(_complaint(item["loc"], item["msg"]) for item in error.errors(include_input=False))
        raise CannotStart(wrong, ExitCode.SETTINGS) from None
    except SettingsError as error:
        field = str(error).partition('field "')[2].partition('"')[0]
        raise CannotStart(f"{_name((field,))}: is not written as JSON", ExitCode.SETTINGS) from None


@contextmanager
def explained() -> Iterator[None]:
    """Ends the process with one line on standard error when the block meets something that a person must mend.

    Commands log warnings and worse; `serve` sets its own log up.
    """
    configure_logging(human=True, level="WARNING")
    try:
        yield
    except CannotStart as problem:
        _end(str(problem), problem.exit_code)
    except KeyboardInterrupt:
        _end("Interrupted.", INTERRUPTED)
    except StoreUnavailable:
        _end("PostgreSQL went away while the command ran. What it had committed stays.", ExitCode.POSTGRES)
    except CommandRefused as refusal:
        _end(str(refusal), 1)
    except DomainError as refusal:
        _end(_words(refusal), 1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _end("The disk is full.", ExitCode.DISK_FULL)


def _words(refusal: DomainError) -> str:
    fields = [f"{violation.path} {violation.description}" for violation in refusal.violations]
    facts = "; ".join(fields + [f"{name} {value}" for name, value in refusal.metadata.items()])
    return f"Refused: {refusal.reason}" + (f" ({facts})" if facts else "")


def _complaint(location: tuple[int | str, ...], message: str) -> str:
    """Returns what is wrong with one setting, or, without a location, with several together."""
    said = message.removeprefix("Value error, ")
    return f"{_name(location)}: {said}" if location else said


def _name(location: tuple[int | str, ...]) -> str:
    first, *rest = location
    inner = "".join(f"[{part}]" for part in rest)
    return f"{PREFIX}{str(first).upper()}{inner}"


def _end(line: str, exit_code: int) -> None:
    sys.stderr.write(f"svoykrug: {line}\n")
    sys.exit(int(exit_code))
