"""Operations and workers for tests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.operations.model import Operation, OperationKind
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.runner import OperationRunner, RunnerOptions, WorkFunction
from svoykrug_server.operations.schedule.model import Timetable
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.operations.schedule.service import JobsService
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.membership.composition import membership_options
from svoykrug_server.users.membership.tier_repository import TierRepository
from tests.conftest import isolated_settings

KIND = OperationKind.CREATE_SNAPSHOT
QUICK = RunnerOptions(
    poll_seconds=0.02,
    heartbeat_seconds=0.05,
    lease_seconds=2.0,  # longer than a busy machine stands still: what is not renewed in time, others take
    report_seconds=0.0,
    max_attempts=3,
    retry_delay_seconds=0.05,
)
NOON = ManualClock(datetime(2026, 6, 1, 12, tzinfo=UTC))


def service_of(postgres: Postgres, clock: ManualClock = NOON) -> OperationsService:
    """Returns the use cases on a database."""
    tokens = PageTokens(bytes(32))
    return OperationsService(postgres, OperationsRepository(postgres), tokens, clock, watch_interval_seconds=0.01)


def runner_of(postgres: Postgres, work: WorkFunction, options: RunnerOptions = QUICK) -> OperationRunner:
    """Returns a worker that runs every operation by one function."""
    return OperationRunner(OperationsRepository(postgres), {KIND: work}, NOON, options)


async def start(
    postgres: Postgres, starter_id: UUID | None = None, parameters: Mapping[str, str] | None = None
) -> Operation:
    """Queues an operation."""
    async with postgres.transaction() as tx:
        operation = await service_of(postgres).start(tx, KIND, parameters or {}, starter_id or uuid4())
    assert isinstance(operation, Operation)
    return operation


async def standing(postgres: Postgres, operation: Operation) -> Operation:
    """Returns an operation as it stands now."""
    found = await OperationsRepository(postgres).find(operation.id)
    assert found is not None
    return found


def jobs_of(postgres: Postgres, clock: ManualClock = NOON, *, enabled: bool = True) -> JobsService:
    """Returns what says how the jobs of the schedule stand, in Moscow, from three at night."""
    tiers = TierRepository(membership_options(isolated_settings()).tiers)
    timetable = Timetable(ZoneInfo("Europe/Moscow"), 3, enabled)
    return JobsService(postgres, ScheduleRepository(postgres), timetable, tiers, clock)
