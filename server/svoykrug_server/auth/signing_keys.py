"""Signing keys: made at the first start, published before they sign, retired when their tokens are dead.

    create -> NEXT, published -> two lives of a verifier's cache later: ACTIVE -> RETIRED, published while tokens live

Every server keeps the live keys in memory, reads them again every few seconds, and at once when it hears that they
changed or when a token names one it does not know. Private keys are stored encrypted with a secret that lives outside
Postgres, and forgotten when they retire. `key_rotation` moves a key through its life.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from svoykrug_server.auth import key_material
from svoykrug_server.auth.key_material import PrivateKey, PublicKey, SealBroken
from svoykrug_server.auth.key_model import Algorithm, KeyState, KeyTimes, SigningKeyRecord
from svoykrug_server.auth.repository import signing_keys as repository
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import ActorKind, AuditEvent
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.storage.secrets import SecretName, SecretNotFound, Secrets

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs."""

    kid: str
    algorithm: Algorithm
    private_key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key whose tokens are taken."""

    kid: str
    algorithm: Algorithm
    public_key: PublicKey
    verify_until_time: datetime | None

    def jwk(self) -> dict[str, str]:
        """Returns the key as RFC 7517 writes it."""
        return {"kid": self.kid, "alg": self.algorithm, "use": "sig"} | key_material.to_jwk(self.public_key)


class SigningKeys:
    """The keys of this circle, in Postgres and in memory.

    Args:
        postgres: Where they are kept.
        secrets: Holds the secrets that private keys are encrypted with.
        clock: Tells the time.
        algorithm: How new keys sign.
        times: How long they are kept and read.
    """

    def __init__(
        self, postgres: Postgres, secrets: Secrets, clock: Clock, algorithm: Algorithm, times: KeyTimes | None = None
    ) -> None:
        self._postgres = postgres
        self._secrets = secrets
        self._clock = clock
        self._algorithm: Algorithm = algorithm
        self.times = times or KeyTimes()
        self._active: SigningKey | None = None
        self._by_kid: Mapping[str, VerificationKey] = {}
        self._read_time: datetime | None = None
        self._reading = asyncio.Lock()  # so that what was read first is never kept last
        self._changed = asyncio.Event()
        self.generation = 0
        """Grows whenever the set of keys changes: whoever remembers a verdict of theirs forgets it then."""

    @property
    def active(self) -> SigningKey:
        """The key that signs.

        Raises:
            LookupError: `open` was not called.
        """
        if self._active is None:
            raise LookupError("the signing keys were not opened")
        return self._active

    async def open(self, *, follow_setting: bool = True) -> None:
        """Makes the first key where there is none, and reads all.

        Args:
            follow_setting: Where the setting asks for another algorithm than that of the keys there are, make a NEXT
                key, to be activated by an admin.

        Raises:
            CannotStart: This server lacks the secret that the active key was encrypted with.
        """
        async with self._postgres.transaction() as tx:
            await repository.lock(tx)
            now = self._clock.now()
            records = await repository.live(tx, now)
            if not any(record.state is KeyState.ACTIVE for record in records):
                await self._make(tx, KeyState.ACTIVE, now)
            elif follow_setting and not any(
                r.algorithm == self._algorithm and r.state is not KeyState.RETIRED for r in records
            ):
                await self._make(tx, KeyState.NEXT, now)
        await self._read()

    async def reload(self) -> None:
        """Reads the keys again.

        A server that lacks the secret of a new active key goes on signing with the one before, while that one's tokens
        are taken, and takes the tokens of both.
        """
        try:
            await self._read()
        except CannotStart as error:
            log.error("auth.signing_key_not_opened", problem=str(error))

    def wake(self) -> None:
        """Has the keys read again without delay."""
        self._changed.set()

    async def run(self) -> None:
        """Reads the keys again when they change, and every few seconds, until cancelled.

        While Postgres is away the known ones stay.
        """
        while True:
            # Not wait_for: in Python 3.11 it forgets that it was cancelled when the event comes in the same moment.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.times.reload.total_seconds()):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self.reload()
            except StoreUnavailable:
                log.warning("auth.signing_keys_not_read")

    async def find(self, kid: str) -> VerificationKey | None:
        """Returns the key with an id, or None where it is not one of ours or its tokens are dead.

        An unknown id makes the server read the keys again, at most every few seconds.
        """
        key = self._by_kid.get(kid)
        now = self._clock.now()
        if key is None and (self._read_time is None or now - self._read_time >= self.times.unknown_kid_wait):
            await self.reload()
            key = self._by_kid.get(kid)
        if key is None or (key.verify_until_time is not None and now >= key.verify_until_time):
            return None
        return key

    def published(self) -> tuple[dict[str, str], ...]:
        """Returns the JWKS: every key that tokens are, will be, or still may be signed with."""
        now = self._clock.now()
        keys = self._by_kid.values()
        return tuple(key.jwk() for key in keys if key.verify_until_time is None or now < key.verify_until_time)

    def new(self, state: KeyState, now: datetime, algorithm: Algorithm | None = None) -> SigningKeyRecord:
        """Makes a key pair, to be stored.

        Args:
            state: NEXT, or ACTIVE for the first one.
            now: The present instant; aware.
            algorithm: How it signs; None for the setting.
        """
        chosen = algorithm or self._algorithm
        private_key = key_material.generate(chosen)
        kid = key_material.thumbprint(private_key.public_key())
        secret = self._secrets.current(SecretName.KEY_ENCRYPTION)
        return SigningKeyRecord(
            kid=kid,
            algorithm=chosen,
            state=state,
            public_key=key_material.public_to_der(private_key.public_key()),
            sealed_private_key=key_material.seal(private_key, secret.value, kid),
            encryption_kid=secret.kid,
            create_time=now,
            activate_time=now if state is KeyState.ACTIVE else None,
        )

    async def _read(self) -> None:
        async with self._reading:
            now = self._clock.now()
            self._read_time = now
            async with self._postgres.transaction() as tx:
                records = await repository.live(tx, now)
            lives = {record.kid: record.verify_until_time for record in records}
            if lives != {kid: key.verify_until_time for kid, key in self._by_kid.items()}:
                self._by_kid = {record.kid: _verification_key(record) for record in records}
                self.generation += 1
            active = next(record for record in records if record.state is KeyState.ACTIVE)
            if self._active is None or self._active.kid != active.kid:
                self._active = self._unsealed(active)

    async def _make(self, tx: Transaction, state: KeyState, now: datetime) -> None:
        record = self.new(state, now)
        await repository.insert(tx, record)
        event = AuditEvent(
            "SIGNING_KEY_CREATED", now, ActorKind.SYSTEM, target_kind="signing_key", target_id=record.kid
        )
        await audit.append(tx, event)

    def _unsealed(self, record: SigningKeyRecord) -> SigningKey:
        try:
            secret = self._secrets.find(SecretName.KEY_ENCRYPTION, record.encryption_kid)
            private_key = key_material.unseal(record.sealed_private_key, secret.value, record.kid)
        except (SecretNotFound, SealBroken) as error:
            name = f"{SecretName.KEY_ENCRYPTION}.{record.encryption_kid}"
            message = f"The signing key cannot be read: {name} is not the secret it was encrypted with."
            raise CannotStart(message, ExitCode.SETTINGS) from error
        return SigningKey(record.kid, record.algorithm, private_key)


def _verification_key(record: SigningKeyRecord) -> VerificationKey:
    public_key = key_material.public_from_der(record.public_key)
    return VerificationKey(record.kid, record.algorithm, public_key, record.verify_until_time)
