"""The data folder: its version, its free space, and the lock that lets one server own it.

Layout:

    version              a number: which layout this is
    server.lock          held by the running `svoykrug serve`; holds its process id and ports as JSON
    secrets/             generated secrets (see `secrets.py`)
    postgres/            the embedded PostgreSQL cluster (see `embedded.py`)
    postgres.log         what PostgreSQL says
    warehouse/           the embedded ClickHouse
"""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from svoykrug_server.kit.startup import CannotStart, ExitCode

FOLDER_VERSION = 1
"""Which layout this program reads and writes."""
UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP}
    | {errno.ENAMETOOLONG, errno.EIO, errno.ESTALE}
)
"""What a person must mend about a folder: permissions, a wrong path, a disk that is gone."""


class DataFolder:
    """The folder everything embedded lives in.

    Args:
        path: Where it is; made by `open` when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.secrets = self.path / "secrets"
        self.postgres = self.path / "postgres"
        self.postgres_log = self.path / "postgres.log"
        self.warehouse = self.path / "warehouse"
        self._server_lock = self.path / "server.lock"

    def open(self, minimum_free_mb: int) -> None:
        """Makes the folder when missing, and checks that this program can use it.

        The folder is passable (0711) for the user that PostgreSQL runs as under root; its secrets are not readable by
        anybody else. No permission of a folder that existed before is changed.

        Args:
            minimum_free_mb: How many free megabytes (10^6 bytes) its disk must have.

        Raises:
            CannotStart: A newer program wrote it, it cannot be written, or its disk is full.
        """
        with explained(self.path):
            if not self.path.exists():
                self.path.mkdir(mode=0o711, parents=True)
            self._check_version()
            free_mb = shutil.disk_usage(self.path).free // 1_000_000
            if free_mb < minimum_free_mb:
                raise disk_full(self.path, f"{free_mb} MB free, {minimum_free_mb} MB needed")
            self.secrets.mkdir(mode=0o700, exist_ok=True)

    def _check_version(self) -> None:
        file = self.path / "version"
        if not file.exists():
            write_atomically(file, f"{FOLDER_VERSION}\n", mode=0o644)
            return
        text = file.read_text(errors="replace").strip()
        if not text.isdecimal():
            raise CannotStart(f"{file} is damaged: it does not hold a number.", ExitCode.DATA_FOLDER_UNUSABLE)
        if int(text) > FOLDER_VERSION:
            raise newer(f"The data folder {self.path} (version {text}, this program knows {FOLDER_VERSION})")

    @contextmanager
    def owned(self, facts: Mapping[str, object]) -> Iterator[None]:
        """Makes this process the folder's one server for the length of the block.

        The lock belongs to the process: after a kill -9 the folder is free at once.

        Args:
            facts: What `svoykrug doctor` needs to find this server, such as its HTTP port; JSON values.

        Raises:
            CannotStart: Another server owns the folder.
        """
        with explained(self.path):
            lock = self._server_lock.open("a+")
        with lock:
            if not _locked(lock):
                owner = f" (process {_owner_pid(lock)})"
                raise CannotStart(
                    f"Another server{owner} is using the data folder {self.path}. Stop it, or set SVOYKRUG_DATA_DIR.",
                    ExitCode.ALREADY_RUNNING,
                )
            with explained(self.path):
                lock.truncate(0)
                lock.write(json.dumps({"pid": os.getpid(), **facts}))
                lock.flush()
            yield

    def owner(self) -> dict[str, Any] | None:
        """Returns the facts of the server that owns the folder now, or None when none runs."""
        if not self._server_lock.exists():
            return None
        with self._server_lock.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                facts: dict[str, Any] = json.loads(lock.read() or "{}")
                return facts
        return None


def write_atomically(file: Path, text: str, *, mode: int) -> None:
    """Writes a file so that a crash leaves the old content or the new, and never a part.

    Args:
        file: What to write.
        text: Its new content.
        mode: Its permissions from the first byte on.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    temporary.replace(file)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns a full disk, a missing permission or a wrong path inside the block into one clear line.

    Raises:
        CannotStart: The folder's disk is full, or the folder cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(folder, "no space left") from error
        if error.errno in UNUSABLE:
            where = f" ({error.filename})" if error.filename not in (None, str(folder)) else ""
            reason = f"{os.strerror(error.errno)}{where}"
            raise CannotStart(
                f"The data folder {folder} cannot be used: {reason}. Set SVOYKRUG_DATA_DIR to a folder you may write.",
                ExitCode.DATA_FOLDER_UNUSABLE,
            ) from error
        raise


def disk_full(folder: Path, how_full: str) -> CannotStart:
    """Returns the refusal of a full disk."""
    return CannotStart(f"The disk of the data folder {folder} is full: {how_full}.", ExitCode.DISK_FULL)


def newer(what: str) -> CannotStart:
    """Returns the refusal of data that a newer program wrote."""
    return CannotStart(
        f"{what} was written by a newer version of Svoy Krug. Run that version, or use other data.",
        ExitCode.DATA_FOLDER_NEWER,
    )


def _locked(lock: IO[str]) -> bool:
    """Takes the lock; tries for half a second, because `owner` holds it for an instant when it looks."""
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _owner_pid(lock: IO[str]) -> object:
    lock.seek(0)
    text = lock.read()
    return json.loads(text)["pid"] if text else "just starting"
