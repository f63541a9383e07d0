"""Codes: six digits derived from a challenge, stored nowhere.

code = HMAC-SHA-256(pepper, "otp" + challenge id) as an integer mod 10^6. Whoever reads the database finds challenges
but no code; the pepper lives outside it.
"""

import hmac
from secrets import token_bytes
from uuid import UUID

from svoykrug_server.storage.secrets import SecretName, SecretNotFound, Secrets

CODE_DIGITS = 6


class Codes:
    """Derives and compares codes.

    Args:
        secrets: Holds the peppers; a challenge keeps the kid of the one it was made with.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    @property
    def active_kid(self) -> str:
        """The pepper that new challenges are made with."""
        return self._secrets.current(SecretName.OTP_PEPPER).kid

    def derive(self, challenge_id: UUID, pepper_kid: str) -> str | None:
        """Returns the six digits of a challenge, or None where its pepper is not known any more."""
        try:
            pepper = self._secrets.find(SecretName.OTP_PEPPER, pepper_kid)
        except SecretNotFound:
            return None
        digest = hmac.digest(pepper.value, b"otp" + challenge_id.bytes, "sha256")
        return f"{int.from_bytes(digest) % 10**CODE_DIGITS:0{CODE_DIGITS}d}"

    def matches(self, guess: str, challenge_id: UUID, pepper_kid: str) -> bool:
        """Tells whether a guess is the code of a challenge, in constant time."""
        code = self.derive(challenge_id, pepper_kid)
        return code is not None and hmac.compare_digest(guess.encode(), code.encode())


def random_challenge_id() -> UUID:
    """Returns 128 random bits. Not a UUID of any version: all bits are random, the type merely has the right size."""
    return UUID(bytes=token_bytes(16))
