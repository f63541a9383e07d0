"""All PostgreSQL of snapshots: which there are, and whose member numbers are whose."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from svoykrug_server.analytics.model import DEFAULT_WINDOW_DAYS, BuildContents, Snapshot, SnapshotPlan
from svoykrug_server.analytics.standing import Standing
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.storage.schema.analytics import snapshots
from svoykrug_server.storage.schema.businesses import businesses

_NOT_LOST = "lost_time IS NULL"
_SCOPE = {True: "business_id IS NULL AND $1::uuid IS NULL", False: "business_id = $1"}

# Which snapshots of a scope show how things went: each knows more than the one before it?
_OF_HISTORY = f"""
    SELECT * FROM (
        SELECT *, min(watermark) OVER (ORDER BY cutoff_time DESC, watermark, id) AS least_watermark,
            row_number() OVER (PARTITION BY cutoff_time ORDER BY watermark, id) AS place
        FROM snapshots WHERE {{scope}} AND publish_time IS NOT NULL AND {_NOT_LOST} AND window_days = $2
    ) AS seen
    WHERE watermark = least_watermark AND place = 1
    ORDER BY cutoff_time DESC LIMIT $3
"""  # noqa: S608  only texts above


class SnapshotRepository:
    """Snapshots in PostgreSQL. One is invisible until it is published, and never changes from then on.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, tx: Transaction, plan: SnapshotPlan, now: datetime) -> None:
        """Remembers what a snapshot is to be computed from, in the transaction that queues the work."""
        # Remember a plan.
        await tx.execute(
            insert(snapshots).values(
                id=plan.id,
                business_id=plan.business_id,
                cutoff_time=plan.cutoff,
                window_days=plan.window_days,
                watermark=plan.watermark,
                rules_version=plan.rules_version,
                create_time=now,
            )
        )

    async def knows_business(self, tx: Transaction, business_id: UUID) -> bool:
        """Tells whether there is such a business."""
        # Is there such a business?
        found = await tx.execute(select(businesses.c.id).where(businesses.c.id == business_id))
        return found.first() is not None

    async def is_sensitive(self, business_id: UUID) -> bool:
        """Tells whether a business keeps its purchases secret; one that does not exist keeps none."""
        # Is this business sensitive?
        async with self._postgres.read() as connection:
            found: bool | None = await connection.fetchval(
                "SELECT sensitive FROM businesses WHERE id = $1", business_id
            )
        return found or False

    async def begin_build(
        self, snapshot_id: UUID, build_id: UUID, rules_version: str
    ) -> tuple[SnapshotPlan, UUID | None] | None:
        """Makes an attempt the one that may publish, and returns the plan and the attempt before it.

        Args:
            snapshot_id: The snapshot.
            build_id: The new attempt.
            rules_version: The rules it computes by.

        Returns:
            None where the snapshot is published already.
        """
        async with self._postgres.transaction() as tx:
            # What is to be computed, and who tried before?
            found = await tx.execute(select(snapshots).where(snapshots.c.id == snapshot_id).with_for_update())
            row = found.mappings().one()
            if row["publish_time"] is not None:
                return None
            # From now on only this attempt can publish.
            begun = await tx.execute(
                update(snapshots)
                .where(snapshots.c.id == snapshot_id)
                .values(build_id=build_id, rules_version=rules_version)
                .returning(snapshots)
            )
        return _plan(begun.mappings().one()), row["build_id"]

    async def publish(self, snapshot_id: UUID, build_id: UUID, contents: BuildContents, now: datetime) -> bool:
        """Makes a finished build visible, in one step; returns False when a later attempt has taken over.

        Args:
            snapshot_id: The snapshot.
            build_id: The attempt that wrote the rows.
            contents: What the warehouse holds of it.
            now: When.
        """
        async with self._postgres.transaction() as tx:
            # Publish it, if this attempt is still the one that may.
            published = await tx.execute(
                update(snapshots)
                .where(
                    snapshots.c.id == snapshot_id,
                    snapshots.c.build_id == build_id,
                    snapshots.c.publish_time.is_(None),
                )
                .values(publish_time=now, member_count=contents.member_count, content_hash=contents.content_hash)
            )
        return published.rowcount == 1

    async def find(self, business_id: UUID | None, snapshot_id: UUID) -> Snapshot | None:
        """Returns a published snapshot of a scope, or None."""
        async with self._postgres.read() as connection:
            # Is this a published snapshot of this scope?
            row = await connection.fetchrow(
                "SELECT * FROM snapshots WHERE id = $1 AND business_id IS NOT DISTINCT FROM $2"
                " AND publish_time IS NOT NULL",
                snapshot_id,
                business_id,
            )
        return None if row is None else _snapshot(row)

    async def latest(
        self, business_id: UUID | None, cutoff_by: datetime | None = None, known_by: datetime | None = None
    ) -> Snapshot | None:
        """Returns the snapshot of a scope and the usual window with the latest cutoff, or None.

        One that is lost for good is passed over; of several with one cutoff it is the one that knows most.

        Args:
            business_id: The business; None for the circle.
            cutoff_by: Only one whose cutoff is on or before this instant; None for any.
            known_by: Only one that knows nothing that arrived after this instant; None for any.
        """
        found = await self._list(
            business_id,
            f"{_NOT_LOST} AND window_days = $2 AND ($3::timestamptz IS NULL OR cutoff_time <= $3)"
            " AND ($4::timestamptz IS NULL OR watermark <= $4)",
            *(DEFAULT_WINDOW_DAYS, cutoff_by, known_by),
            order="cutoff_time DESC, watermark DESC, id DESC",
            limit=1,
        )
        return found[0] if found else None

    async def list_before(
        self, business_id: UUID | None, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[Snapshot]:
        """Returns snapshots of a scope, the latest cutoff first.

        Args:
            business_id: The business; None for the circle.
            before: Cutoff and id of the last one before; None for the first.
            limit: How many at most.
        """
        if before is None:
            return await self._list(business_id, "TRUE", limit=limit)
        return await self._list(business_id, "(cutoff_time, id) < ($2, $3)", *before, limit=limit)

    async def of_history(self, business_id: UUID | None, limit: int) -> list[Snapshot]:
        """Returns the last snapshots of a scope that show how things went, the latest cutoff first.

        They are of the usual window and not lost. Of several with one cutoff it is the one that knows least, and none
        knows what arrived only after a later one was computed: each knows more than the one before it.
        """
        scope = _SCOPE[business_id is None]
        async with self._postgres.read() as connection:
            rows = await connection.fetch(_OF_HISTORY.format(scope=scope), business_id, DEFAULT_WINDOW_DAYS, limit)
        return [_snapshot(row) for row in rows]

    async def _list(
        self,
        business_id: UUID | None,
        where: str,
        *values: object,
        order: str = "cutoff_time DESC, id DESC",
        limit: int,
    ) -> list[Snapshot]:
        scope = _SCOPE[business_id is None]
        async with self._postgres.read() as connection:
            # Which snapshots of this scope come next, the latest cutoff first?
            rows = await connection.fetch(
                f"SELECT * FROM snapshots WHERE {scope} AND publish_time IS NOT NULL AND ({where})"  # noqa: S608  only texts above
                f" ORDER BY {order} LIMIT ${len(values) + 2}",
                business_id,
                *values,
                limit,
            )
        return [_snapshot(row) for row in rows]

    async def member_id_of(self, user_id: UUID) -> int | None:
        """Returns the number by which the warehouse knows a user, or None; a deleted user is shown to nobody."""
        async with self._postgres.read() as connection:
            # Which member is this user?
            member_id: int | None = await connection.fetchval(
                "SELECT member_id FROM member_links JOIN users ON users.id = user_id "
                "WHERE user_id = $1 AND status <> 'deleted'",
                user_id,
            )
        return member_id

    async def has_bought(self, business_id: UUID | None, member_id: int) -> bool:
        """Tells whether a member ever bought at a business, also a moment ago; at any of them for the circle."""
        async with self._postgres.read() as connection:
            # Is there a purchase of hers?
            found: bool = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM purchase_entries"
                " WHERE member_id = $1 AND kind = 1 AND ($2::uuid IS NULL OR business_id = $2))",
                member_id,
                business_id,
            )
        return found

    async def user_ids_of(self, member_ids: Sequence[int]) -> dict[int, UUID]:
        """Returns the users behind member numbers; those that are deleted or have been erased are left out."""
        async with self._postgres.read() as connection:
            # Who are these members?
            rows = await connection.fetch(
                "SELECT member_id, user_id FROM member_links JOIN users ON users.id = user_id "
                "WHERE member_id = ANY ($1::bigint[]) AND status <> 'deleted'",
                member_ids,
            )
        return {row["member_id"]: row["user_id"] for row in rows}


def _plan(row: Mapping[str, Any] | Any) -> SnapshotPlan:
    return SnapshotPlan(
        id=row["id"],
        business_id=row["business_id"],
        cutoff=row["cutoff_time"],
        window_days=row["window_days"],
        watermark=row["watermark"],
        rules_version=row["rules_version"],
    )


def _snapshot(row: Mapping[str, Any] | Any) -> Snapshot:
    standing = Standing(row["missing_since_time"], row["lost_time"], row["lost_reason"] or "")
    return Snapshot(_plan(row), row["build_id"], row["member_count"], row["publish_time"], standing)
