"""A store whose client is slower than another that shares its file."""

from pathlib import Path

from svoykrug_client import FileTokenStore, StoredSession


class LateStore(FileTokenStore):
    """Its client read the session before another client began a refresh, and goes on after that.

    Args:
        path: The file.
        read: What it read.
    """

    def __init__(self, path: Path, read: StoredSession | None) -> None:
        super().__init__(path)
        self._read = read

    def load(self) -> StoredSession | None:
        """Returns what the file held before, once."""
        read, self._read = self._read, None
        return read or super().load()
