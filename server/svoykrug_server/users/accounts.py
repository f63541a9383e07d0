"""The accounts that sign-in stands on: who has a phone, how a person joins, what her token says.

`UserAccounts` implements the Protocol `auth.accounts.Accounts`; every method works inside the sign-in's transaction.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from svoykrug_server.kit.account import Account, AccountStatus, ConsentGrant, Joining, PersonClaims
from svoykrug_server.kit.errors import Conflict, DomainError, FailedPrecondition, PermissionDenied
from svoykrug_server.kit.ids import random_member_id, random_referral_code, uuid7
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import ActorKind, AuditEvent, Origin
from svoykrug_server.storage.postgres import Transaction
from svoykrug_server.users import repository
from svoykrug_server.users.consent_texts import ANY_TEXT, ConsentTexts
from svoykrug_server.users.model import REQUIRED_CONSENTS, ConsentKind, read_referral_code
from svoykrug_server.users.number_bans import NumberBans

_CODE_CANDIDATES = 4
"""Each is free with a probability of 1 - users / 2^40, so that four are never all taken."""


class UserAccounts:
    """The people of the circle, for the sign-in.

    Args:
        origin: Returns the call in progress, or None outside of calls.
        number_bans: Numbers that nobody joins with.
        texts: What may be consented to.
    """

    def __init__(
        self, origin: Callable[[], Origin | None], number_bans: NumberBans, texts: ConsentTexts = ANY_TEXT
    ) -> None:
        self._origin = origin
        self._number_bans = number_bans
        self._texts = texts

    async def find_by_phone(self, tx: Transaction, phone: str) -> Account | None:
        """Returns who has a phone in E.164, or None. Nobody else can join with it before the transaction ends."""
        found = await repository.lock_by_phone(tx, phone)
        if found is None:
            return None
        account, _ = found
        if account.status is not AccountStatus.UNCLAIMED:
            return account
        return replace(account, dealt_with_time=await repository.dealt_with_time(tx, account.user_id))

    async def join(self, tx: Transaction, joining: Joining) -> UUID | DomainError:
        """Makes a new member, or claims the unclaimed one with this phone, and takes it from its former owner.

        Returns:
            The user's id, or, before anything is written, the refusal: CONSENT_REQUIRED (metadata `missing`: kinds,
            separated by commas), INVALID_FIELDS for a text that there is not, or REFERRAL_INVALID.

        Raises:
            ValueError: The phone belongs to someone who has joined already, or a consent is of an unknown kind.
        """
        consents = {ConsentKind(consent.kind): consent for consent in joining.consents}
        refusal = _missing_consents(consents) or self._texts.refusal(joining.consents)
        if refusal is not None:
            return refusal
        referrer_id = await _referrer(tx, joining.referral_code)
        if isinstance(referrer_id, DomainError):
            return referrer_id
        if joining.former_owner_id is not None:
            await self.release_phone(tx, joining.former_owner_id, joining.join_time)
        new_id = uuid7(joining.join_time)
        user_id = await repository.join(
            tx,
            {
                "id": new_id,
                "phone": joining.phone,
                "locale": joining.locale,
                "referral_code": await _new_referral_code(tx),
                "referrer_id": referrer_id,
                "demo": joining.demo,
                "now": joining.join_time,
            },
        )
        if user_id is None:
            raise ValueError("only a new or an unclaimed member can join")
        if not joining.demo:
            await repository.link_member(tx, user_id, random_member_id())
        await repository.add_consents(tx, user_id, list(consents.values()), joining.join_time)
        await audit.append(tx, self._joined(joining, user_id, claimed=user_id != new_id))
        return user_id

    async def banned_user_id(self, tx: Transaction, phone: str, now: datetime) -> UUID | None:
        """Returns whose ban outlived her account and keeps a number in E.164 out, or None."""
        return await self._number_bans.banned_user_id(tx, phone, now)

    async def is_number_banned(self, tx: Transaction, user_id: UUID, now: datetime) -> bool:
        """Tells whether a user was banned when her account was deleted already."""
        return await self._number_bans.stands(tx, user_id, now)

    async def release_phone(self, tx: Transaction, user_id: UUID, now: datetime) -> None:
        """Takes the phone from a user; nobody can sign in to her account until she is given another."""
        await repository.change(tx, user_id, {"phone": None}, now)

    async def change_phone(self, tx: Transaction, user_id: UUID, phone: str, now: datetime) -> DomainError | None:
        """Gives a user another phone, or returns, before anything is written, the refusal.

        A member whom a partner brought and who never signed in has her phone too.

        Returns:
            PHONE_TAKEN, or PERMISSION_DENIED: she was erased, deleted or banned a moment ago.
        """
        holder = await self.find_by_phone(tx, phone)
        if holder is not None and holder.user_id != user_id:
            return Conflict("PHONE_TAKEN")
        user = await repository.lock(tx, user_id)
        if user is None or user.status is not AccountStatus.ACTIVE:
            return PermissionDenied()
        if holder is not None:
            return None
        await repository.change(tx, user_id, {"phone": phone}, now)
        return None

    async def claims(self, tx: Transaction, user_id: UUID) -> PersonClaims | None:
        """Returns what an access token says of a person, as of now, or None when she does not exist."""
        return await repository.claims(tx, user_id)

    def _joined(self, joining: Joining, user_id: UUID, *, claimed: bool) -> AuditEvent:
        origin = self._origin()
        return AuditEvent(
            "MEMBER_CLAIMED" if claimed else "MEMBER_JOINED",
            joining.join_time,
            actor_kind=ActorKind.USER,
            actor_id=user_id,
            target_kind="user",
            target_id=str(user_id),
            peer_address=None if origin is None else audit.address_of(origin),
            request_id=None if origin is None else origin.request_id,
            details={
                "consents": {consent.kind: consent.granted for consent in joining.consents},
                "referred": bool(joining.referral_code),
            },
        )


def _missing_consents(consents: dict[ConsentKind, ConsentGrant]) -> DomainError | None:
    missing = [kind.value for kind in REQUIRED_CONSENTS if kind not in consents or not consents[kind].granted]
    return FailedPrecondition("CONSENT_REQUIRED", metadata={"missing": ",".join(missing)}) if missing else None


async def _referrer(tx: Transaction, typed_code: str) -> UUID | DomainError | None:
    if not typed_code:
        return None
    code = read_referral_code(typed_code)
    user_id = None if code is None else await repository.referrer(tx, code)
    return user_id or FailedPrecondition("REFERRAL_INVALID")


async def _new_referral_code(tx: Transaction) -> str:
    return await repository.free_referral_code(tx, [random_referral_code() for _ in range(_CODE_CANDIDATES)])
