"""Refresh tokens: opaque to clients, derived one from another so that a lost answer can be given again.

A token is 64 bytes in base64url: the session's id (16), a secret (32), a tag (16).

- next secret = HMAC-SHA-256(rotation key, presented secret + random salt). Postgres keeps the salt, the key's kid, and
  SHA-256 of the current and the previous secret. A repeat is derived again from the token presented; what is stored
  gives nobody a token.
- first secret = HMAC-SHA-256(rotation key, "first" + challenge id + request id + random salt): a repeated
  CompleteSignIn gets it again.
- tag = HMAC-SHA-256(rotation key, "tag" + session id + secret), cut to 16 bytes. It tells an old token of ours, used
  again (the session may be stolen), from one that somebody made up (the session must not end because a stranger
  guessed its id).
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from secrets import token_bytes
from uuid import UUID

from svoykrug_server.storage.secrets import SecretName, SecretNotFound, Secrets

SALT_BYTES = 16
_ID_BYTES, _SECRET_BYTES, _TAG_BYTES = 16, 32, 16


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token taken apart.

    Attributes:
        session_id: The session it belongs to.
        secret: 256 bits.
        tag: 128 bits that show it was made by us.
    """

    session_id: UUID
    secret: bytes = field(repr=False)
    tag: bytes = field(repr=False)

    @property
    def secret_hash(self) -> bytes:
        """What is stored of it: SHA-256 of the secret. The secret has 256 random bits, so no slow hash is needed."""
        return hashlib.sha256(self.secret).digest()

    def render(self) -> str:
        """Returns what a client keeps: 86 characters of base64url."""
        return base64.urlsafe_b64encode(self.session_id.bytes + self.secret + self.tag).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> "RefreshToken | None":
        """Takes a token apart, or returns None where the text has another form."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(raw) != _ID_BYTES + _SECRET_BYTES + _TAG_BYTES:
            return None
        return cls(UUID(bytes=raw[:_ID_BYTES]), raw[_ID_BYTES:-_TAG_BYTES], raw[-_TAG_BYTES:])


class RefreshTokens:
    """Derives refresh tokens.

    Args:
        secrets: Holds the rotation keys; one is kept for 180 days after a later one took over.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    @property
    def active_kid(self) -> str:
        """The key that new tokens are derived with."""
        return self._secrets.current(SecretName.REFRESH_ROTATION).kid

    def first(
        self, session_id: UUID, challenge_id: UUID, request_id: UUID, salt: bytes, kid: str
    ) -> RefreshToken | None:
        """Derives the first token of a session, or returns None where the key is not known any more."""
        key = self._key(kid)
        if key is None:
            return None
        secret = hmac.digest(key, b"first" + challenge_id.bytes + request_id.bytes + salt, "sha256")
        return RefreshToken(session_id, secret, _tag(key, session_id, secret))

    def next(self, presented: RefreshToken, salt: bytes, kid: str) -> RefreshToken | None:
        """Derives the token that follows the presented one, or returns None where the key is not known any more."""
        key = self._key(kid)
        if key is None:
            return None
        secret = hmac.digest(key, presented.secret + salt, "sha256")
        return RefreshToken(presented.session_id, secret, _tag(key, presented.session_id, secret))

    def is_ours(self, token: RefreshToken) -> bool:
        """Tells whether a token was made with one of our keys, current or not."""
        keys = self._secrets.all(SecretName.REFRESH_ROTATION)
        tags = [_tag(key.value, token.session_id, token.secret) for key in keys]
        return any([hmac.compare_digest(tag, token.tag) for tag in tags])  # noqa: C419  all are compared: constant time

    def _key(self, kid: str) -> bytes | None:
        try:
            return self._secrets.find(SecretName.REFRESH_ROTATION, kid).value
        except SecretNotFound:
            return None


def random_salt() -> bytes:
    """Returns 16 random bytes."""
    return token_bytes(SALT_BYTES)


def _tag(key: bytes, session_id: UUID, secret: bytes) -> bytes:
    return hmac.digest(key, b"tag" + session_id.bytes + secret, "sha256")[:_TAG_BYTES]
