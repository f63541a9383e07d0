"""How a member went from segment to segment, and why: her own doing, time, or what the others did.

Every step is what its snapshot knew: what had arrived by its watermark. Each knows more than the one before, so that
what changed is what became known in between. The cause compares two steps: the scores that moved, her own figures, and
the entries of the ledger that the later snapshot knew and the earlier one did not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum, auto
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

from svoykrug_server.analytics.model import MemberRow, Snapshot
from svoykrug_server.analytics.segments import Segment

MOST_STEPS = 120


class Cause(Enum):
    """Why a segment changed."""

    BOUGHT = auto()
    GAVE_BACK = auto()
    SILENT = auto()
    AGED = auto()
    NO_LONGER_NEW = auto()
    OTHERS_ROSE = auto()
    OTHERS_FELL = auto()
    RULES_CHANGED = auto()


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A purchase of hers, or what took one back.

    Attributes:
        is_purchase: False for a refund and for a reversal.
        happen_time: When it happened.
        ingest_time: From when on it may be known.
    """

    is_purchase: bool
    happen_time: datetime
    ingest_time: datetime

    def known_to(self, snapshot: Snapshot) -> bool:
        """Tells whether a snapshot was computed from it."""
        return self.happen_time < snapshot.plan.cutoff and self.ingest_time <= snapshot.plan.watermark


@dataclass(frozen=True, slots=True)
class Change:
    """Why a segment changed, with what a reader wants to know of it.

    Attributes:
        cause: Why.
        days: Days without a purchase, or the length of the window.
        purchase_count: Purchases that became known in between.
        before: Her scores before: recency, frequency, monetary; zeros when she was in no segment.
        after: Her scores after.
    """

    cause: Cause
    days: int
    purchase_count: int
    before: tuple[int, int, int]
    after: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """A member in one snapshot.

    Attributes:
        snapshot_id: The snapshot.
        cutoff_day: The day of its cutoff in the circle's zone.
        segment: Her segment; None when it does not hold her.
        change: Why it changed since the step before; None when it did not.
        known_time: It is told by what had arrived by then.
    """

    snapshot_id: UUID
    cutoff_day: date
    segment: Segment | None
    change: Change | None
    known_time: datetime


@dataclass(frozen=True, slots=True)
class MemberHistory:
    """A member's steps, the earliest first, and how far the warehouse is."""

    steps: tuple[Step, ...]
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """Her row in a snapshot; None when it does not hold her."""

    snapshot: Snapshot
    row: MemberRow | None

    def day(self, zone: ZoneInfo) -> date:
        """Returns the day of the cutoff in a zone."""
        return self.snapshot.plan.cutoff.astimezone(zone).date()


def steps_of(places: Sequence[Place], entries: Sequence[LedgerEntry], zone: ZoneInfo) -> tuple[Step, ...]:
    """Returns the steps of a member.

    Args:
        places: Her places, the earliest cutoff first.
        entries: Her entries in the ledger of the scope.
        zone: The circle's time zone.
    """
    changes: list[Change | None] = [None] * min(1, len(places))
    changes += [_change(before, after, entries, zone) for before, after in pairwise(places)]
    return tuple(
        Step(
            place.snapshot.id,
            place.day(zone),
            None if place.row is None else place.row.segment,
            change,
            place.snapshot.plan.watermark,
        )
        for place, change in zip(places, changes, strict=True)
    )


def _change(before: Place, after: Place, entries: Sequence[LedgerEntry], zone: ZoneInfo) -> Change | None:
    old, new = before.row, after.row
    if (None if old is None else old.segment) == (None if new is None else new.segment):
        return None
    fresh = [entry for entry in entries if entry.known_to(after.snapshot) and not entry.known_to(before.snapshot)]
    bought = sum(entry.is_purchase for entry in fresh)
    gave_back = len(fresh) > bought
    elapsed_days = (after.day(zone) - before.day(zone)).days
    window_days = after.snapshot.plan.window_days
    if old is None or new is None:
        silent_days = 0 if old is None else old.recency_days + elapsed_days
        cause = Cause.BOUGHT if old is None else _why_left(silent_days, window_days, gave_back=gave_back)
        return Change(cause, silent_days, bought, _scores(old), _scores(new))
    same_rules = before.snapshot.plan.rules_version == after.snapshot.plan.rules_version
    cause = _why_moved(old, new, elapsed_days, bought > 0, gave_back) if same_rules else Cause.RULES_CHANGED
    days = new.recency_days if cause is Cause.SILENT else window_days
    return Change(cause, days, bought, _scores(old), _scores(new))


def _why_left(silent_days: int, window_days: int, *, gave_back: bool) -> Cause:
    """Returns why a snapshot holds her no more: nothing within the window was bought, or nothing of it was kept."""
    return Cause.GAVE_BACK if gave_back and silent_days < window_days else Cause.SILENT


def _why_moved(old: MemberRow, new: MemberRow, elapsed_days: int, bought: bool, gave_back: bool) -> Cause:
    """Returns why a member of both snapshots is in another segment: what she did comes before what time did."""
    rose = any(after > before for before, after in zip(_scores(old), _scores(new), strict=True))
    fell = any(after < before for before, after in zip(_scores(old), _scores(new), strict=True))
    less = new.purchase_count < old.purchase_count or new.net_spend_minor < old.net_spend_minor
    more = new.purchase_count > old.purchase_count or new.net_spend_minor > old.net_spend_minor
    bought_later = new.recency_days < old.recency_days + elapsed_days
    causes = (
        (bought and rose and (bought_later or more), Cause.BOUGHT),
        (gave_back and fell and (less or new.recency_days > old.recency_days + elapsed_days), Cause.GAVE_BACK),
        (new.recency_score < old.recency_score and new.recency_days > old.recency_days, Cause.SILENT),
        (less and fell, Cause.AGED),
        (not rose and not fell and old.segment is Segment.NEW, Cause.NO_LONGER_NEW),
        (rose and not fell, Cause.OTHERS_FELL),
        (fell, Cause.OTHERS_ROSE),
        (bought, Cause.BOUGHT),
    )
    return next((cause for holds, cause in causes if holds), Cause.GAVE_BACK)


def _scores(row: MemberRow | None) -> tuple[int, int, int]:
    return (0, 0, 0) if row is None else (row.recency_score, row.frequency_score, row.monetary_score)
