"""Use cases: signing keys are made, put to work and retired, by admins and by operators, without one failed call.

create -> NEXT, published -> `KeyTimes.until_known` later: activate -> ACTIVE; the one before RETIRED, its tokens
taken until all are dead, or until they are rejected because the key leaked
"""

import asyncio
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from svoykrug_server.auth.administration import Author, event_by, request_key
from svoykrug_server.auth.key_model import Algorithm, KeyState, SigningKeyRecord, SigningKeyView
from svoykrug_server.auth.repository import revocation_feed
from svoykrug_server.auth.repository import signing_keys as repository
from svoykrug_server.auth.signing_keys import SigningKeys
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition, NotFound
from svoykrug_server.storage import audit, idempotency
from svoykrug_server.storage.idempotency import Answer
from svoykrug_server.storage.postgres import Postgres, Transaction


class KeyRotation:
    """Moves signing keys through their lives.

    Args:
        postgres: Where they are kept.
        keys: The keys that this server knows; they are read again after each change.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, keys: SigningKeys, clock: Clock) -> None:
        self._postgres = postgres
        self._keys = keys
        self._clock = clock

    async def open(self) -> None:
        """Makes the first key where there is none; for the command line, which may run before the first server.

        Raises:
            CannotStart: The secret that the active key was encrypted with is missing.
        """
        await self._keys.open(follow_setting=False)

    async def listed(self) -> tuple[SigningKeyView, ...]:
        """Returns the keys that sign, will sign, or signed tokens still alive, the newest first."""
        async with self._postgres.transaction() as tx:
            records = await repository.live(tx, self._clock.now())
        return tuple(self._view(record) for record in reversed(records))

    async def create(self, algorithm: Algorithm | None, request_id: UUID, author: Author) -> SigningKeyView:
        """Makes and publishes a key that signs nothing yet; the same request id again returns it as it was made.

        Args:
            algorithm: How it signs; None for the setting.
            request_id: Makes the call repeatable.
            author: Who asks.

        Raises:
            InvalidFields: REQUEST_ID_REUSED.
            FailedPrecondition: SIGNING_KEY_STATE, another key waits already.
        """
        now = self._clock.now()
        request = request_key(author, "CreateSigningKey", request_id, {"algorithm": algorithm})
        async with self._postgres.transaction() as tx:
            if (answer := await idempotency.claim(tx, request, now)) is not None:
                return self._from_answer(answer)
            await repository.lock(tx)
            for other in await repository.live(tx, now):
                if other.state is KeyState.NEXT:
                    raise FailedPrecondition("SIGNING_KEY_STATE", metadata={"state": other.state, "kid": other.kid})
            # An RSA key takes a tenth of a second: calls go on meanwhile.
            record = await asyncio.to_thread(self._keys.new, KeyState.NEXT, now, algorithm)
            await repository.insert(tx, record)
            await idempotency.remember(tx, request, _answer_of(record))
            await _announce(tx, author, "SIGNING_KEY_CREATED", record.kid, now, algorithm=record.algorithm)
        await self._keys.reload()
        return self._view(record)

    async def activate(self, kid: str, author: Author, *, skip_wait: bool = False) -> SigningKeyView:
        """Lets a key sign; the one that signed until now retires, its tokens live on. Active already, nothing changes.

        Args:
            kid: The key that waits.
            author: Who asks.
            skip_wait: Do not wait until every verifier knows it: for a key that replaces a stolen one.

        Raises:
            NotFound: There is no such key.
            FailedPrecondition: SIGNING_KEY_STATE, it is retired, or verifiers may not know it yet.
        """
        async with self._postgres.transaction() as tx:
            record = await self._locked(tx, kid)
            if record.state is KeyState.ACTIVE:
                return self._view(record)
            now = self._clock.now()
            self._check_ready(record, now, skip_wait=skip_wait)
            for other in await repository.live(tx, now):
                if other.state is KeyState.ACTIVE:
                    await repository.retire(tx, other.kid, now, now + self._keys.times.until_dead)
            await repository.activate(tx, kid, now)
            await _announce(tx, author, "SIGNING_KEY_ACTIVATED", kid, now, skip_wait=skip_wait)
        await self._keys.reload()
        return self._view(replace(record, state=KeyState.ACTIVE, activate_time=now))

    async def retire(self, kid: str, author: Author, *, reject_tokens: bool = False) -> SigningKeyView:
        """Retires a key that waits; refuses the tokens of a retired one from now on where it is asked to.

        Args:
            kid: The key.
            author: Who asks.
            reject_tokens: Do not wait until the tokens it signed are dead: for a key that leaked.

        Raises:
            NotFound: There is no such key.
            FailedPrecondition: SIGNING_KEY_STATE, it signs: another one is activated first.
        """
        async with self._postgres.transaction() as tx:
            record = await self._locked(tx, kid)
            if record.state is KeyState.ACTIVE:
                raise FailedPrecondition("SIGNING_KEY_STATE", metadata={"state": record.state})
            now = self._clock.now()
            rejects = reject_tokens and record.verify_until_time is not None and now < record.verify_until_time
            if record.state is KeyState.RETIRED and not rejects:
                return self._view(record)
            await repository.retire(tx, kid, now, now)
            await _announce(tx, author, "SIGNING_KEY_RETIRED", kid, now, reject_tokens=rejects)
        await self._keys.reload()
        retired = replace(record, state=KeyState.RETIRED, retire_time=record.retire_time or now, verify_until_time=now)
        return self._view(retired)

    async def _locked(self, tx: Transaction, kid: str) -> SigningKeyRecord:
        await repository.lock(tx)
        record = await repository.get(tx, kid)
        if record is None:
            raise NotFound
        return record

    def _check_ready(self, record: SigningKeyRecord, now: datetime, *, skip_wait: bool) -> None:
        ready_time = record.create_time + self._keys.times.until_known
        if record.state is KeyState.RETIRED:
            raise FailedPrecondition("SIGNING_KEY_STATE", metadata={"state": record.state})
        if now < ready_time and not skip_wait:
            metadata = {"state": record.state, "ready_time": ready_time.isoformat()}
            raise FailedPrecondition("SIGNING_KEY_STATE", metadata=metadata, retry_after=ready_time - now)

    def _view(self, record: SigningKeyRecord) -> SigningKeyView:
        return SigningKeyView(
            kid=record.kid,
            algorithm=record.algorithm,
            state=record.state,
            create_time=record.create_time,
            ready_time=record.create_time + self._keys.times.until_known,
            activate_time=record.activate_time,
            retire_time=record.retire_time,
            verify_until_time=record.verify_until_time,
        )

    def _from_answer(self, answer: Answer) -> SigningKeyView:
        created = datetime.fromisoformat(answer["create_time"])
        ready_time = created + self._keys.times.until_known
        return SigningKeyView(answer["kid"], answer["algorithm"], KeyState.NEXT, created, ready_time)


def _answer_of(record: SigningKeyRecord) -> Answer:
    return {"kid": record.kid, "algorithm": record.algorithm, "create_time": record.create_time.isoformat()}


async def _announce(tx: Transaction, author: Author, action: str, kid: str, now: datetime, **details: object) -> None:
    """Writes down what was done with a key, and tells every server to read the keys again."""
    await revocation_feed.announce_keys(tx)
    await audit.append(tx, event_by(author, action, now, ("signing_key", kid), details))
