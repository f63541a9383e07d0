"""A snapshot and a scoring that a test has made, and every answer that is read from their rows."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug import errors
from svoykrug.analytics.v1 import analytics_service_pb2 as pb

from svoykrug_client import Client
from svoykrug_server.analytics.churn import estimator
from svoykrug_server.analytics.churn.features import DESIGN
from svoykrug_server.analytics.churn.model import ChurnModel, ModelCard, ModelState, TrainingPlan
from svoykrug_server.analytics.churn.repository import ChurnRepository
from svoykrug_server.storage.postgres import Postgres
from tests.analytics.churn.made import window
from tests.crash.own_rows import FIRST_TIME
from tests.waiting import until

HORIZON_DAYS = 28
GONE = frozenset({"WAREHOUSE_UNAVAILABLE", "RESULT_BEING_REMADE"})
"""What may be answered while the warehouse is away, and while what it has lost is being made again."""
READING = frozenset(
    {
        "StreamSegmentMembers",
        "GetSegmentSummary",
        "ListSegmentMembers",
        "GetSegmentMovements",
        "GetMemberInsight",
        "GetMemberHistory",
        "ListAtRiskMembers",
    }
)
"""The methods that are called here."""
RESULTS = 3
"""How many snapshots and scorings are made."""
BOUND_SECONDS = 120.0
PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class Results:
    """What was made, and what became of reading it.

    Attributes:
        business_id: The business.
        snapshot_ids: Two snapshots, the earlier cutoff first.
        scoring_id: The scoring.
        user_id: A member that they hold.
        truth: Each answer as it was when they had just been made.
        right: How many answers since were the same to the last bit.
        wrong: The calls that were answered otherwise, or refused for good: none may be.
    """

    business_id: str
    snapshot_ids: tuple[str, str]
    scoring_id: str
    user_id: str = ""
    truth: Mapping[str, bytes] = field(default_factory=dict)
    right: int = 0
    wrong: list[str] = field(default_factory=list)

    async def read(self, client: Client) -> bool:
        """Reads everything once and notes what became of it; returns whether all of it was right."""
        right = 0
        for name, call in _calls(client, self).items():
            try:
                answer = await call()
            except errors.SvoyKrugError as error:
                if error.reason not in GONE or not error.retry_after:
                    self.wrong.append(f"{name}: {error.reason}")
            else:
                right += answer == self.truth[name]
                if answer != self.truth[name]:
                    self.wrong.append(f"{name}: another answer")
        self.right += right
        return right == len(self.truth)

    async def read_until_right(self, client: Client) -> None:
        """Reads again and again until everything is right."""
        await until(lambda: self.read(client), BOUND_SECONDS)

    @asynccontextmanager
    async def being_read(self, client: Client) -> AsyncIterator[None]:
        """Reads everything again and again for the length of the block, and at its end until all of it is right."""
        stop = asyncio.Event()

        async def reading() -> None:
            while not stop.is_set():
                await self.read(client)
                await asyncio.sleep(PAUSE_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reading())
            try:
                yield
            finally:
                stop.set()
        await self.read_until_right(client)


def refused(log: Path) -> int:
    """Returns how many of these calls a server refused for now, by its log: the client repeats them unseen."""
    calls = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
    methods = [call["method"].rpartition("/")[2] for call in calls if call.get("code") == "UNAVAILABLE"]
    return sum(method in READING for method in methods)


def remade(log: Path) -> int:
    """Returns how often a snapshot or scoring was made again, by the log."""
    return log.read_text("utf-8").count('"event":"remade"')


async def made(postgres: Postgres, client: Client, business_id: UUID, rows: int) -> Results:
    """Makes two snapshots and a scoring of a business from the first rows of its import.

    Args:
        postgres: Where a model is put that nobody has to train for this.
        client: May read and write analytics, and see operations.
        business_id: The business.
        rows: How many rows it has.
    """
    end = FIRST_TIME + timedelta(minutes=rows)
    await _serve_a_model(postgres, business_id)
    snapshot_ids = [await _snapshot(client, business_id, cutoff) for cutoff in (end - timedelta(minutes=rows / 2), end)]
    asked = pb.ScoreMembersRequest(business_id=str(business_id), cutoff_time=_at(end), request_id=str(uuid4()))
    scored = (await client.analytics.ScoreMembers(asked)).operation
    done = await client.wait_for(scored)
    scoring_id = done.result.scoring_id
    async with postgres.transaction() as tx:
        # As if it had been said in time, so that insight tells of it.
        await (await tx.driver()).execute("UPDATE churn_scorings SET backtest = false")
    results = Results(str(business_id), (snapshot_ids[0], snapshot_ids[1]), scoring_id)
    members = await client.analytics.ListSegmentMembers(
        pb.ListSegmentMembersRequest(business_id=str(business_id), snapshot_id=snapshot_ids[1], page_size=1)
    )
    results.user_id = members.members[0].user_id
    results.truth = {name: await call() for name, call in _calls(client, results).items()}
    return results


def _calls(client: Client, results: Results) -> dict[str, Callable[[], Awaitable[bytes]]]:
    """Returns every call that reads rows of snapshots and scorings, by name."""
    analytics, scope, (first, second) = client.analytics, results.business_id, results.snapshot_ids
    members = pb.StreamSegmentMembersRequest(business_id=scope, snapshot_id=second)

    async def stream() -> bytes:
        return b"".join([_words(part) async for part in analytics.StreamSegmentMembers(members)])

    async def words(call: Awaitable[Message]) -> bytes:
        return _words(await call)

    summary = pb.GetSegmentSummaryRequest(business_id=scope, snapshot_id=first)
    latest = pb.GetSegmentSummaryRequest(business_id=scope)
    page = pb.ListSegmentMembersRequest(business_id=scope, snapshot_id=first, page_size=1_000)
    movements = pb.GetSegmentMovementsRequest(business_id=scope, from_snapshot_id=first, to_snapshot_id=second)
    insight = pb.GetMemberInsightRequest(business_id=scope, user_id=results.user_id)
    history = pb.GetMemberHistoryRequest(business_id=scope, user_id=results.user_id)
    at_risk = pb.ListAtRiskMembersRequest(business_id=scope, scoring_id=results.scoring_id, page_size=1_000)
    return {
        "stream": stream,
        "summary": lambda: words(analytics.GetSegmentSummary(summary)),
        "latest summary": lambda: words(analytics.GetSegmentSummary(latest)),
        "members": lambda: words(analytics.ListSegmentMembers(page)),
        "movements": lambda: words(analytics.GetSegmentMovements(movements)),
        "insight": lambda: words(analytics.GetMemberInsight(insight)),
        "history": lambda: words(analytics.GetMemberHistory(history)),
        "at risk": lambda: words(analytics.ListAtRiskMembers(at_risk)),
    }


def _words(answer: Message) -> bytes:
    """Returns an answer in full but for how far the warehouse is, which moves on."""
    if "freshness" in answer.DESCRIPTOR.fields_by_name:
        answer.ClearField("freshness")
    return answer.SerializeToString(deterministic=True)


async def _snapshot(client: Client, business_id: UUID, cutoff: datetime) -> str:
    asked = pb.CreateSnapshotRequest(business_id=str(business_id), cutoff_time=_at(cutoff), request_id=str(uuid4()))
    done = await client.wait_for((await client.analytics.CreateSnapshot(asked)).operation)
    return done.result.snapshot_id


async def _serve_a_model(postgres: Postgres, business_id: UUID) -> None:
    """Puts a model in place that learned from made members: how good it is, is not tried here."""
    repository, now = ChurnRepository(postgres), datetime.now(UTC)
    scorer = await asyncio.to_thread(estimator.fit, [window(seed=seed) for seed in (1, 2)], HORIZON_DAYS)
    plan = TrainingPlan(uuid4(), business_id, HORIZON_DAYS, 0, FIRST_TIME, (), now)
    card = ModelCard(600, 0.5, (), (), (), (), (600, 600), (0.5, 0.5))
    await repository.add_model(ChurnModel(plan, card, "made", DESIGN, ModelState.CANDIDATE, now), scorer.document())
    async with postgres.transaction() as tx:
        await repository.serve(tx, plan.model_id, None, now)


def _at(moment: datetime) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(moment)
    return at
