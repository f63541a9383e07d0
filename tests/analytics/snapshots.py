"""A circle's analytics for tests: real stores, a watermark and disputes that a test sets."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from svoykrug_server.analytics.build_rows import SNAPSHOT_MEMBERS, BuildRows
from svoykrug_server.analytics.churn.model import MemberScore, Scoring
from svoykrug_server.analytics.insight import InsightService
from svoykrug_server.analytics.kept_repository import KeptHistory
from svoykrug_server.analytics.model import Snapshot
from svoykrug_server.analytics.published_rows import PublishedRows
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.analytics.service import NewSnapshot, SnapshotService
from svoykrug_server.analytics.snapshots import KIND, SnapshotBuilder
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import Unavailable
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.operations.model import Operation
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.runner import OperationRunner, RunnerOptions
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.circles import BUSINESSES, CUTOFF, SENSITIVE, WATERMARK
from tests.callers import admin

MOSCOW = ZoneInfo("Europe/Moscow")
OPTIONS = RunnerOptions(poll_seconds=0.02, heartbeat_seconds=0.05, lease_seconds=0.6, max_attempts=2)


class Proofs:
    """Says what a test says about the stores."""

    def __init__(self) -> None:
        self.known_up_to: datetime | None = WATERMARK
        self.disputed_answers: list[bool] = []
        self.asked: list[tuple[UUID | None, datetime]] = []

    async def watermark(self) -> datetime | None:
        """Returns the watermark that was set."""
        return self.known_up_to

    @asynccontextmanager
    async def undisputed(
        self, business_id: UUID | None, cutoff: datetime
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Gives the next answers that were set, else that nothing is disputed."""

        async def refuse_disputed() -> None:
            self.asked.append((business_id, cutoff))
            if self.disputed_answers and self.disputed_answers.pop(0):
                raise Unavailable("STORES_DISAGREE", retry_after=timedelta(seconds=5))

        await refuse_disputed()
        yield refuse_disputed


class Scores:
    """Says what a test says about churn."""

    def __init__(self) -> None:
        self.answer: tuple[Scoring, MemberScore] | None = None
        self.asked: list[tuple[UUID | None, int, datetime | None]] = []

    async def latest_score(
        self, business_id: UUID | None, member_id: int, as_of: datetime | None
    ) -> tuple[Scoring, MemberScore] | None:
        """Returns the score that was set."""
        self.asked.append((business_id, member_id, as_of))
        return self.answer


class Analytics:
    """Snapshots on real stores."""

    def __init__(self, postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> None:
        self.postgres, self.warehouse, self.clock = postgres, warehouse, clock
        self.proofs, self.scores = Proofs(), Scores()
        self.repository = SnapshotRepository(postgres)
        self.rows = SnapshotWarehouse(warehouse, MOSCOW)
        published = PublishedRows(self.rows, BuildRows(warehouse, SNAPSHOT_MEMBERS))
        tokens, kept = PageTokens(bytes(32)), KeptHistory(postgres, MOSCOW)
        self.operations = OperationsService(postgres, OperationsRepository(postgres), tokens, clock, 0.01)
        self.service = SnapshotService(
            postgres, self.repository, published, self.proofs, kept, self.operations, tokens, clock
        )
        self.insight = InsightService(self.repository, published, self.scores, self.proofs, kept, MOSCOW)
        self.builder = SnapshotBuilder(self.repository, self.rows, self.proofs, kept, clock)

    def runner(self) -> OperationRunner:
        """Returns a worker for snapshots."""
        return OperationRunner(OperationsRepository(self.postgres), {KIND: self.builder.run}, self.clock, OPTIONS)

    async def ask(
        self,
        business_id: UUID | None = None,
        cutoff: datetime | None = CUTOFF,
        window_days: int = 0,
        known: datetime | None = None,
    ) -> Operation:
        """Queues a snapshot."""
        operation = await self.service.create(admin(), NewSnapshot(business_id, cutoff, window_days, uuid4(), known))
        assert isinstance(operation, Operation)
        return operation

    async def snapshot(
        self,
        business_id: UUID | None = None,
        cutoff: datetime | None = CUTOFF,
        window_days: int = 0,
        known: datetime | None = None,
    ) -> Snapshot:
        """Makes a snapshot the whole way and returns it."""
        operation = await self.ask(business_id, cutoff, window_days, known)
        assert await self.runner().run_one()
        ended = await self.operation(operation)
        assert ended.result is not None, ended
        found = await self.repository.find(business_id, UUID(ended.result["snapshot_id"]))
        assert found is not None
        return found

    async def operation(self, operation: Operation) -> Operation:
        """Returns an operation as it stands now."""
        return await self.operations.get(admin(), operation.id)

    async def row_count(self) -> int:
        """Returns how many rows of snapshots the warehouse holds, published or not."""
        # How many rows are there?
        return int((await self.warehouse.query("SELECT count() FROM snapshot_members"))[0][0])

    async def open_businesses(self) -> None:
        """Makes the businesses of the tests' circle."""
        async with self.postgres.transaction() as tx:
            await (await tx.driver()).executemany(
                "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)"
                " VALUES ($1, $2, 'beauty', $3, now(), now())",
                [(business_id, str(business_id), business_id in SENSITIVE) for business_id in BUSINESSES],
            )

    async def sell(self, business_id: UUID, member_id: int) -> None:
        """Records a purchase that the warehouse does not know yet."""
        async with self.postgres.transaction() as tx:
            await (await tx.driver()).execute(
                "INSERT INTO purchase_entries (entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor,"
                " purchase_time, kind, sensitive, currency_code, external_id)"
                " VALUES ($1, $1, $2, $3, 1, 100, now(), 1, false, 'RUB', 'receipt')",
                *(uuid4(), business_id, member_id),
            )

    async def join(self, member_ids: Sequence[int]) -> dict[int, UUID]:
        """Makes users behind member numbers."""
        user_ids = {member_id: uuid4() for member_id in member_ids}
        async with self.postgres.transaction() as tx:
            connection = await tx.driver()
            await connection.executemany(
                "INSERT INTO users (id, status, create_time, update_time) VALUES ($1, 'unclaimed', now(), now())",
                [(user_id,) for user_id in user_ids.values()],
            )
            await connection.executemany(
                "INSERT INTO member_links (member_id, user_id) VALUES ($1, $2)", list(user_ids.items())
            )
        return user_ids
