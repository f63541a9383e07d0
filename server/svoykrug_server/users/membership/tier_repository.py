"""SQL about tiers. They are computed from the ledger by index; nobody keeps sums beside it that could go wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.storage.postgres import ReadConnection, Transaction
from svoykrug_server.users.membership.model import Standing, TierChange
from svoykrug_server.users.membership.tier_rules import TierRules
from svoykrug_server.users.model import Tier

_NET_OF_PURCHASES = """
    SELECT entry.member_id, entry.business_id, entry.sensitive,
        entry.amount_minor + coalesce(given.amount_minor, 0) AS net_minor
    FROM purchase_entries AS entry LEFT JOIN (
        SELECT purchase_id, CAST(sum(amount_minor) AS bigint) AS amount_minor FROM purchase_entries
        WHERE kind <> 1 {whose} GROUP BY purchase_id
    ) AS given ON given.purchase_id = entry.entry_id
    WHERE entry.kind = 1 AND entry.purchase_time >= {since} {whose}
"""
"""What is left of each purchase in the window: a refund counts against its purchase, whenever it was given."""


def _computed(name: Callable[[str], str]) -> str:
    """Returns the SQL that computes `net_spend_minor`, `category_count` and `tier` of the member `link.member_id`.

    A purchase of which nothing is left opens no category, and a sensitive one never does.

    Args:
        name: Writes a parameter's name as the driver wants it.
    """
    hers = _NET_OF_PURCHASES.format(whose="AND member_id = link.member_id", since=name("window_start_time"))
    return f"""
        SELECT spent.*, CASE
            WHEN net_spend_minor >= {name("inner_circle_spend_minor")} THEN 'inner_circle'
            WHEN net_spend_minor >= {name("elite_spend_minor")} AND category_count >= {name("elite_categories")}
                OR net_spend_minor >= state.top_spend_minor THEN 'elite'
            WHEN net_spend_minor >= {name("vip_spend_minor")} AND category_count >= {name("vip_categories")} THEN 'vip'
            ELSE 'insider'
        END AS tier
        FROM (
            SELECT CAST(coalesce(sum(net_minor), 0) AS bigint) AS net_spend_minor,
                count(*) FILTER (WHERE opened) AS category_count
            FROM (
                SELECT sum(net_minor) AS net_minor, bool_or(net_minor > 0 AND NOT bought.sensitive) AS opened
                FROM ({hers}) AS bought JOIN businesses ON businesses.id = bought.business_id
                GROUP BY category
            ) AS by_category
        ) AS spent
    """  # noqa: S608 - constants only


_POSITIONS = (
    "user_id",
    "window_start_time",
    "inner_circle_spend_minor",
    "elite_spend_minor",
    "elite_categories",
    "vip_spend_minor",
    "vip_categories",
)


def _positional(name: str) -> str:
    return f"${_POSITIONS.index(name) + 1}"


def _named(name: str) -> str:
    return f":{name}"


# Where does this user stand?
_STANDING = f"""
    SELECT computed.net_spend_minor, computed.category_count, computed.tier, users.tier_pinned, state.top_spend_minor
    FROM users JOIN member_links AS link ON link.user_id = users.id CROSS JOIN tier_state AS state
    CROSS JOIN LATERAL ({_computed(_positional)}) AS computed
    WHERE users.id = $1
"""  # noqa: S608 - constants only

# Which tier is this user's spending worth, and has an admin set another?
_TIER_OF_SPENDING = text(
    f"""
    SELECT computed.tier, users.tier_pinned
    FROM users JOIN member_links AS link ON link.user_id = users.id CROSS JOIN tier_state AS state
    CROSS JOIN LATERAL ({_computed(_named)}) AS computed
    WHERE users.id = :user_id
    """  # noqa: S608 - constants only
)

# Which of these members are of another tier from now on? (locked in the order of their ids, so that nobody waits in a
# circle)
_CHANGE = text(
    f"""
    WITH computed AS MATERIALIZED (
        SELECT users.id, users.tier AS before, computed.tier AS after
        FROM unnest(CAST(:member_ids AS bigint[])) AS due (member_id)
        JOIN member_links AS link USING (member_id) JOIN users ON users.id = link.user_id AND NOT users.tier_pinned
        CROSS JOIN tier_state AS state CROSS JOIN LATERAL ({_computed(_named)}) AS computed
        WHERE computed.tier <> users.tier
    ), locked AS MATERIALIZED (
        SELECT users.id FROM users JOIN computed USING (id) ORDER BY users.id FOR NO KEY UPDATE OF users
    )
    UPDATE users SET tier = computed.after, version = users.version + 1, update_time = :now
    FROM computed JOIN locked USING (id)
    WHERE users.id = computed.id
    RETURNING users.id, computed.before, computed.after
    """  # noqa: S608 - constants only
)

# Does nobody else compute tiers before this transaction ends? (what one has read is then still so when it writes)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('users.tier', 0))")

# May this server compute the night's tiers, or does another?
_LOCK_NIGHT = text("SELECT pg_try_advisory_xact_lock(hashtextextended('tier_state', 0))")

# Which ledger rows does this statement write, so that tiers are to be computed?
FOLLOW_LEDGER = "INSERT INTO tier_due (outbox_id, entry_count) SELECT outbox_id, entry_count FROM appended"
"""What tiers do with a new outbox entry; `TierUpkeep` computes them a moment later.

It costs the purchase one small row, whatever it writes: an import does not pay for anybody's sums.
"""

# Did transactions of this size write to the ledger since tiers were computed, the last or the first of them long enough
# ago?
_ANY_DUE = """
    SELECT coalesce(max(outbox.record_time) <= $3 OR min(outbox.record_time) <= $4, false)
    FROM tier_due JOIN outbox USING (outbox_id) WHERE tier_due.entry_count BETWEEN $1 AND $2
"""

# Which transactions of this size wrote to the ledger since tiers were computed, up to a number of ledger rows?
_TAKE_DUE = text(
    """
    WITH waiting AS MATERIALIZED (
        SELECT outbox_id, entry_count, sum(entry_count) OVER (ORDER BY outbox_id) AS so_far FROM tier_due
        WHERE entry_count BETWEEN :least_count AND :most_count ORDER BY outbox_id LIMIT :most_entries
    )
    DELETE FROM tier_due USING waiting
    WHERE tier_due.outbox_id = waiting.outbox_id AND (so_far <= :most_entries OR so_far = waiting.entry_count)
    RETURNING tier_due.outbox_id
    """
)

# Whose purchases did these transactions write or refund? (not purchases that are too old to count)
_DUE_MEMBERS = text(
    """
    SELECT DISTINCT member_id FROM purchase_entries
    WHERE outbox_id = ANY(CAST(:outbox_ids AS bigint[])) AND (kind <> 1 OR purchase_time >= :window_start_time)
    """
)

# How far is the nightly computation?
_NIGHT = "SELECT done_day, done_time, walk_day, walk_member_id FROM tier_state"

# May a statement take as long as it needs, until this transaction ends?
_WITHOUT_TIMEOUT = text("SET LOCAL statement_timeout = 0")

# What does the last of the few who spend most spend? (none while they are fewer than one)
_TOP_SPEND = text(
    f"""
    SELECT CAST(min(spend_minor) AS bigint) FROM (
        SELECT spend_minor, row_number() OVER (ORDER BY spend_minor DESC) AS place, count(*) OVER () AS member_count
        FROM (
            SELECT sum(net_minor) AS spend_minor
            FROM ({_NET_OF_PURCHASES.format(whose="", since=":window_start_time")}) AS bought
            JOIN member_links USING (member_id)
            GROUP BY member_id HAVING sum(net_minor) > 0
        ) AS spent
    ) AS placed
    WHERE place <= floor(member_count * CAST(:top_percent AS numeric) / 100)
    """  # noqa: S608 - constants only
)

# Which day is computed from now on, from its first member, and who is among the top?
_BEGIN_NIGHT = text("UPDATE tier_state SET walk_day = :day, walk_member_id = 0, top_spend_minor = :top_spend_minor")

# Which members come next?
_NEXT_MEMBERS = text("SELECT member_id FROM member_links WHERE member_id > :after ORDER BY member_id LIMIT :most")

# Up to which member is the night computed?
_MOVE_NIGHT = text("UPDATE tier_state SET walk_member_id = :member_id")

# Which day is computed for everybody?
_END_NIGHT = text("UPDATE tier_state SET done_day = :day, done_time = :now")


@dataclass(frozen=True, slots=True)
class Lane:
    """Transactions of one size, and when their members' tiers are computed.

    Attributes:
        least_count: They wrote so many ledger rows or more ...
        most_count: ... and so many or fewer.
        quiet: Tiers are computed once no such transaction was made for so long ...
        longest_wait: ... or the first waits for so long.
    """

    least_count: int
    most_count: int
    quiet: timedelta
    longest_wait: timedelta


@dataclass(frozen=True, slots=True)
class Night:
    """How far the nightly computation is.

    Attributes:
        done_day: The last day that is computed for everybody; None before the first.
        done_time: When that was done.
        walk_day: The day that is being computed, or was last; None before the first.
        walk_member_id: It is computed for the members up to this one.
    """

    done_day: date | None
    done_time: datetime | None
    walk_day: date | None
    walk_member_id: int


class TierRepository:
    """Computes and writes tiers.

    Args:
        rules: What each tier asks for.
    """

    def __init__(self, rules: TierRules) -> None:
        self._rules = rules
        self._thresholds: dict[str, Any] = {
            "inner_circle_spend_minor": rules.inner_circle_spend_minor,
            "elite_spend_minor": rules.elite_spend_minor,
            "elite_categories": rules.elite_categories,
            "vip_spend_minor": rules.vip_spend_minor,
            "vip_categories": rules.vip_categories,
        }

    async def standing(self, connection: ReadConnection, user_id: UUID, window_start: datetime) -> Standing | None:
        """Returns where a user stands, from the ledger as it is; None when there is no such user."""
        values = {"user_id": user_id, "window_start_time": window_start, **self._thresholds}
        row = await connection.fetchrow(_STANDING, *(values[name] for name in _POSITIONS))
        if row is None:
            return None
        net_spend_minor, category_count, tier, pinned, top_spend_minor = row
        return Standing(net_spend_minor, category_count, Tier(tier), pinned, top_spend_minor)

    async def lock(self, tx: Transaction) -> None:
        """Makes whoever else computes tiers wait until this transaction ends."""
        await tx.execute(_LOCK)

    async def tier_of_spending(self, tx: Transaction, user_id: UUID, window_start: datetime) -> tuple[Tier, bool]:
        """Returns the tier of a user's spending, and whether an admin set her tier. The caller holds the lock."""
        values = {"user_id": user_id, "window_start_time": window_start, **self._thresholds}
        row = (await tx.execute(_TIER_OF_SPENDING, values)).one()
        return Tier(row.tier), row.tier_pinned

    async def change(
        self, tx: Transaction, member_ids: Sequence[int], window_start: datetime, now: datetime
    ) -> Sequence[TierChange]:
        """Gives each of these members the tier of her spending, unless an admin set it. The caller holds the lock."""
        values = {"member_ids": member_ids, "window_start_time": window_start, "now": now, **self._thresholds}
        changed = await tx.execute(_CHANGE, values)
        return [TierChange(row.id, Tier(row.before), Tier(row.after)) for row in changed]

    async def any_due(self, connection: ReadConnection, lane: Lane, now: datetime) -> bool:
        """Tells whether it is time to compute the tiers of a lane."""
        instants = (now - lane.quiet, now - lane.longest_wait)
        due: bool = await connection.fetchval(_ANY_DUE, lane.least_count, lane.most_count, *instants)
        return due

    async def take_due(
        self, tx: Transaction, lane: Lane, most_entries: int, window_start: datetime
    ) -> tuple[Sequence[int], bool]:
        """Takes transactions of a lane off the queue, with `most_entries` ledger rows unless one alone has more.

        Returns:
            The members they concern, and whether there was any transaction.
        """
        taken = {"least_count": lane.least_count, "most_count": lane.most_count, "most_entries": most_entries}
        outbox_ids = (await tx.execute(_TAKE_DUE, taken)).scalars().all()
        if not outbox_ids:
            return (), False
        values = {"outbox_ids": outbox_ids, "window_start_time": window_start}
        return (await tx.execute(_DUE_MEMBERS, values)).scalars().all(), True

    async def lock_night(self, tx: Transaction) -> Night | None:
        """Returns how far the night is, or None while another server computes it."""
        if not (await tx.execute(_LOCK_NIGHT)).scalar_one():
            return None
        row = (await tx.execute(text(_NIGHT))).one()
        return Night(row.done_day, row.done_time, row.walk_day, row.walk_member_id)

    async def standing_of_night(self, connection: ReadConnection) -> Night:
        """Returns how far the night is, whoever computes it.

        Raises:
            LookupError: The table of one row has none.
        """
        row = await connection.fetchrow(_NIGHT)
        if row is None:
            raise LookupError("the state of the tiers has one row")
        return Night(*row)

    async def begin_night(self, tx: Transaction, day: date, window_start: datetime) -> None:
        """Finds out who is among the top, and begins with the first member."""
        await tx.execute(_WITHOUT_TIMEOUT)
        values = {"window_start_time": window_start, "top_percent": str(self._rules.elite_top_percent)}
        top_spend_minor = (await tx.execute(_TOP_SPEND, values)).scalar_one()
        await tx.execute(_BEGIN_NIGHT, {"day": day, "top_spend_minor": top_spend_minor})

    async def next_members(self, tx: Transaction, after: int, most: int) -> Sequence[int]:
        """Returns the members that come after one, in order."""
        return (await tx.execute(_NEXT_MEMBERS, {"after": after, "most": most})).scalars().all()

    async def move_night(self, tx: Transaction, member_id: int) -> None:
        """Says that the night is computed up to a member."""
        await tx.execute(_MOVE_NIGHT, {"member_id": member_id})

    async def end_night(self, tx: Transaction, day: date, now: datetime) -> None:
        """Says that a day is computed for everybody."""
        await tx.execute(_END_NIGHT, {"day": day, "now": now})
