"""What is known of one member: her place in a snapshot and her churn probability."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from svoykrug_server.analytics.churn.model import MemberScore, Scoring
from svoykrug_server.analytics.history import MOST_STEPS, MemberHistory, Place, steps_of
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import MemberRow, Snapshot
from svoykrug_server.analytics.ports import Watermarks
from svoykrug_server.analytics.published_rows import PublishedRows
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import NotFound, PermissionDenied


class ChurnScores(Protocol):
    """Knows how likely a member is to leave."""

    async def latest_score(
        self, business_id: UUID | None, member_id: int, as_of: datetime | None
    ) -> tuple[Scoring, MemberScore] | None:
        """Returns what the latest forecast of a scope says of a member, or None.

        Args:
            business_id: The business; None for the circle.
            member_id: The warehouse's number for her.
            as_of: Only a forecast that had been published by this instant; None for any.
        """
        ...


@dataclass(frozen=True, slots=True)
class MemberInsight:
    """What is known of a member in one scope.

    Attributes:
        user_id: The user.
        snapshot: The snapshot that was looked at; None when there is none.
        row: Her place in it; None when it does not hold her.
        score: The forecast and what it says of her; None when there is none, or it does not hold her.
        watermark: How far the warehouse is.
    """

    user_id: UUID
    snapshot: Snapshot | None
    row: MemberRow | None
    score: tuple[Scoring, MemberScore] | None
    watermark: datetime | None


class InsightService:
    """Members as owners, admins and services see them.

    Args:
        repository: Which snapshots there are, and who is who.
        warehouse: The rows of snapshots.
        churn_scores: How likely a member is to leave.
        watermarks: How far the warehouse is.
        kept: From when on purchases are held.
        zone: The circle's time zone.
    """

    def __init__(
        self,
        repository: SnapshotRepository,
        warehouse: PublishedRows,
        churn_scores: ChurnScores,
        watermarks: Watermarks,
        kept: KeptHistory,
        zone: ZoneInfo,
    ) -> None:
        self._repository = repository
        self._warehouse = warehouse
        self._churn_scores = churn_scores
        self._watermarks = watermarks
        self._kept = kept
        self._zone = zone

    async def get(
        self, caller: Caller, business_id: UUID | None, user_id: UUID, as_of: datetime | None
    ) -> MemberInsight:
        """Returns what was known of a member at an instant: neither place nor score of who bought only since then.

        Args:
            caller: Who asks.
            business_id: The scope; None for the circle.
            user_id: The user.
            as_of: The latest snapshot of what had arrived by then, and the latest forecast published by then; None for
                the latest of all.

        Raises:
            PermissionDenied: She never bought at this business, or there is no such user: an owner cannot tell which.
            NotFound: There is no such user, said to admins and services.
        """
        member_id = await self._member_id(caller, user_id)
        snapshot = await self._repository.latest(business_id, as_of, as_of)
        row = None if snapshot is None else await self._warehouse.member(snapshot, member_id)
        score = await self._churn_scores.latest_score(business_id, member_id, as_of)
        if row is None and score is None:
            await self._refuse_stranger(caller, business_id, member_id)
        return MemberInsight(user_id, snapshot, row, score, await self._watermarks.watermark())

    async def history(self, caller: Caller, business_id: UUID | None, user_id: UUID) -> MemberHistory:
        """Returns a member's segment in each of the last snapshots of the usual window, and why it changed.

        Each is told by what had arrived when its snapshot was computed, and knows more than the one before it. A
        snapshot of a time from which not every purchase is held is left out: its cause could not be told.

        Args:
            caller: Who asks.
            business_id: The scope; None for the circle.
            user_id: The user.

        Raises:
            PermissionDenied: She never bought at this business, or there is no such user: an owner cannot tell which.
            NotFound: There is no such user, said to admins and services.
        """
        member_id = await self._member_id(caller, user_id)
        earliest = await self._kept.earliest()
        latest = (await self._repository.of_history(business_id, MOST_STEPS))[::-1]
        snapshots = [each for each in latest if earliest is None or each.plan.cutoff >= earliest]
        rows, entries = await self._warehouse.history(business_id, snapshots, member_id)
        if not rows and not entries:
            await self._refuse_stranger(caller, business_id, member_id)
        places = [Place(snapshot, rows.get(snapshot.build_id)) for snapshot in snapshots]
        return MemberHistory(steps_of(places, entries, self._zone), await self._watermarks.watermark())

    async def _refuse_stranger(self, caller: Caller, business_id: UUID | None, member_id: int) -> None:
        if not _sees_all(caller) and not await self._repository.has_bought(business_id, member_id):
            raise PermissionDenied

    async def _member_id(self, caller: Caller, user_id: UUID) -> int:
        member_id = await self._repository.member_id_of(user_id)
        if member_id is None:
            raise NotFound if _sees_all(caller) else PermissionDenied
        return member_id


def _sees_all(caller: Caller) -> bool:
    return caller.is_admin or caller.is_service
