"""Step: every call has an id, the caller's own when it is well formed."""

import os
import re

HEADER = "x-request-id"
# At least 16 characters: a phone number (15 digits at most) can never pass for a request id and reach a log.
_WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{16,64}").fullmatch


def request_id_from(sent: str | None) -> str:
    """Returns the id the caller sent, or a new random one of 32 hexadecimal digits when it is absent or malformed."""
    if sent is not None and _WELL_FORMED(sent):
        return sent
    return os.urandom(16).hex()
