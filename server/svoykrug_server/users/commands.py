"""What an operator can do with users at the server's command line."""

from dataclasses import dataclass
from uuid import UUID

from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.kit.ids import random_member_id, uuid7
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import ActorKind, AuditEvent
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.users import repository
from svoykrug_server.users.administration.roles import ELEVATED, refusal_to_gain
from svoykrug_server.users.model import UnclaimedMember
from svoykrug_server.users.ports import AccessTokens


@dataclass(frozen=True, slots=True)
class Grant:
    """What `svoykrug admin grant` did.

    Attributes:
        user_id: Who has the role now.
        created: Whether she is new: her first sign-in with the phone claims the account.
        changed: Whether she did not have the role before.
    """

    user_id: UUID
    created: bool
    changed: bool


class GrantRole:
    """Gives a person a role in the circle: the way the first superadmin is made.

    Args:
        postgres: The system of record.
        clock: Tells what time it is.
        access_tokens: Ended for whoever gets a new role, so that the next refresh brings it.
    """

    def __init__(self, postgres: Postgres, clock: Clock, access_tokens: AccessTokens) -> None:
        self._postgres = postgres
        self._clock = clock
        self._access_tokens = access_tokens

    async def __call__(self, phone_text: str, role: Role) -> Grant:
        """Gives the role to whoever has the phone; creates her, unclaimed, when nobody has. Twice is the same as once.

        Args:
            phone_text: A phone number in any spelling.
            role: ADMIN or SUPERADMIN.

        Raises:
            InvalidFields: The text is no phone number, or the role cannot be granted.
            FailedPrecondition: USER_STATE, she is banned or deleted, or signs in by a demo phone.
        """
        phone = parse_phone(phone_text)
        if phone is None:
            raise InvalidFields.of("phone", "must be a phone number")
        if role not in ELEVATED:
            raise InvalidFields.of("role", "must be admin or superadmin")
        async with self._postgres.transaction() as tx:
            grant = await self._grant(tx, phone, role)
            if grant.changed:
                await self._access_tokens.revoke_for_user(tx, grant.user_id)
                await audit.append(tx, self._granted(grant, role))
        return grant

    async def _grant(self, tx: Transaction, phone: str, role: Role) -> Grant:
        now = self._clock.now()
        found = await repository.lock_by_phone(tx, phone)
        if found is None:
            member = UnclaimedMember(uuid7(now), random_member_id(), phone)
            created = await repository.insert_unclaimed(tx, [member], now)
            found = await repository.lock_by_phone(tx, phone)
            if found is None:
                raise LookupError("the user just created is gone")
        else:
            created = {}
        account, roles = found
        if role not in roles:
            refusal = refusal_to_gain(account.status, demo=account.demo, has_phone=True, unclaimed_may=True)
            if refusal is not None:
                raise refusal
            await repository.change(tx, account.user_id, {"roles": sorted(roles | {role})}, now)
        return Grant(account.user_id, created=bool(created), changed=role not in roles)

    def _granted(self, grant: Grant, role: Role) -> AuditEvent:
        return AuditEvent(
            "ROLE_GRANTED",
            self._clock.now(),
            actor_kind=ActorKind.OPERATOR,
            target_kind="user",
            target_id=str(grant.user_id),
            details={"role": role.value, "created": grant.created},
        )
