"""What service accounts and signing keys are made of."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal
from uuid import UUID

Algorithm = Literal["ES256", "RS256"]
"""How tokens and assertions are signed."""

MOST_SERVICE_KEYS = 10
"""How many keys a service account has at most: two while it changes one, and room for mistakes."""


@dataclass(frozen=True, slots=True)
class NewServiceAccount:
    """A service account to be made.

    Attributes:
        name: Lower case letters, digits and dashes, a letter first; unique.
        scopes: What it may ask for.
        public_key_pem: Its first public key, PEM (SubjectPublicKeyInfo).
    """

    name: str
    scopes: tuple[str, ...]
    public_key_pem: bytes


@dataclass(frozen=True, slots=True)
class AssertionKey:
    """A public key that assertions are checked with.

    Attributes:
        kid: The RFC 7638 thumbprint.
        algorithm: The one algorithm it is used with.
        public_key: DER, SubjectPublicKeyInfo.
    """

    kid: str
    algorithm: Algorithm
    public_key: bytes


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A public key of a service account.

    Attributes:
        kid: The RFC 7638 thumbprint.
        algorithm: The one algorithm it is used with.
        create_time: When the account got it; aware.
    """

    kid: str
    algorithm: Algorithm
    create_time: datetime


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
        keys: Its public keys, the oldest first.
    """

    service_account_id: UUID
    name: str
    scopes: frozenset[str]
    access_epoch: int
    create_time: datetime
    disable_time: datetime | None = None
    keys: tuple[ServiceKey, ...] = ()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The kids of its keys, the oldest first."""
        return tuple(key.kid for key in self.keys)


@dataclass(frozen=True, slots=True)
class ServiceAccountPage:
    """A page of service accounts.

    Attributes:
        accounts: The accounts by name.
        next_page_token: Asks for the next page; empty on the last.
    """

    accounts: tuple[ServiceAccount, ...]
    next_page_token: str


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
class KeyTimes:
    """How long signing keys are kept and read; each number is a setting, or follows from settings.

    Attributes:
        cache_life: How long a verifier may keep the published keys.
        reload: How often a server reads them again.
        token_life: How long a token can be taken after it was signed, leeway included.
        unknown_kid_wait: The least time between two readings that unknown key ids caused.
    """

    cache_life: timedelta = timedelta(minutes=5)
    reload: timedelta = timedelta(seconds=10)
    token_life: timedelta = timedelta(minutes=15, seconds=30)
    unknown_kid_wait: timedelta = timedelta(seconds=5)

    @property
    def until_known(self) -> timedelta:
        """After how long every verifier has a new key: every server has read it, every older copy is thrown away."""
        return 2 * max(self.cache_life, self.reload)

    @property
    def until_dead(self) -> timedelta:
        """After how long no token of a key that stopped signing lives: other servers sign until they have read so."""
        return self.token_life + 2 * self.reload


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """A signing key as it is stored.

    Attributes:
        kid: The RFC 7638 thumbprint of the public key.
        algorithm: The one algorithm it is used with.
        state: What it is used for.
        public_key: DER, SubjectPublicKeyInfo.
        sealed_private_key: PKCS#8 under AES-256-GCM; empty once it is retired.
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


@dataclass(frozen=True, slots=True)
class SigningKeyView:
    """What an admin sees of a signing key.

    Attributes:
        kid: Its id, as in a token's header.
        algorithm: How it signs.
        state: What it is used for.
        create_time: When it was made; aware.
        ready_time: From when it may sign; aware.
        activate_time: When it began to sign; aware.
        retire_time: When it stopped; aware.
        verify_until_time: Until when the tokens of a retired key are taken; aware.
    """

    kid: str
    algorithm: Algorithm
    state: KeyState
    create_time: datetime
    ready_time: datetime
    activate_time: datetime | None = None
    retire_time: datetime | None = None
    verify_until_time: datetime | None = None
