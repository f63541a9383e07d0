"""What churn reads from and writes to ClickHouse.

The population stays there: Python gets members x columns, block by block. `statements` says what counts and what is
known when.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from svoykrug_server.analytics.build_rows import CHURN_SCORES, SNAPSHOT_MEMBERS, Build, BuildRows
from svoykrug_server.analytics.churn.model import MemberScore, Reason, Scoring
from svoykrug_server.analytics.churn.statements import (
    AT_RISK,
    BEGUN,
    BUILDS,
    CLEAR,
    CONTENTS,
    COUNT,
    GRADED_BLOCK,
    ONE,
    SCORING_BLOCK,
    USUAL_GAP,
    WINDOW,
)
from svoykrug_server.analytics.model import BuildContents, Snapshot
from svoykrug_server.analytics.rows_read import RowsRead
from svoykrug_server.analytics.value.model import MemberValue
from svoykrug_server.storage.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

_MEMBER_IDS = 1 << 63
"""Member ids are random below this: equal ranges are equal shares of the members, in the order of the table."""
_SCORE_COLUMNS = 7
"""How many columns of a member's row are her score; the rest is what she is expected to buy."""
_KEPT_SCORES = 2_000
"""So many members' scores are kept, the last asked for: some 2.5 MB."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose purchases are read.

    Attributes:
        business_id: The business; None for the circle.
        watermark: Nothing ingested later is read.
        begin_times: When something of each of its businesses was ingested first: what had happened before is known at
            every cutoff, whenever it was brought along.
    """

    business_id: UUID | None
    watermark: datetime
    begin_times: Mapping[UUID, datetime] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        """Returns the values of the statements."""
        return {
            "has_business": int(self.business_id is not None),
            "business_id": self.business_id or UUID(int=0),
            "watermark_us": microseconds(self.watermark),
            "begun_ids": list(self.begin_times),
            "begun_us": [microseconds(begin_time) for begin_time in self.begin_times.values()],
        }


@dataclass(frozen=True, slots=True)
class Block:
    """A range of member ids, both ends included."""

    first_member_id: int
    last_member_id: int

    def parameters(self) -> dict[str, Any]:
        """Returns the values of the statements."""
        return {"first_member_id": self.first_member_id, "last_member_id": self.last_member_id}


def blocks(count: int) -> list[Block]:
    """Returns so many equal ranges that hold every member id."""
    edges = [_MEMBER_IDS * number // count for number in range(count + 1)]
    return [Block(first, last - 1) for first, last in pairwise(edges)]


def sample(share: float) -> Block:
    """Returns a range that holds this share of the members: a random sample, since their ids are random."""
    return Block(0, int(_MEMBER_IDS * min(1.0, share)) - 1)


def microseconds(instant: datetime) -> int:
    """Returns the microseconds since 1970 of an aware instant."""
    whole = instant.replace(microsecond=0)
    return int(whole.timestamp()) * 1_000_000 + instant.microsecond


class ChurnWarehouse:
    """What churn reads from and writes to the warehouse.

    Args:
        warehouse: The warehouse.
        zone: The circle's time zone: a day is a day there.
    """

    def __init__(self, warehouse: Warehouse, zone: ZoneInfo) -> None:
        self._warehouse = warehouse
        self._zone = zone.key
        self._scores, self._segments = BuildRows(warehouse, CHURN_SCORES), BuildRows(warehouse, SNAPSHOT_MEMBERS)
        self._read = RowsRead[MemberScore](_KEPT_SCORES)

    async def scope(self, business_id: UUID | None, watermark: datetime) -> Scope:
        """Returns a business, or the circle, with when each of its businesses began.

        Args:
            business_id: The business; None for the circle.
            watermark: Nothing ingested later is read.
        """
        scope = Scope(business_id, watermark)
        return replace(scope, begin_times=dict(await self._warehouse.query(BEGUN, scope.parameters(), background=True)))

    async def member_count(self, scope: Scope, cutoff: datetime) -> int:
        """Returns about how many members bought in a scope before a cutoff."""
        values = self._at(scope, cutoff)
        count: int = (await self._warehouse.query(COUNT, values, background=True))[0][0]
        return count

    async def usual_gap(self, scope: Scope, cutoff: datetime) -> tuple[int, float]:
        """Returns how many members bought repeatedly, and the mean gap in days that nine of ten of them stay below."""
        values = self._at(scope, cutoff)
        count, gap = (await self._warehouse.query(USUAL_GAP, values, background=True))[0]
        return int(count), float(gap)

    async def window(
        self,
        scope: Scope,
        cutoff: datetime,
        horizon_days: int,
        population_days: int,
        block: Block,
    ) -> "pa.Table":
        """Returns `member_id`, the columns `features.RAW`, `net_spend_minor`, `churned` and what came later of a block.

        `later_days` are days with a purchase in the window after the cutoff, `later_spend_minor` what was spent there.

        Args:
            scope: Whose purchases.
            cutoff: What is known at it is read.
            horizon_days: The length of the window after the cutoff.
            population_days: Members with a purchase within this many days; 0 for everyone.
            block: Which members.
        """
        values = self._features(scope, cutoff, horizon_days, population_days, block)
        return await self._warehouse.query_arrow(WINDOW, values, background=True)

    async def scoring_block(
        self,
        scope: Scope,
        cutoff: datetime,
        horizon_days: int,
        population_days: int,
        block: Block,
        build_id: UUID | None,
    ) -> "pa.Table":
        """Returns `member_id`, the columns `features.RAW`, `net_spend_minor` and `segment` (0 for none) of a block.

        Args:
            scope: Whose purchases.
            cutoff: What is known at it is read.
            horizon_days: The model's horizon, the unit of the features.
            population_days: Members with a purchase within this many days; 0 for everyone.
            block: Which members.
            build_id: The rows of the snapshot that says the segments; None when there is no snapshot.
        """
        values = self._features(scope, cutoff, horizon_days, population_days, block)
        values["build_id"] = build_id or UUID(int=0)
        return await self._warehouse.query_arrow(SCORING_BLOCK, values, background=True)

    async def graded_block(self, scope: Scope, scoring: Scoring, block: Block) -> "pa.Table":
        """Returns `probability` and `churned` of a block of a scoring."""
        cutoff = scoring.plan.cutoff
        values = self._features(scope, cutoff, scoring.horizon_days, 0, block)
        return await self._warehouse.query_arrow(GRADED_BLOCK, values | _published(scoring), background=True)

    async def contents(self, scoring_id: UUID, build_id: UUID) -> BuildContents:
        """Returns how many rows an attempt of a scoring has written, and their hash."""
        values = {"scoring_id": scoring_id, "build_id": build_id}
        row = (await self._warehouse.query(CONTENTS, values, background=True))[0]
        return BuildContents(int(row[0]), int(row[1]))

    async def refuse_without_segments(self, snapshot: Snapshot) -> None:
        """Refuses a snapshot of whose rows the warehouse has lost any: somebody's segment would not be known.

        Raises:
            Unavailable: RESULT_BEING_REMADE.
        """
        segments = Build(snapshot.build_id, snapshot.build_id, snapshot.member_count)
        await self._segments.refuse_partial([segments], anew=True)

    async def insert_scores(self, rows: "pa.Table", token: str) -> None:
        """Adds a block of a scoring, once however often it is repeated."""
        await self._warehouse.insert_arrow("churn_scores", rows, token)

    async def clear(self, scoring_id: UUID, build_id: UUID) -> None:
        """Removes what an attempt of a scoring has written."""
        await self._warehouse.command(CLEAR, {"scoring_id": scoring_id, "build_id": build_id}, background=True)

    async def clear_others(self, scoring_id: UUID, build_id: UUID) -> None:
        """Removes what all other attempts of a scoring have written."""
        for (other,) in await self._warehouse.query(BUILDS, {"scoring_id": scoring_id}, background=True):
            if other != build_id:
                await self.clear(scoring_id, other)

    async def at_risk(
        self, scoring: Scoring, min_probability: float, after: tuple[int, int] | None, limit: int
    ) -> list[MemberScore]:
        """Returns members of a scoring, the likeliest to leave first.

        Args:
            scoring: The scoring.
            min_probability: Only members at least this likely to leave.
            after: Bits of the probability and the id of the last member of the page before; None for the first page.
            limit: How many at most.

        Raises:
            Unavailable: RESULT_BEING_REMADE, its rows are gone and are being made again.
            FailedPrecondition: RESULT_LOST, they cannot be made again.
        """
        scoring.standing.refuse_gone()
        bits, member_id = after or (0, 0)
        values = {
            **_published(scoring),
            "min_probability": min_probability,
            "has_position": int(after is not None),
            "after_bits": bits,
            "after_member_id": member_id,
            "limit": limit,
        }
        rows = await self._warehouse.query(AT_RISK, values)
        await self._refuse_partial(scoring, anew=not rows)
        return _scores(rows)

    async def score_of(self, scoring: Scoring, member_id: int) -> MemberScore | None:
        """Returns what a scoring said of one member and expected her to buy, or None.

        Raises:
            Unavailable: RESULT_BEING_REMADE, its rows are gone and are being made again.
            FailedPrecondition: RESULT_LOST, they cannot be made again.
        """
        scoring.standing.refuse_gone()
        score = kept = self._read.get(scoring.build_id, member_id)
        if kept is None:
            rows = await self._warehouse.query(ONE, {**_published(scoring), "member_id": member_id})
            score = _score_and_value(rows[0]) if rows else None
        await self._refuse_partial(scoring, anew=score is None)
        if kept is None and score is not None:
            self._read.keep(scoring.build_id, member_id, score)
        return score

    async def _refuse_partial(self, scoring: Scoring, *, anew: bool) -> None:
        """Refuses a scoring that lacks rows, as last seen a moment ago or anew."""
        scores = Build(scoring.plan.scoring_id, scoring.build_id, scoring.scored_count)
        await self._scores.refuse_partial([scores], anew=anew)

    def _at(self, scope: Scope, cutoff: datetime) -> dict[str, Any]:
        return {
            **scope.parameters(),
            "zone": self._zone,
            "cutoff_us": microseconds(cutoff),
        }

    def _features(
        self,
        scope: Scope,
        cutoff: datetime,
        horizon_days: int,
        population_days: int,
        block: Block,
    ) -> dict[str, Any]:
        return {
            **self._at(scope, cutoff),
            **block.parameters(),
            "horizon_end_us": microseconds(cutoff) + horizon_days * 86_400_000_000,
            "horizon_days": horizon_days,
            "population_days": population_days,
        }


def _published(scoring: Scoring) -> dict[str, Any]:
    return {"scoring_id": scoring.plan.scoring_id, "build_id": scoring.build_id}


def _scores(rows: Sequence[tuple[Any, ...]]) -> list[MemberScore]:
    return [
        MemberScore(
            member_id=member_id,
            probability=probability,
            net_spend_minor=net_spend_minor,
            reasons=tuple(Reason(*reason) for reason in zip(*reasons, strict=True)),
        )
        for member_id, probability, net_spend_minor, *reasons in rows
    ]


def _score_and_value(row: tuple[Any, ...]) -> MemberScore:
    (score,) = _scores([row[:_SCORE_COLUMNS]])
    expected = row[_SCORE_COLUMNS:]
    return score if expected[0] is None else replace(score, value=MemberValue(*expected))
