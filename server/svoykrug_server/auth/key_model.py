"""What service accounts and signing keys are made of."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

Algorithm = Literal["ES256", "RS256"]
"""How tokens and assertions are signed."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service that calls with keys of its own.

    Attributes:
        service_account_id: A UUID of version 7.
        name: Unique; lower case letters, digits and dashes.
        scopes: What it may ask for.
        access_epoch: Access tokens of lower epochs are dead.
        create_time: When it was made; aware.
        disable_time: When it was shut out; None while it may call.
        key_ids: The kids of its public keys.
    """

    service_account_id: UUID
    name: str
    scopes: frozenset[str]
    access_epoch: int
    create_time: datetime
    disable_time: datetime | None = None
    key_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A public key of a service account.

    Attributes:
        kid: The RFC 7638 thumbprint.
        algorithm: The one algorithm it is used with.
        public_key: DER, SubjectPublicKeyInfo.
    """

    kid: str
    algorithm: Algorithm
    public_key: bytes


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """An access token of a service.

    Attributes:
        access_token: A JWT.
        expire_time: When it dies; aware.
        scopes: What it allows.
    """

    access_token: str = field(repr=False)
    expire_time: datetime
    scopes: frozenset[str]


class KeyState(StrEnum):
    """What a signing key is used for."""

    NEXT = "next"
    """Published, so that verifiers know it before it signs."""
    ACTIVE = "active"
    """Signs."""
    RETIRED = "retired"
    """Signs no more; its tokens are taken until its `verify_until_time`."""


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """A signing key as it is stored.

    Attributes:
        kid: The RFC 7638 thumbprint of the public key.
        algorithm: The one algorithm it is used with.
        state: What it is used for.
        public_key: DER, SubjectPublicKeyInfo.
        sealed_private_key: PKCS#8 under AES-256-GCM.
        encryption_kid: The key encryption key it is sealed with.
        create_time: When it was made; aware.
        activate_time: When it began to sign; aware.
        retire_time: When it stopped; aware.
        verify_until_time: Until when its tokens are taken; aware.
    """

    kid: str
    algorithm: Algorithm
    state: KeyState
    public_key: bytes
    sealed_private_key: bytes = field(repr=False)
    encryption_kid: str
    create_time: datetime
    activate_time: datetime | None = None
    retire_time: datetime | None = None
    verify_until_time: datetime | None = None


class KeysRefused(Exception):
    """What an operator asked of the keys cannot be done; the message says why in one line."""
