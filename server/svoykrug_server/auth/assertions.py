"""Assertions of service accounts: JWTs that prove a service holds its private key (private_key_jwt, RFC 7523).

Claims: iss and sub the account's id, aud our issuer and nobody else, jti new each time, iat, exp within five minutes;
the header names the key by kid. The key is looked up in our own table by account and kid: whatever else the header
brings (`jku`, `x5u`, `jwk`, `x5c`) is not looked at. The service's clock may be minutes wrong, for an assertion is good
once, and remembered until its times alone would have it refused.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from svoykrug_server.auth import key_material
from svoykrug_server.auth.key_model import AssertionKey

MAX_NAME_CHARACTERS = 256
"""The longest `kid` and `jti`."""
_TYPES = frozenset({None, "JWT", "client-authentication+jwt"})
"""What `typ` may say; nothing is what most libraries write, so that it cannot be required."""
_OPTIONS: Any = {
    "require": ["iss", "sub", "aud", "jti", "exp"],
    "strict_aud": True,  # one audience: an assertion that another server may use as well could come from there
    "verify_exp": False,  # the times are compared with our own clock, below
    "verify_iat": False,
    "verify_nbf": False,
}


class AssertionRefused(ValueError):
    """The assertion proves nothing. Why is for us, never for the caller."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Who an assertion says it is from; nothing is proven yet.

    Attributes:
        service_account_id: The account.
        kid: The key it says it is signed with.
    """

    service_account_id: UUID
    kid: str


@dataclass(frozen=True, slots=True)
class Proof:
    """A checked assertion.

    Attributes:
        jti_hash: SHA-256 of its `jti`: good once.
        expire_time: When it would be refused anyway, leeway included; aware.
    """

    jti_hash: bytes
    expire_time: datetime


def claimed(assertion: str) -> Claimed:
    """Reads who an assertion says it is from.

    Raises:
        AssertionRefused: It has no such form.
    """
    try:
        unverified = jwt.decode_complete(assertion, options={"verify_signature": False})
        header, payload = unverified["header"], unverified["payload"]
        if header.get("typ") not in _TYPES or "crit" in header or not _is_name(header["kid"]):
            raise AssertionRefused("not an assertion")
        return Claimed(UUID(payload["sub"]), header["kid"])
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AssertionRefused("malformed") from error


def prove(
    assertion: str, who: Claimed, key: AssertionKey, issuer: str, now: datetime, life: timedelta, leeway: timedelta
) -> Proof:
    """Checks an assertion's signature, claims and times.

    Args:
        assertion: The JWT.
        who: Who it says it is from.
        key: That account's key; its algorithm alone is taken, whatever the header says.
        issuer: Our issuer: whom the assertion must be for.
        now: The present instant; aware.
        life: How far ahead `exp` may be.
        leeway: How far the service's clock may differ.

    Raises:
        AssertionRefused: It proves nothing.
    """
    try:
        payload = jwt.decode(
            assertion,
            key_material.public_from_der(key.public_key),
            algorithms=[key.algorithm],
            audience=issuer,
            issuer=str(who.service_account_id),
            subject=str(who.service_account_id),
            options=_OPTIONS,
        )
        expire_time = datetime.fromtimestamp(payload["exp"], UTC)
        start_time = datetime.fromtimestamp(max(payload.get("nbf", 0), payload.get("iat", 0)), UTC)
    except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError, OSError) as error:
        raise AssertionRefused("wrongly signed, or not for us") from error
    jti = payload["jti"]
    if not _is_name(jti):
        raise AssertionRefused("no fitting jti")
    if not now - leeway < expire_time <= now + life + leeway or start_time > now + leeway:
        raise AssertionRefused("not of now")
    return Proof(hashlib.sha256(jti.encode()).digest(), expire_time + leeway)


def _is_name(value: object) -> bool:
    """Tells whether something is a text to look up; JSON also writes NUL and half characters, which no store takes."""
    return isinstance(value, str) and 1 <= len(value) <= MAX_NAME_CHARACTERS and value.isprintable()
