"""What auth needs of the people of the circle. The users feature implements it; `app.py` wires the two."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from svoykrug_server.kit.account import Account, Joining, PersonClaims
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.storage.postgres import Transaction


class Accounts(Protocol):
    """The people of the circle, read and written inside the transaction of the sign-in."""

    async def find_by_phone(self, tx: Transaction, phone: str) -> Account | None:
        """Returns who has a phone in E.164, or None. Nobody else can join with it before the transaction ends."""
        ...

    async def join(self, tx: Transaction, joining: Joining) -> UUID | DomainError:
        """Makes a new member, or claims the unclaimed one with this phone, and takes it from its former owner.

        Returns:
            The user's id, or, before anything is written, the refusal: CONSENT_REQUIRED, INVALID_FIELDS or
            REFERRAL_INVALID.
        """
        ...

    async def banned_user_id(self, tx: Transaction, phone: str, now: datetime) -> UUID | None:
        """Returns whose ban outlived her account and keeps a number in E.164 out, or None."""
        ...

    async def is_number_banned(self, tx: Transaction, user_id: UUID, now: datetime) -> bool:
        """Tells whether a user was banned when her account was deleted already."""
        ...

    async def release_phone(self, tx: Transaction, user_id: UUID, now: datetime) -> None:
        """Takes the phone from a user; nobody can sign in to her account until she is given another."""
        ...

    async def change_phone(self, tx: Transaction, user_id: UUID, phone: str, now: datetime) -> DomainError | None:
        """Gives a user another phone, or returns, before anything is written, PHONE_TAKEN or PERMISSION_DENIED."""
        ...

    async def claims(self, tx: Transaction, user_id: UUID) -> PersonClaims | None:
        """Returns what an access token says of a person, as of now, or None when she does not exist."""
        ...
