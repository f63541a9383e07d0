"""Tiers: where a member stands, and what an admin may set."""

from datetime import datetime
from uuid import UUID

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import NotFound, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users import repository
from svoykrug_server.users.membership.model import TierStatus
from svoykrug_server.users.membership.tier_repository import TierRepository
from svoykrug_server.users.membership.tier_rules import TierRules
from svoykrug_server.users.model import Tier, User


class Tiers:
    """The tiers of members.

    Args:
        postgres: The system of record.
        tiers: SQL about tiers.
        rules: What each tier asks for.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, tiers: TierRepository, rules: TierRules, clock: Clock) -> None:
        self._postgres = postgres
        self._tiers = tiers
        self._rules = rules
        self._clock = clock

    async def get(self, user_id: UUID) -> TierStatus:
        """Returns where a person stands, from her purchases at this moment; one statement.

        Raises:
            PermissionDenied: She was erased.
        """
        now = self._clock.now()
        async with self._postgres.read() as connection:
            standing = await self._tiers.standing(connection, user_id, self._window_start(now))
        if standing is None:
            raise PermissionDenied
        return self._rules.status(standing, now)

    async def set(self, call: Origin, user_id: UUID, *, pin: bool) -> User:
        """Pins a member to Inner Circle, or gives her the tier of her spending again; returns her.

        Raises:
            NotFound: There is no such user.
        """
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            await self._tiers.lock(tx)
            user = await repository.lock(tx, user_id)
            if user is None:
                raise NotFound
            computed, pinned = await self._tiers.tier_of_spending(tx, user_id, self._window_start(now))
            tier = Tier.INNER_CIRCLE if pin else computed
            if (tier, pin) != (user.tier, pinned):
                await repository.change(tx, user_id, {"tier": tier.value, "tier_pinned": pin}, now)
                await audit.append(tx, _set_event(call, user, tier, now, pin=pin))
            changed = await repository.lock(tx, user_id)
        if changed is None:
            raise LookupError("a locked user can be read")
        return changed

    def _window_start(self, now: datetime) -> datetime:
        return self._rules.window_start(self._rules.today(now))


def _set_event(call: Origin, user: User, tier: Tier, now: datetime, *, pin: bool) -> audit.AuditEvent:
    details = {"before": user.tier.value, "after": tier.value, "pinned": pin}
    return event_of_call(call, "TIER_SET", now, target=("user", str(user.id)), details=details)
