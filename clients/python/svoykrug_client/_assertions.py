"""Signing in as a service account (RFC 7523). Only services import this: cryptography takes long to import."""

import uuid
from datetime import UTC, datetime, timedelta

import jwt

from svoykrug_client.service_key import ServiceKey

_LIFE = timedelta(minutes=2)


class Assertions:
    """Makes the assertions that are exchanged for access tokens, each good once.

    Args:
        key: What they are signed with.

    Raises:
        ValueError: The key's PEM holds no private key.
    """

    def __init__(self, key: ServiceKey) -> None:
        self._key = key
        self._algorithm = key.algorithm

    def make(self) -> str:
        """Returns a new assertion."""
        now = datetime.now(UTC)
        claims = {
            "iss": self._key.service_account_id,
            "sub": self._key.service_account_id,
            "aud": self._key.audience,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "exp": now + _LIFE,
        }
        return jwt.encode(
            claims, self._key.private_key_pem, algorithm=self._algorithm, headers={"kid": self._key.key_id}
        )
