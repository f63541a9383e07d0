"""Where the session of a signed-in person is kept."""

import asyncio
import fcntl
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

# How often a lock that another process holds is tried again.
_RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A signed-in session as a store keeps it.

    Attributes:
        user_id: Who is signed in, a UUID.
        refresh_token: The secret of the next refresh; never printed.
        request_id: The id of a refresh that was sent and not yet answered; empty when none is under way. It is
            stored before the call, so that a refresh whose answer was lost, even by a crash, is repeated and not
            mistaken for theft.
    """

    user_id: str
    refresh_token: str = field(repr=False)
    request_id: str = ""

    def __post_init__(self) -> None:
        if not all(isinstance(value, str) for value in astuple(self)):
            raise TypeError("a session is made of strings")


class TokenStore(Protocol):
    """Keeps the session of one signed-in person, for one client.

    Both methods are called in the event loop, so they must be quick.
    """

    def load(self) -> StoredSession | None:
        """Returns the session, or None when nobody is signed in."""
        ...

    def save(self, session: StoredSession | None) -> None:
        """Keeps the session, durably before it returns; None forgets it."""
        ...


@runtime_checkable
class SharedTokenStore(TokenStore, Protocol):
    """Keeps the session of one signed-in person, for any number of clients in any number of processes.

    `load` and `save` are called in threads, one at a time by each client, so they may wait for a disk.
    """

    def lock(self) -> AbstractAsyncContextManager[None]:
        """Waits until no other client is inside, and keeps them out until it is left; waiting can be cancelled."""
        ...


class MemoryTokenStore:
    """Keeps the session of one client as long as the program runs."""

    def __init__(self) -> None:
        self._session: StoredSession | None = None

    def load(self) -> StoredSession | None:
        """Returns the session, or None when nobody is signed in."""
        return self._session

    def save(self, session: StoredSession | None) -> None:
        """Keeps the session; None forgets it."""
        self._session = session


class FileTokenStore:
    """Keeps the session in a file that only its owner may read; any number of processes may share it.

    The lock is one of `flock` on a file beside it, with `.lock` after its name, that is empty and stays. The system
    takes it from a process that ends in whatever way.

    Args:
        path: The file; its folder must exist. It is replaced as a whole, so that a crash leaves the old or the new
            session.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> StoredSession | None:
        """Returns the session, or None when nobody is signed in.

        Raises:
            ValueError: The file holds something else.
        """
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        try:
            return StoredSession(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self._path} holds no session of this client") from error

    def save(self, session: StoredSession | None) -> None:
        """Keeps the session; None removes the file.

        Raises:
            OSError: It cannot be written; the file holds what it held.
        """
        if session is None:
            self._path.unlink(missing_ok=True)
        else:
            self._replace(json.dumps(asdict(session)))
        # A rename or a removal is durable once its folder is.
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Keeps out every other client that uses this file, in this process or in another.

        Raises:
            OSError: The file of the lock cannot be opened.
        """
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _is_taken(descriptor):  # noqa: ASYNC110  # another process cannot set an event of ours
                await asyncio.sleep(_RETRY_SECONDS)
            try:
                yield
            finally:
                # A process that was forked meanwhile has the descriptor too: closing ours would not end the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _replace(self, text: str) -> None:
        # mkstemp makes the file with mode 0600.
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink()
            raise


def _is_taken(descriptor: int) -> bool:
    """Takes the lock of a file, unless another has it; returns whether it is ours now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
