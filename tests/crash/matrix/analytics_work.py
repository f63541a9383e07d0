"""What is computed in operations: snapshots, models, scores and their receipts; and the promotion of a model."""

import random
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pandas as pd
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.operations.v1.operation_pb2 import Operation

from svoykrug_client import Client
from svoykrug_server.analytics.segments import Segment
from tests.analytics import oracle
from tests.crash.matrix.circle import SENSITIVE
from tests.crash.matrix.place import BOUND_SECONDS, Place
from tests.crash.matrix.seen import Record, Seen, end_waits, ledger_rows
from tests.crash.matrix.work import Harm, Work
from tests.waiting import until

WINDOW_DAYS, HORIZON_DAYS = 365, 28
MEMBER_ROWS = """
    SELECT member_id, segment, recency_days, purchase_count, net_spend_minor, recency_score, frequency_score,
        monetary_score
    FROM snapshot_members WHERE build_id = '{}' ORDER BY member_id
"""


class Operating(Work):
    """An operation: asked for under one request id before and after the kill."""

    def __init__(self, place: Place, dice: random.Random) -> None:
        super().__init__(place, dice)
        self.request_id = str(uuid4())
        self.now = datetime.now(UTC)

    @abstractmethod
    async def start(self, client: Client) -> Operation:
        """Starts it, or finds it again."""

    async def ask(self, client: Client) -> None:
        """Starts it."""
        await self.start(client)

    async def goes_on(self) -> bool:
        """Tells whether a worker is at it."""
        return await self._has_state("running")

    async def is_unfinished(self) -> bool:
        """Tells whether it runs, or waits to be taken again."""
        return await self._has_state("running", "queued")

    async def finish(self, client: Client) -> None:
        """Starts it again and waits until it has succeeded."""
        operation = await self.start(client)

        async def ended() -> bool:
            async with self.place.postgres.read() as connection:
                row = await connection.fetchrow("SELECT * FROM operations WHERE id = $1", UUID(operation.id))
            assert row is not None
            assert row["state"] in ("queued", "running", "succeeded"), row["error_reason"]
            if row["state"] == "queued":
                await end_waits(self.place.postgres)
            return bool(row["state"] == "succeeded")

        await until(ended, BOUND_SECONDS)

    async def _has_state(self, *states: str) -> bool:
        async with self.place.postgres.read() as connection:
            sql = "SELECT EXISTS (SELECT FROM operations WHERE state = ANY ($1))"
            return bool(await connection.fetchval(sql, list(states)))

    def made(self, before: Seen, after: Seen) -> Record:
        """Returns the one operation that is new, and asserts that there is no other."""
        known = {each["id"] for each in before.operations}
        (new,) = [each for each in after.operations if each["id"] not in known]
        return new


class Snapshot(Operating):
    """A snapshot of the circle or of a business, at a moment of the last two months."""

    def __init__(self, place: Place, dice: random.Random) -> None:
        super().__init__(place, dice)
        # A service is told nothing of a sensitive business: the snapshots of a night are of it, too.
        self.business_id = dice.choice((None, *place.circle.business_ids[:SENSITIVE]))
        self.cutoff = self.now - timedelta(days=dice.uniform(0.1, 60))

    async def start(self, client: Client) -> Operation:
        """Starts it."""
        asked = pb.CreateSnapshotRequest(
            business_id=str(self.business_id or ""), cutoff_time=_timestamp(self.cutoff), request_id=self.request_id
        )
        return (await client.analytics.CreateSnapshot(asked)).operation

    async def finish(self, client: Client) -> None:
        """Waits until it is published, and watches its rows from then on."""
        await super().finish(client)
        async with self.place.postgres.read() as connection:
            build_id = await connection.fetchval("SELECT build_id FROM snapshots ORDER BY id DESC LIMIT 1")
        self.watching = MEMBER_ROWS.format(build_id)

    async def harm(self, before: Seen, after: Seen) -> Harm:
        """Compares its rows with those of the oracle; rows of builds that are not published are doubled."""
        snapshot = after.snapshots[self.made(before, after)["made_id"]]
        assert snapshot["published"]
        rows, zone = await self._ledger(), ZoneInfo(self.place.settings.circle_time_zone)
        bounds = (snapshot["cutoff_time"], WINDOW_DAYS, snapshot["watermark"])
        frame = oracle.snapshot(rows, self.business_id, *bounds, zone)
        expected = [[member_id, *row] for member_id, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)]
        harm = Harm.of(*after.build_of(snapshot["id"]), len(expected)) + unpublished(after)
        if harm == Harm():
            assert [[int(row[0]), _name(int(row[1])), *map(int, row[2:])] for row in after.watched] == expected
        return harm

    async def _ledger(self) -> pd.DataFrame:
        sensitive_id, rows = self.place.circle.business_ids[SENSITIVE], await ledger_rows(self.place.postgres)
        facts = {"kind": "purchase"}
        values = [{**row, **facts, "sensitive": row["business_id"] == sensitive_id} for row in rows]
        return pd.DataFrame(values, columns=oracle.LEDGER)


def unpublished(after: Seen) -> Harm:
    """Returns the rows of builds that are no published snapshot, and the published snapshots that miss rows."""
    published = {row["build_id"]: row["member_count"] for row in after.snapshots.values() if row["published"]}
    doubled = sum(rows for build_id, (rows, _) in after.builds.items() if build_id not in published)
    counts = [(after.builds.get(build_id, (0, 0)), count) for build_id, count in published.items()]
    return sum((Harm.of(*rows, count) for rows, count in counts), Harm(doubled=doubled))


class Training(Operating):
    """The training of a model of the circle."""

    async def start(self, client: Client) -> Operation:
        """Starts it."""
        cutoffs = [_timestamp(self.now - timedelta(days=days)) for days in (60, 90, 120)]
        asked = pb.TrainChurnModelRequest(
            horizon_days=HORIZON_DAYS, training_cutoff_times=cutoffs, request_id=self.request_id
        )
        return (await client.analytics.TrainChurnModel(asked)).operation

    async def harm(self, before: Seen, after: Seen) -> Harm:
        """Counts the models that are new: one is expected."""
        new = after.models.keys() - before.models.keys()
        assert self.made(before, after)["made_id"] in new
        return Harm.of(len(new), len(new), 1)


class Promotion(Work):
    """The promotion of a model that does not serve."""

    def __init__(self, place: Place, dice: random.Random) -> None:
        super().__init__(place, dice)
        self.model_id = UUID(int=0)

    async def prepare(self) -> None:
        """Chooses the model."""
        async with self.place.postgres.read() as connection:
            serving = await connection.fetchval("SELECT id FROM churn_models WHERE state = 'serving'")
        self.model_id = self.dice.choice([each for each in self.place.promotable if each != serving])

    async def ask(self, client: Client) -> None:
        """Promotes it."""
        await client.analytics.PromoteChurnModel(pb.PromoteChurnModelRequest(churn_model_id=str(self.model_id)))

    async def finish(self, client: Client) -> None:
        """Promotes it, unless that is done."""
        await self.ask(client)

    async def harm(self, before: Seen, after: Seen) -> Harm:
        """Counts what serves, and the promotions in the trail: one more of this model."""
        assert after.serving == {self.model_id}
        promotions = after.models[self.model_id]["promotions"] - before.models[self.model_id]["promotions"]
        return Harm.of(promotions, min(promotions, 1), 1)


class Scoring(Operating):
    """Scores at a moment whose horizon has closed, so that they are graded, too."""

    def __init__(self, place: Place, dice: random.Random) -> None:
        super().__init__(place, dice)
        self.cutoff = self.now - timedelta(days=dice.uniform(HORIZON_DAYS + 1, 90))

    async def start(self, client: Client) -> Operation:
        """Starts it."""
        asked = pb.ScoreMembersRequest(cutoff_time=_timestamp(self.cutoff), request_id=self.request_id)
        return (await client.analytics.ScoreMembers(asked)).operation

    async def harm(self, before: Seen, after: Seen) -> Harm:
        """Counts the members that are scored, and the receipt; scores of no finished scoring are doubled."""
        scoring = after.scorings[self.made(before, after)["made_id"]]
        assert scoring["graded"]
        sensitive = self.place.circle.business_ids[SENSITIVE]
        expected = {
            row["member_id"]
            for row in await ledger_rows(self.place.postgres)
            if row["business_id"] != sensitive
            and row["purchase_time"] < scoring["cutoff_time"]
            and row["ingest_time"] <= scoring["watermark"]
        }
        assert scoring["scored_count"] == len(expected)
        return scored(after)


def scored(after: Seen) -> Harm:
    """Returns the scores that miss, or stand twice, of all scorings; those of no finished scoring are doubled."""
    strange = sum(rows for scoring_id, (rows, _) in after.scores.items() if scoring_id not in after.scorings)
    counts = [(after.scores.get(key, (0, 0)), row["scored_count"]) for key, row in after.scorings.items()]
    return sum((Harm.of(*rows, count) for rows, count in counts), Harm(doubled=strange))


def _timestamp(moment: datetime) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(moment)
    return at


def _name(segment: int) -> str:
    is_apart = segment == Segment.CANT_LOSE  # the oracle has its apostrophe
    return "Can't Lose" if is_apart else Segment(segment).name.replace("_", " ").title()
