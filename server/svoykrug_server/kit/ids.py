"""Identifiers: time-ordered ones for rows, random ones for whatever must not be guessed."""

import secrets
from datetime import datetime
from uuid import UUID

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
REFERRAL_CODE_LENGTH = 8


def uuid7(at: datetime) -> UUID:
    """Returns a UUID of version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits.

    Args:
        at: The instant it is made at; aware.
    """
    milliseconds = int(at.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    random_bits = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random_bits >> 62) << 64 | 0b10 << 62 | random_bits & (1 << 62) - 1
    return UUID(int=value)


def first_uuid7(at: datetime) -> UUID:
    """Returns the UUID before every one of version 7 that is made at an instant or later, and after all made before.

    Args:
        at: The instant; aware.
    """
    return UUID(int=(int(at.timestamp() * 1000) & 0xFFFF_FFFF_FFFF) << 80)


def random_member_id() -> int:
    """Returns a random member id: 63 bits, never zero, so that it fits a signed 64-bit column."""
    return secrets.randbelow((1 << 63) - 1) + 1


def random_referral_code() -> str:
    """Returns a referral code of 8 characters of Crockford's base 32."""
    return random_crockford(REFERRAL_CODE_LENGTH)


def random_crockford(length: int) -> str:
    """Returns random characters of Crockford's base 32, 5 bits each: no I, L, O, U to misread."""
    return "".join(secrets.choice(_CROCKFORD) for _ in range(length))
