"""Use cases of scores: score a scope, list who is at risk, read one member's score and what became of forecasts."""

import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from svoykrug_server.analytics.churn import scoring
from svoykrug_server.analytics.churn.model import ForecastReceipt, MemberScore, Scoring
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.analytics.churn.starts import OperationStarts, refuse_ahead
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse
from svoykrug_server.analytics.ports import Operation, Watermarks
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition, NotFound, PermissionDenied
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens, page_size

DEFAULT_MEMBERS = 50
MAX_MEMBERS = 1_000
DEFAULT_RECEIPTS = 20
MAX_RECEIPTS = 100


@dataclass(frozen=True, slots=True)
class NewScoring:
    """What a caller asks to be scored.

    Attributes:
        business_id: The business; None for the circle.
        cutoff: What may be known; None for the watermark. Of one long past comes a backtest and no forecast.
        request_id: Makes the call repeatable.
    """

    business_id: UUID | None
    cutoff: datetime | None
    request_id: UUID


@dataclass(frozen=True, slots=True)
class AskedScores:
    """Whose scores a caller asks for.

    Attributes:
        business_id: The business; None for the circle.
        scoring_id: The scoring, also a backtest; None for the latest forecast.
    """

    business_id: UUID | None
    scoring_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AtRiskPage:
    """A page of members at risk.

    Attributes:
        scoring: The scoring they are of.
        members: The likeliest to leave first, each with her user id; None once she has been erased.
        next_page_token: Empty on the last page.
        watermark: How far the warehouse is; None before the first proof.
    """

    scoring: Scoring
    members: tuple[tuple[UUID | None, MemberScore], ...]
    next_page_token: str
    watermark: datetime | None


class RiskService:
    """Scores and what became of them, as callers see them.

    Args:
        repository: Models, scorings and receipts.
        warehouse: The scores.
        members: Who is who.
        starts: Queues the work.
        watermarks: How far the warehouse is.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
    """

    def __init__(
        self,
        repository: ChurnRepository,
        warehouse: ChurnWarehouse,
        members: SnapshotRepository,
        starts: OperationStarts,
        watermarks: Watermarks,
        page_tokens: PageTokens,
        clock: Clock,
    ) -> None:
        self._repository = repository
        self._warehouse = warehouse
        self._members = members
        self._starts = starts
        self._watermarks = watermarks
        self._page_tokens = page_tokens
        self._clock = clock

    async def score(self, caller: Caller, asked: NewScoring) -> Operation:
        """Queues the scoring of a scope by its serving model; the same request id again returns the first operation.

        Raises:
            FailedPrecondition: NO_SERVING_MODEL; or CUTOFF_AHEAD_OF_WATERMARK.
            InvalidFields: REQUEST_ID_REUSED.
        """
        watermark = await self._starts.watermark()
        cutoff = asked.cutoff or watermark
        refuse_ahead(cutoff, watermark)
        serving = await self._repository.serving_model(asked.business_id)
        if serving is None:
            raise FailedPrecondition("NO_SERVING_MODEL")
        body: dict[str, Any] = {
            "business_id": _text(asked.business_id),
            "cutoff_time": None if asked.cutoff is None else asked.cutoff.isoformat(),
        }
        made = {
            "scoring_id": str(uuid7(self._clock.now())),
            "churn_model_id": str(serving.id),
            "cutoff_time": cutoff.isoformat(),
            "watermark": watermark.isoformat(),
        }
        return await self._starts.start(caller, "ScoreMembers", asked.request_id, scoring.KIND, body, made)

    async def at_risk_page(
        self, caller: Caller, asked: AskedScores, min_probability: float, asked_size: int, page_token: str
    ) -> AtRiskPage:
        """Returns a page of a scoring, the likeliest to leave first; the next pages stay with the scoring of the first.

        Raises:
            FailedPrecondition: NOT_SCORED_YET, there is no forecast.
            InvalidFields: The page size is negative, or the token was made for another list.
            PermissionDenied: There is no such scoring in this scope.
            NotFound: The same, said to admins and services.
        """
        size = page_size(asked_size, default=DEFAULT_MEMBERS, most=MAX_MEMBERS)
        listing = f"at risk {asked.business_id} {asked.scoring_id} {min_probability!r}"
        position = self._page_tokens.read(listing, page_token)
        scoring_id, after = asked.scoring_id, None
        if position is not None:
            scoring_id, after = UUID(str(position[0])), (int(position[1]), int(position[2]))
        found = await self._scoring(caller, asked.business_id, scoring_id)
        rows = await self._warehouse.at_risk(found, min_probability, after, size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            position = [str(found.plan.scoring_id), _bits(last.probability), last.member_id]
            token = self._page_tokens.make(listing, position)
        return await self._at_risk(found, rows[:size], token)

    async def latest_score(
        self, business_id: UUID | None, member_id: int, as_of: datetime | None
    ) -> tuple[Scoring, MemberScore] | None:
        """Returns what the latest forecast of a scope says of a member, or None.

        Args:
            business_id: The business; None for the circle.
            member_id: The warehouse's number for her.
            as_of: Only a forecast that had been published by this instant; None for any.
        """
        found = await self._repository.latest_forecast(business_id, as_of)
        if found is None:
            return None
        score = await self._warehouse.score_of(found, member_id)
        return None if score is None else (found, score)

    async def list_receipts(
        self, business_id: UUID | None, asked_size: int, page_token: str, *, backtests: bool = False
    ) -> tuple[list[ForecastReceipt], str]:
        """Returns a page of graded forecasts of a scope, the latest cutoff first, and the token of the next page.

        Args:
            business_id: The business; None for the circle.
            asked_size: How many to return.
            page_token: Where the page before ended.
            backtests: Whether backtests are among them.

        Raises:
            InvalidFields: The page size is negative, or the token was made for another list.
        """
        size = page_size(asked_size, default=DEFAULT_RECEIPTS, most=MAX_RECEIPTS)
        listing = f"forecast receipts {business_id} {backtests}"
        position = self._page_tokens.read(listing, page_token)
        before = None if position is None else (datetime.fromisoformat(str(position[0])), UUID(str(position[1])))
        found = await self._repository.receipts(business_id, before, size + 1, backtests=backtests)
        token = ""
        if len(found) > size:
            last = found[size - 1].scoring.plan
            token = self._page_tokens.make(listing, [last.cutoff.isoformat(), str(last.scoring_id)])
        return found[:size], token

    async def _scoring(self, caller: Caller, business_id: UUID | None, scoring_id: UUID | None) -> Scoring:
        if scoring_id is None:
            latest = await self._repository.latest_forecast(business_id, None)
            if latest is None:
                raise FailedPrecondition("NOT_SCORED_YET")
            return latest
        named = await self._repository.find_scoring(scoring_id)
        if named is None or named.plan.business_id != business_id:
            raise NotFound if caller.is_admin or caller.is_service else PermissionDenied
        return named

    async def _at_risk(self, found: Scoring, rows: list[MemberScore], token: str) -> AtRiskPage:
        user_ids = await self._members.user_ids_of([row.member_id for row in rows])
        members = tuple((user_ids.get(row.member_id), row) for row in rows)
        return AtRiskPage(found, members, token, await self._watermarks.watermark())


def _bits(probability: float) -> int:
    """Returns the bits of a number, so that a page token holds it exactly."""
    bits: int = struct.unpack("<Q", struct.pack("<d", probability))[0]
    return bits


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)
