"""The worker: takes operations by lease, runs their work functions, keeps the lease alive, ends them.

A work function is idempotent: when its worker dies it is run again from the start by another, with the same parameters.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import structlog

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, StoreUnavailable, Unavailable
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.kit.memory import give_back_freed
from svoykrug_server.operations.model import Lease, Operation, OperationFailure, Standing
from svoykrug_server.operations.repository import OperationsRepository

_log = structlog.get_logger(__name__)
_INTERNAL = OperationFailure("INTERNAL")


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How a runner works.

    Attributes:
        worker_count: How many operations it runs at once.
        poll_seconds: How long it waits before it looks for work again.
        heartbeat_seconds: How often it renews a lease; also how soon it sees that somebody cancelled.
        lease_seconds: How long an operation stays with a worker that says nothing.
        report_seconds: Progress within one stage is written at most this often.
        max_attempts: An operation that was taken more often than this fails.
        retry_delay_seconds: How long an operation waits after a store was away, unless the error says so itself.
    """

    worker_count: int = 1
    poll_seconds: float = 0.25
    heartbeat_seconds: float = 1.0
    lease_seconds: float = 15.0
    report_seconds: float = 0.25
    max_attempts: int = 5
    retry_delay_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.heartbeat_seconds * 3 > self.lease_seconds:
            raise ValueError("a lease outlives at least three heartbeats")


class Progress:
    """What a work function tells the world, made by the runner for one attempt.

    Args:
        repository: Where progress is written.
        lease: The attempt's hold on its operation.
        report_seconds: Progress within one stage is written at most this often.
    """

    def __init__(self, repository: OperationsRepository, lease: Lease, report_seconds: float) -> None:
        self._repository = repository
        self._lease = lease
        self._report_seconds = report_seconds
        self._stage = ""
        self._written_at_seconds = float("-inf")

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
        """Says how far the work is. Cheap: within a stage it is written a few times a second at most.

        Args:
            stage: What it is doing now, in one word.
            percent: How far all of it is, 0 to 100.
            rows_done: How many rows it has handled in this stage.

        Raises:
            asyncio.CancelledError: Another worker took the operation over: this one stops.
        """
        now_seconds = asyncio.get_running_loop().time()
        if stage == self._stage and now_seconds - self._written_at_seconds < self._report_seconds:
            return
        self._stage, self._written_at_seconds = stage, now_seconds
        if not await self._repository.report(self._lease, stage, percent, rows_done):
            raise asyncio.CancelledError


WorkFunction = Callable[[Mapping[str, Any], Progress], Awaitable[Mapping[str, str]]]
"""Does the work: given the operation's parameters and its progress, returns the ids of what it made by name."""


class OperationRunner:
    """Runs operations until it is cancelled.

    Args:
        repository: The operations.
        work: The work function of each kind.
        clock: Tells the time.
        options: How it works.
    """

    def __init__(
        self,
        repository: OperationsRepository,
        work: Mapping[str, WorkFunction],
        clock: Clock,
        options: RunnerOptions | None = None,
    ) -> None:
        self._repository = repository
        self._work = work
        self._clock = clock
        self._options = options or RunnerOptions()
        self._lease_span = timedelta(seconds=self._options.lease_seconds)

    async def run(self) -> None:
        """Takes and runs operations for ever; cancel it to stop. What it was at is given back at once."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._options.worker_count):
                workers.create_task(self._run_worker())

    async def _run_worker(self) -> None:
        while True:
            try:
                if not await self.run_one():
                    await asyncio.sleep(self._options.poll_seconds)
            except StoreUnavailable as error:
                _log.warning("operations_store_unavailable")
                await asyncio.sleep((error.retry_after or timedelta(seconds=1)).total_seconds())

    async def run_one(self) -> bool:
        """Takes one operation, if any is due, and runs it to its end; returns whether there was one."""
        kinds = list(self._work)
        if not await self._repository.has_due(kinds):
            return False
        owner_id = uuid4()
        operation = await self._repository.take(owner_id, kinds, self._lease_span, self._clock.now())
        if operation is None:
            return False
        lease = Lease(operation.id, owner_id)
        log = _log.bind(operation_id=str(operation.id), kind=operation.kind.value, attempt=operation.attempt_count)
        log.info("operation_taken")
        failpoint("operation.taken")
        await self._end(lease, operation, log)
        await asyncio.to_thread(give_back_freed)
        return True

    async def _end(self, lease: Lease, operation: Operation, log: Any) -> None:
        """Runs an attempt and writes how it ended."""
        if operation.cancel_requested:
            await self._repository.end_cancelled(lease, self._clock.now())
            return
        if operation.attempt_count > self._options.max_attempts:
            log.error("operation_given_up")
            await self._repository.fail(lease, _INTERNAL, self._clock.now())
            return
        try:
            await self._attempt(lease, operation, log)
        except Unavailable as error:
            await self._retry_or_fail(lease, operation, error, log)
        except DomainError as error:
            log.info("operation_failed", reason=error.reason)
            await self._repository.fail(lease, OperationFailure(error.reason, error.metadata), self._clock.now())
        except Exception:
            # Whatever a work function does wrong ends its operation, never the worker.
            log.exception("operation_failed", reason=_INTERNAL.reason)
            await self._repository.fail(lease, _INTERNAL, self._clock.now())

    async def _attempt(self, lease: Lease, operation: Operation, log: Any) -> None:
        progress = Progress(self._repository, lease, self._options.report_seconds)
        work = asyncio.ensure_future(self._work[operation.kind](operation.parameters, progress))
        try:
            standing = await self._attend(lease, work)
        except asyncio.CancelledError:
            log.info("operation_given_back")
            await _stop(work)
            with contextlib.suppress(StoreUnavailable):  # then its lease runs out instead
                await self._repository.give_back(lease, timedelta(0))
            raise
        if standing is Standing.HELD and not work.cancelled():
            result = work.result()
            failpoint("operation.worked")
            await self._repository.succeed(lease, result, self._clock.now())
            failpoint("operation.succeeded")
            log.info("operation_succeeded")
            return
        await _stop(work)
        log.info("operation_stopped", standing=standing.value)
        if standing is Standing.CANCEL:
            await self._repository.end_cancelled(lease, self._clock.now())

    async def _attend(self, lease: Lease, work: "asyncio.Future[Mapping[str, str]]") -> Standing:
        """Renews the lease until the work is done, is to stop, or the lease is lost."""
        loop = asyncio.get_running_loop()
        lost_at_seconds = loop.time() + self._options.lease_seconds
        while True:
            done, _ = await asyncio.wait({work}, timeout=self._options.heartbeat_seconds)
            if done:
                return Standing.HELD
            asked_at_seconds = loop.time()
            try:
                standing = await self._repository.renew(lease, self._lease_span)
            except StoreUnavailable:
                if asked_at_seconds >= lost_at_seconds:
                    return Standing.LOST
                continue
            if standing is not Standing.HELD:
                return standing
            lost_at_seconds = asked_at_seconds + self._options.lease_seconds

    async def _retry_or_fail(self, lease: Lease, operation: Operation, error: Unavailable, log: Any) -> None:
        """Waits for a store that is away, as often as an operation may be taken; then says why it failed."""
        if operation.attempt_count < self._options.max_attempts:
            delay = error.retry_after or timedelta(seconds=self._options.retry_delay_seconds)
            log.warning("operation_waits", reason=error.reason, delay_seconds=delay.total_seconds())
            await self._repository.give_back(lease, delay)
            return
        log.warning("operation_failed", reason=error.reason)
        await self._repository.fail(lease, OperationFailure(error.reason, error.metadata), self._clock.now())


async def _stop(work: "asyncio.Future[Mapping[str, str]]") -> None:
    """Cancels a work function and waits until it has cleaned up after itself; how it ends is of no interest."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled():
        work.exception()
