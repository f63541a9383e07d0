"""The check of access tokens in the FastAPI baselines: ES256, issuer, audience and life, by PyJWT.

The product remembers the tokens it has verified (`svoykrug_server/auth/verifier.py`). A baseline may do so too, so that
what is compared is not a cache. No baseline checks whether a token was revoked, which the product does at every call.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

LIFE_SECONDS = 86_400
ISSUER, AUDIENCE = "svoykrug", "svoykrug-api"
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


@dataclass(frozen=True, slots=True)
class Known:
    """A token that was verified.

    Attributes:
        user_id: Whose it is.
        expire_seconds: When it dies, since 1970.
    """

    user_id: UUID
    expire_seconds: int


class Tokens:
    """Says whose a token is: a dependency of FastAPI.

    Args:
        public_key: The key that signs them, a PEM file.
        remember: Whether a signature is checked once instead of at every call.
    """

    def __init__(self, public_key: Path, *, remember: bool) -> None:
        # Loaded once: reading PEM costs more than a check.
        self._key: Any = jwt.get_algorithm_by_name("ES256").prepare_key(public_key.read_bytes())
        self._remember = remember
        self._known: dict[str, Known] = {}

    async def __call__(self, bearer: Bearer) -> UUID:
        """Returns whose the token is, or refuses the call with 401."""
        known = self._known.get(bearer.credentials)
        if known is None:
            known = self._verified(bearer.credentials)
            if self._remember:
                self._known[bearer.credentials] = known
        elif time.time() >= known.expire_seconds:
            raise HTTPException(401)
        return known.user_id

    def _verified(self, token: str) -> Known:
        try:
            claims = jwt.decode(token, self._key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
            return Known(UUID(claims["sub"]), claims["exp"])
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise HTTPException(401) from error


class Signer:
    """Makes access tokens.

    Args:
        private_key: The key that signs them, a PEM file.
    """

    def __init__(self, private_key: Path) -> None:
        self._key: Any = jwt.get_algorithm_by_name("ES256").prepare_key(private_key.read_bytes())

    def __call__(self, user_id: UUID) -> str:
        """Returns a token of this user."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(user_id), "iat": now, "exp": now + LIFE_SECONDS}
        return jwt.encode(claims, self._key, algorithm="ES256")
