"""Wallet codes: shown by a member, typed or scanned at a business, good for one purchase within a minute.

A code has 8 characters of Crockford's base 32: 40 bits, short enough to be typed. It is no secret for long and proves
nothing but who stands at the till. Whoever guesses must be staff of a business or a service, may be wrong so many times
an hour and no more, and every wrong guess is in the audit trail: with 10,000 codes alive at once and 60 guesses an hour
somebody would guess for 200 years to be right once. Postgres keeps a keyed hash; the key lives outside it.
"""

import asyncio
import hmac
import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, FieldViolation, Limited, PermissionDenied
from svoykrug_server.kit.ids import random_crockford
from svoykrug_server.kit.wallet import WalletHolder
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import ActorKind, AuditEvent, AuditResult
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.storage.secrets import SecretName, Secrets
from svoykrug_server.users.membership import wallet_repository
from svoykrug_server.users.membership.model import WalletCode

log = structlog.get_logger(__name__)

CODE_CHARACTERS = 8
KEPT = timedelta(days=7)
"""How long a used code still answers the purchase that is repeated with it."""

_CANDIDATES = 4
"""Each is free with a probability of 1 - kept codes / 2^40, so that four are never all taken."""
_HOUR = timedelta(hours=1)
_EVERY_SECONDS = 3600.0
_MAX_TYPED_CHARACTERS = 64
_CODE = re.compile(r"[0-9A-HJKMNP-TV-Z]{8}")
_MISREAD = str.maketrans("OIL", "011", " -")


@dataclass(frozen=True, slots=True)
class WalletLimits:
    """How long codes live and how much guessing is borne.

    Attributes:
        life: How long a code is good.
        wrong_guesses_per_hour: How many wrong codes a caller may give within an hour.
    """

    life: timedelta
    wrong_guesses_per_hour: int


class Wallet:
    """Makes wallet codes, and tells a purchase whose one is.

    Args:
        postgres: The system of record.
        secrets: Holds the keys of the hashes.
        limits: How long codes live and how much guessing is borne.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, secrets: Secrets, limits: WalletLimits, clock: Clock) -> None:
        self._postgres = postgres
        self._secrets = secrets
        self._limits = limits
        self._clock = clock

    async def make(self, user_id: UUID) -> WalletCode:
        """Makes a code for a person, in place of one that she has not used.

        Raises:
            PermissionDenied: She cannot sign in any more.
            LookupError: Every code that was tried is taken.
        """
        key = self._secrets.current(SecretName.WALLET_CODE).value
        codes = {_hash(key, code): code for code in (random_crockford(CODE_CHARACTERS) for _ in range(_CANDIDATES))}
        expire_time = self._clock.now() + self._limits.life
        async with self._postgres.transaction() as tx:
            made = await wallet_repository.make(tx, user_id, list(codes), expire_time)
        if made is None:
            raise PermissionDenied
        return WalletCode(codes[made], expire_time)

    async def find(self, tx: Transaction, caller: Caller, typed_code: str) -> WalletHolder | DomainError | None:
        """Returns whose code this is, in the transaction of a purchase; nobody else uses it before that ends.

        Returns:
            The holder; None when it is no one's; or the refusal of a caller who guessed too often:
            WALLET_GUESSES_EXHAUSTED, with the time until the next guess.
        """
        now = self._clock.now()
        await wallet_repository.lock_caller(tx, caller.subject_id)
        most = self._limits.wrong_guesses_per_hour
        full_since = await wallet_repository.full_since(tx, caller.subject_id, now - _HOUR, most)
        if full_since is not None:
            return Limited("WALLET_GUESSES_EXHAUSTED", retry_after=full_since + _HOUR - now)
        code = read_wallet_code(typed_code)
        if code is None:
            return None
        hashes = [_hash(secret.value, code) for secret in self._secrets.all(SecretName.WALLET_CODE)]
        return await wallet_repository.find(tx, hashes, now)

    async def use(self, tx: Transaction, holder: WalletHolder) -> None:
        """Uses a found code up, in the transaction of the purchase that is written with it."""
        await wallet_repository.use(tx, holder.code_hash, self._clock.now())

    async def refuse(self, tx: Transaction, caller: Caller, business_id: UUID) -> DomainError:
        """Counts a wrong guess and returns the refusal, which the caller raises once the transaction is committed."""
        now = self._clock.now()
        await wallet_repository.add_guess(tx, caller.subject_id, now)
        await audit.append(
            tx,
            AuditEvent(
                "WALLET_CODE_REFUSED",
                now,
                actor_kind=ActorKind.SERVICE if caller.is_service else ActorKind.USER,
                actor_id=caller.subject_id,
                target_kind="business",
                target_id=str(business_id),
                result=AuditResult.REFUSED,
            ),
        )
        rule = FieldViolation("purchase.wallet_code", "must be a code that is shown now and was not used")
        return FailedPrecondition("WALLET_CODE_INVALID", violations=(rule,))

    async def run(self) -> None:
        """Deletes old codes and guesses once an hour until cancelled; while PostgreSQL is away it waits."""
        while True:
            try:
                await self.forget()
            except DomainError as error:
                log.warning("wallet_codes_not_forgotten", reason=error.reason)
            await asyncio.sleep(_EVERY_SECONDS)

    async def forget(self) -> None:
        """Deletes codes that answer no repeated purchase any more, and guesses that no longer count."""
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            await wallet_repository.forget_codes(tx, now - KEPT)
            await wallet_repository.forget_guesses(tx, now - _HOUR)


def read_wallet_code(text: str) -> str | None:
    """Returns a wallet code as it is hashed, or None where the text cannot be one.

    Args:
        text: What somebody typed or scanned: case, spaces and hyphens do not matter, and O, I, L are read as the digits
            they look like (Crockford's base 32, https://www.crockford.com/base32.html).
    """
    code = text.upper().translate(_MISREAD) if len(text) <= _MAX_TYPED_CHARACTERS else ""
    return code if _CODE.fullmatch(code) else None


def _hash(key: bytes, code: str) -> bytes:
    return hmac.digest(key, code.encode(), "sha256")
