"""Codes: six digits derived from a challenge, stored nowhere.

code = HMAC-SHA-256(pepper, context + challenge id) as an integer mod 10^6; the context is "otp" for a sign-in and
"phone change" for a phone change, so that the code of one is never the code of the other. Whoever reads the database
finds challenges but no code; the pepper lives outside it.

The code of a demo phone is chosen by an operator and kept as HMAC-SHA-256(pepper, "demo" + phone + code). A million
codes are soon tried, so the pepper, not the hash, is what keeps it.
"""

import hmac
from collections.abc import Mapping
from secrets import token_bytes
from uuid import UUID

from svoykrug_server.auth.model import Challenge, DemoPhone, Purpose
from svoykrug_server.storage.secrets import SecretName, SecretNotFound, Secrets

CODE_DIGITS = 6
_CONTEXTS: Mapping[Purpose, bytes] = {Purpose.SIGN_IN: b"otp", Purpose.PHONE_CHANGE: b"phone change"}


class Codes:
    """Derives and compares codes.

    Args:
        secrets: Holds the peppers; a challenge and a demo phone keep the kid of the one they were made with.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    @property
    def active_kid(self) -> str:
        """The pepper that new challenges are made with."""
        return self._secrets.current(SecretName.OTP_PEPPER).kid

    def derive(self, challenge_id: UUID, pepper_kid: str, purpose: Purpose = Purpose.SIGN_IN) -> str | None:
        """Returns the six digits of a challenge, or None where its pepper is not known any more."""
        pepper = self._pepper(pepper_kid)
        if pepper is None:
            return None
        digest = hmac.digest(pepper, _CONTEXTS[purpose] + challenge_id.bytes, "sha256")
        return f"{int.from_bytes(digest) % 10**CODE_DIGITS:0{CODE_DIGITS}d}"

    def matches(self, guess: str, challenge: Challenge) -> bool:
        """Tells whether a guess is the code of a challenge that was sent, in constant time."""
        code = self.derive(challenge.challenge_id, challenge.pepper_kid, challenge.purpose)
        return code is not None and hmac.compare_digest(guess.encode(), code.encode())

    def demo_hash(self, phone: str, code: str, pepper_kid: str) -> bytes | None:
        """Returns what is kept of a demo phone's code, or None where the pepper is not known any more."""
        pepper = self._pepper(pepper_kid)
        return None if pepper is None else hmac.digest(pepper, f"demo{phone}{code}".encode(), "sha256")

    def matches_demo(self, guess: str, demo: DemoPhone) -> bool:
        """Tells whether a guess is the code of a demo phone, in constant time."""
        guess_hash = self.demo_hash(demo.phone, guess, demo.code_kid)
        return guess_hash is not None and hmac.compare_digest(guess_hash, demo.code_hash)

    def _pepper(self, kid: str) -> bytes | None:
        try:
            return self._secrets.find(SecretName.OTP_PEPPER, kid).value
        except SecretNotFound:
            return None


def random_challenge_id() -> UUID:
    """Returns 128 random bits. Not a UUID of any version: all bits are random, the type merely has the right size."""
    return UUID(bytes=token_bytes(16))
