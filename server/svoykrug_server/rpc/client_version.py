"""Step: a client too old to be understood is told to update."""

from collections.abc import Mapping
from functools import lru_cache

from svoykrug_server.kit.errors import FailedPrecondition

HEADER = "x-client-version"
Version = tuple[int, ...]


class ClientVersionGate:
    """Refuses clients older than the oldest supported version of their platform.

    Args:
        oldest: The oldest supported version by platform, such as `{"ios": "2.4.0"}`; platforms not named pass.

    Raises:
        ValueError: A version is not dotted numbers.
    """

    def __init__(self, oldest: Mapping[str, str]) -> None:
        self._oldest = {platform.lower(): version_from(version) for platform, version in oldest.items()}
        self._is_too_old = lru_cache(maxsize=1024)(self._compare)

    def check(self, sent: str) -> None:
        """Checks an `x-client-version`, such as `ios/2.4.1`. One that cannot be read passes: it is no proof of age.

        Raises:
            FailedPrecondition: CLIENT_TOO_OLD.
        """
        if self._oldest and self._is_too_old(sent[:64]):
            raise FailedPrecondition("CLIENT_TOO_OLD")

    def _compare(self, sent: str) -> bool:
        platform, _, version = sent.partition("/")
        oldest = self._oldest.get(platform.strip().lower())
        try:
            return oldest is not None and version_from(version) < oldest
        except ValueError:
            return False


def version_from(text: str) -> Version:
    """Reads `2.4.1` as (2, 4, 1); what follows a `-` or `+` is left out.

    Raises:
        ValueError: It is not dotted numbers.
    """
    return tuple(int(part) for part in text.strip().replace("+", "-").partition("-")[0].split("."))
