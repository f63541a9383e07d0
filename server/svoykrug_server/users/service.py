"""What can be done with users: rules and order, no SQL and no protobuf."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, InvalidFields, NotFound, PermissionDenied, Unauthenticated
from svoykrug_server.kit.ids import random_member_id, uuid7
from svoykrug_server.kit.names import has_hidden_characters
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.users import repository
from svoykrug_server.users.administration.reading import as_seen_by, is_shown_to
from svoykrug_server.users.model import (
    EARLIEST_BIRTH_DATE,
    MAX_DISPLAY_NAME_CHARACTERS,
    MemberRow,
    NewMember,
    ProfileChange,
    ProfileField,
    UnclaimedMember,
    User,
)


class UsersService:
    """Profiles and members.

    Args:
        postgres: The system of record.
        clock: Tells what time it is.
    """

    def __init__(self, postgres: Postgres, clock: Clock) -> None:
        self._postgres = postgres
        self._clock = clock

    async def get_me(self, user_id: UUID) -> User:
        """Returns the caller's own profile; the most frequent call of all, one statement.

        Raises:
            PermissionDenied: The caller was erased.
        """
        async with self._postgres.read() as connection:
            user = await repository.get(connection, user_id)
        if user is None:
            raise PermissionDenied
        return user

    async def update_me(self, call: Origin, change: ProfileChange, etag: str) -> User:
        """Changes the caller's own profile and returns it.

        The same values twice are the same profile: the second call finds nothing to change and succeeds, also with the
        etag of before.

        Args:
            call: The call in progress.
            change: Which fields, and their new values.
            etag: The etag last read; empty to change whatever is there.

        Raises:
            InvalidFields: The birth date cannot be one.
            Conflict: STALE_ETAG, somebody was faster.
            PermissionDenied: The caller was erased or is deleted.
        """
        now = self._clock.now()
        values = change.values()
        check_birth_date(values, now.date())
        user_id, details = caller_of(call).subject_id, {"fields": sorted(change.fields)}
        event = event_of_call(call, "USER_UPDATED", now, target=_target(user_id), details=details)
        async with self._postgres.transaction() as tx:
            found = await repository.change_profile(tx, user_id, values, etag, event)
        if found is None or found[0].status is AccountStatus.DELETED:
            raise PermissionDenied
        user, is_changed = found
        changed = replace(user, **values)  # type: ignore[arg-type]  # the names and types are those of ProfileChange
        if is_changed:
            return replace(changed, version=user.version + 1, update_time=now)
        if changed != user:
            raise Conflict("STALE_ETAG")
        return user

    async def get_user(self, caller: Caller, user_id: UUID) -> User:
        """Returns a user to whom she is, to an admin, or to a service.

        A service without the scope `users.read_phone` gets the phone masked.

        Raises:
            PermissionDenied: The caller is another person, whether or not there is such a user.
            NotFound: There is no such user, or a service asks for a deleted one; said to admins and services only.
        """
        may_know = caller.is_admin or caller.is_service
        if not may_know and caller.subject_id != user_id:
            raise PermissionDenied
        async with self._postgres.read() as connection:
            user = await repository.get(connection, user_id)
        if user is None or not is_shown_to(caller, user):
            raise NotFound if may_know else PermissionDenied
        return as_seen_by(caller, user)

    async def batch_create_users(self, call: Origin, members: Sequence[NewMember]) -> list[MemberRow]:
        """Creates unclaimed members, all that can be created in one transaction.

        A phone that has a user already, or came earlier in the batch, gives that user, unchanged and not `created`. A
        row that cannot be read is refused by itself and stops no other.

        Args:
            call: The call in progress.
            members: At most 1,000 rows.

        Returns:
            What became of each row, in the order of `members`.
        """
        phones = [_phone_of(member) for member in members]
        names = {phone: member.display_name for phone, member in reversed(list(zip(phones, members, strict=True)))}
        wanted = [phone for phone in names if phone is not None]
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            rows = [UnclaimedMember(uuid7(now), random_member_id(), phone, names[phone]) for phone in wanted]
            created = await repository.insert_unclaimed(tx, rows, now)
            known = await repository.ids_by_phone(tx, [phone for phone in wanted if phone not in created])
            await self._record_creation(tx, call, list(created.values()))
        return _rows(phones, created, known)

    async def _record_creation(self, tx: Transaction, call: Origin, user_ids: Sequence[UUID]) -> None:
        if not user_ids:
            return
        details = {"created_count": len(user_ids), "user_ids": [str(user_id) for user_id in user_ids]}
        await audit.append(tx, event_of_call(call, "USERS_CREATED", self._clock.now(), details=details))


def caller_of(call: Origin) -> Caller:
    """Returns who is calling.

    Raises:
        Unauthenticated: TOKEN_MISSING, nobody proved to be anyone.
    """
    if call.caller is None:
        raise Unauthenticated("TOKEN_MISSING")
    return call.caller


def check_birth_date(values: Mapping[str, object], today: date) -> None:
    """Refuses new values of a profile with a birth date that cannot be one.

    Raises:
        InvalidFields: It lies before 1900 or after today.
    """
    named = values.get(ProfileField.BIRTH_DATE)
    if isinstance(named, date) and not EARLIEST_BIRTH_DATE <= named <= today:
        raise InvalidFields.of("user.birth_date", "must lie between 1900-01-01 and today")


def _target(user_id: UUID) -> tuple[str, str]:
    return "user", str(user_id)


def _phone_of(member: NewMember) -> str | None:
    if len(member.display_name) > MAX_DISPLAY_NAME_CHARACTERS or has_hidden_characters(member.display_name):
        return None
    return parse_phone(member.phone)


def _rows(phones: Sequence[str | None], created: dict[str, UUID], known: dict[str, UUID]) -> list[MemberRow]:
    rows: list[MemberRow] = []
    seen: set[str] = set()
    for phone in phones:
        if phone is None:
            rows.append(MemberRow(None, error_reason="INVALID_FIELDS"))
            continue
        rows.append(MemberRow(created.get(phone) or known[phone], created=phone in created and phone not in seen))
        seen.add(phone)
    return rows
