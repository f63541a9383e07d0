"""Where tokens are kept, and how they are kept fresh."""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A signed-in session as a store keeps it.

    Attributes:
        user_id: Who is signed in, a UUID.
        refresh_token: The secret of the next refresh.
        request_id: The id of a refresh that was sent and not yet answered; empty when none is under way. It is
            stored before the
            call, so that a refresh whose answer was lost, even by a crash, is repeated and not mistaken for theft.
    """

    user_id: str
    refresh_token: str
    request_id: str = ""


class TokenStore(Protocol):
    """Keeps the session of one signed-in person."""

    def load(self) -> StoredSession | None:
        """Returns the session, or None when nobody is signed in."""
        ...

    def save(self, session: StoredSession | None) -> None:
        """Keeps the session, durably before it returns; None forgets it."""
        ...


class MemoryTokenStore:
    """Keeps the session as long as the program runs."""

    def __init__(self) -> None:
        self._session: StoredSession | None = None

    def load(self) -> StoredSession | None:
        """Returns the session, or None when nobody is signed in."""
        return self._session

    def save(self, session: StoredSession | None) -> None:
        """Keeps the session; None forgets it."""
        self._session = session


class FileTokenStore:
    """Keeps the session in a file that only its owner may read.

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
        """Keeps the session; None removes the file."""
        if session is None:
            self._path.unlink(missing_ok=True)
            return
        # mkstemp makes the file with mode 0600.
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(session), file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._path)
