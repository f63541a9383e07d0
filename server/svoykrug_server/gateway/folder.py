"""The folder of one running gateway: its configuration and its socket, owned by one process at a time."""

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from svoykrug_server.gateway.admin import Admin
from svoykrug_server.gateway.configuration import ADMIN_SOCKET
from svoykrug_server.kit.startup import CannotStart, ExitCode

LOCK_FILE = "owner.lock"
"""Held by the process that runs the gateway of a folder."""


def folder_of(port: int) -> Path:
    """Returns the folder of this user's gateway on a port."""
    return Path(tempfile.gettempdir()) / f"svoykrug-gateway-{os.geteuid()}-{port}"


@contextmanager
def owned_folder(port: int) -> Iterator[Path]:
    """Yields the folder of the gateway on a port, alone in it for the length of the block.

    It does not lie in the data folder: the path of a socket must be short, and a gateway of its own has no data. A lock
    that the kernel drops tells a gateway whose process was killed, and left Envoy behind, from one that is in use.

    Args:
        port: Where the gateway listens; 0 for a folder that nobody shares.

    Raises:
        CannotStart: Another process runs this gateway, or somebody else made the folder.
    """
    if port == 0:
        with tempfile.TemporaryDirectory(prefix="svoykrug-gateway-") as name:
            yield Path(name)
        return
    folder = folder_of(port)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise CannotStart(f"{folder} belongs to somebody else. Remove it.", ExitCode.SETTINGS)
    with (folder / LOCK_FILE).open("a+") as lock:
        if not _locked(lock):
            why = f"Another gateway of yours listens on port {port}. Stop it, or set SVOYKRUG_GATEWAY_LISTEN."
            raise CannotStart(why, ExitCode.PORT_IN_USE)
        with suppress(OSError):  # Whoever left it behind was killed: usually nobody did.
            Admin(folder / ADMIN_SOCKET).quit()
        yield folder


def _locked(lock: IO[str]) -> bool:
    """Takes the lock; tries for half a second, because the doctor holds it for an instant when it looks."""
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False
