"""Words of snapshots: what is asked for, what is published, and the figures read from it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from svoykrug_server.analytics.segments import Segment
from svoykrug_server.analytics.standing import HELD, Standing

DEFAULT_WINDOW_DAYS = 365
SMALLEST_GROUP = 5
"""A partner never sees a group smaller than this in an aggregate across businesses."""


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """What a snapshot is to be computed from; together with the rules it determines every row.

    Attributes:
        id: The id the snapshot will have.
        business_id: The business it covers; None for the circle, which leaves sensitive businesses out.
        cutoff: Purchases and refunds before this instant count.
        window_days: How many days before the cutoff count for frequency and monetary value.
        watermark: What was ingested by then is known, and nothing later: the warehouse holds all of it.
        rules_version: The rules of scores and segments.

    Raises:
        ValueError: The window is empty, or the cutoff lies behind the watermark.
    """

    id: UUID
    business_id: UUID | None
    cutoff: datetime
    window_days: int
    watermark: datetime
    rules_version: str

    def __post_init__(self) -> None:
        if self.window_days < 1:
            raise ValueError("a window has at least one day")
        if self.cutoff > self.watermark:
            raise ValueError("a cutoff is never later than the watermark")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A published snapshot: immutable.

    Attributes:
        plan: What it was computed from.
        build_id: Names its rows in the warehouse.
        member_count: How many members it holds.
        publish_time: When it became visible.
        standing: Whether its rows are known to be gone.
    """

    plan: SnapshotPlan
    build_id: UUID
    member_count: int
    publish_time: datetime
    standing: Standing = HELD

    @property
    def id(self) -> UUID:
        """The snapshot's id."""
        return self.plan.id


@dataclass(frozen=True, slots=True)
class BuildContents:
    """What a finished build holds, read back from the warehouse.

    Attributes:
        member_count: How many rows.
        content_hash: The sum modulo 2^64 of the hashes of its rows, whatever their order.
    """

    member_count: int
    content_hash: int


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member in a snapshot.

    Attributes:
        member_id: The warehouse's number for her.
        segment: Her segment.
        recency_days: Days in the circle's zone from her last purchase to the cutoff.
        purchase_count: Purchases in the window that were not fully refunded.
        net_spend_minor: Their sum less refunds.
        recency_score: 1 to 5; 5 is the latest.
        frequency_score: 1 to 5.
        monetary_score: 1 to 5.
    """

    member_id: int
    segment: Segment
    recency_days: int
    purchase_count: int
    net_spend_minor: int
    recency_score: int
    frequency_score: int
    monetary_score: int


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """The figures of one segment.

    Attributes:
        segment: The segment.
        member_count: How many members it has.
        net_spend_minor: Their net sum in the window.
        purchase_count: Their purchases in the window.
        mean_recency_days: The mean of their recency; 0 when it is empty.
        withheld: Whether the figures are withheld and therefore 0.
    """

    segment: Segment
    member_count: int = 0
    net_spend_minor: int = 0
    purchase_count: int = 0
    mean_recency_days: float = 0.0
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class SegmentMovement:
    """How many members went from one segment to another between two snapshots; None is being in no segment."""

    from_segment: Segment | None
    to_segment: Segment | None
    member_count: int


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """A page of snapshots, the latest cutoff first."""

    snapshots: tuple[Snapshot, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """All eleven segments of a snapshot, and how far the warehouse is."""

    snapshot: Snapshot
    segments: tuple[SegmentFigures, ...]
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class MemberPage:
    """Some members of a snapshot, the highest net spend first.

    Attributes:
        snapshot: What they are of.
        members: Each with the user's id; None once she has been erased.
        next_page_token: Empty on the last page.
        watermark: How far the warehouse is.
    """

    snapshot: Snapshot
    members: tuple[tuple[UUID | None, MemberRow], ...]
    next_page_token: str
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class Movements:
    """Every way that members went between two snapshots, and how far the warehouse is."""

    movements: tuple[SegmentMovement, ...]
    watermark: datetime | None
