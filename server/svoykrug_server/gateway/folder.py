"""The folder of one running gateway: its configuration and its socket, owned by one process at a time."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from svoykrug_server.gateway.admin import Admin
from svoykrug_server.gateway.configuration import ADMIN_SOCKET
from svoykrug_server.kit.startup import CannotStart, ExitCode


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
    folder = Path(tempfile.gettempdir()) / f"svoykrug-gateway-{os.geteuid()}-{port}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise CannotStart(f"{folder} belongs to somebody else. Remove it.", ExitCode.SETTINGS)
    with (folder / "owner.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            why = f"Another gateway of yours listens on port {port}. Stop it, or set SVOYKRUG_GATEWAY_LISTEN."
            raise CannotStart(why, ExitCode.PORT_IN_USE) from None
        with suppress(OSError):  # Whoever left it behind was killed: usually nobody did.
            Admin(folder / ADMIN_SOCKET).quit()
        yield folder
