"""What made a result, told by a version: words and a number, such as `rfm-1`; a later number came later.

While servers are being replaced by newer ones, an old process meets what a newer one made. What is earlier than its
own it knows to be gone; of what it does not know it says nothing and leaves it to whoever made it.
"""

import re
from datetime import timedelta

from svoykrug_server.kit.errors import Unavailable

_PARTS = re.compile(r"(\D*)(\d{1,9})")


class UnknownVersion(Unavailable):
    """A newer program made it: that can go on with it, this one leaves it alone.

    Args:
        version: What made it.
    """

    def __init__(self, version: str) -> None:
        super().__init__("INTERNAL", metadata={"version": version}, retry_after=timedelta(seconds=30))


def refuse_unknown(version: str, ours: str) -> None:
    """Refuses a version that is neither ours nor an earlier one.

    Args:
        version: What made it.
        ours: What this program makes.

    Raises:
        UnknownVersion: Also where the words are others.
    """
    theirs, own = _PARTS.fullmatch(version), _PARTS.fullmatch(ours)
    if theirs is None or own is None or theirs[1] != own[1] or int(theirs[2]) > int(own[2]):
        raise UnknownVersion(version)
