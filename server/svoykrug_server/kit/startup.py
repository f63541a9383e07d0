"""Why the program cannot start or go on: one line for a person, and an exit code for a script."""

import errno
import os
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process ends with. 1 and 2 are left to a failed check and to a wrong command line."""

    SETTINGS = 10
    PORT_IN_USE = 11
    DATA_FOLDER_NEWER = 12
    DATA_FOLDER_UNUSABLE = 13
    ALREADY_RUNNING = 14
    DISK_FULL = 15
    POSTGRES = 16
    WAREHOUSE = 17
    GATEWAY = 18


class CannotStart(Exception):
    """The program cannot start, and says why in one line.

    Args:
        message: What is wrong and what to do about it; one line, no secret.
        exit_code: What the process ends with.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def cannot_listen(address: str, error: OSError, remedy: str) -> CannotStart:
    """Returns the refusal of an address that the system does not give us.

    Args:
        address: The address.
        error: What the system said.
        remedy: What a person is to set, such as `SVOYKRUG_LISTEN to another address`.
    """
    if error.errno == errno.EADDRINUSE:
        return CannotStart(f"{address} is in use by another program. Stop it, or set {remedy}.", ExitCode.PORT_IN_USE)
    why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else "no such host"
    return CannotStart(f"Cannot listen on {address}: {why}. Set {remedy}.", ExitCode.SETTINGS)
