"""Keeps background jobs alive: a job that fails is started again, a little later each time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

Job = Callable[[], Awaitable[None]]
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A job that ran this long before it failed is started again after the first delay."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class JobState:
    """How a job fares.

    Attributes:
        failures: How often it failed since the start.
        running: Whether it runs now; otherwise it waits for its next start, or has done its work.
        done: Whether it has done its work.
    """

    failures: int = 0
    running: bool = True
    done: bool = False


class Supervisor:
    """Runs jobs side by side, each until it returns or `stop` is called.

    Args:
        first_delay_seconds: The wait after a first failure; it doubles with each further one, up to 30 s.
    """

    def __init__(self, first_delay_seconds: float = FIRST_DELAY_SECONDS) -> None:
        self._first_delay_seconds = first_delay_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._states: dict[str, JobState] = {}

    @property
    def states(self) -> Mapping[str, JobState]:
        """How each job fares, by name."""
        return self._states

    def start(self, name: str, job: Job) -> None:
        """Starts a job.

        Args:
            name: What it is called in the log; no other job's name.
            job: Called for each start; it may run for ever.
        """
        self._states[name] = JobState()
        self._tasks.append(asyncio.create_task(self._keep_alive(name, job), name=name))

    async def stop(self) -> None:
        """Cancels the jobs, the last started first, each when the one after it has ended."""
        while self._tasks:
            task = self._tasks.pop()
            task.cancel()
            await asyncio.wait([task])

    async def _keep_alive(self, name: str, job: Job) -> None:
        state = self._states[name]
        delay_seconds = self._first_delay_seconds
        while True:
            started = time.monotonic()
            state.running = True
            try:
                await job()
            except Exception as error:  # noqa: BLE001  whatever stopped the job, the next start may do
                state.failures += 1
                _log.error("job_failed", job=name, failures=state.failures, exc_info=error)
            else:
                state.done = True
                return
            finally:
                state.running = False
            if time.monotonic() - started > HEALTHY_SECONDS:
                delay_seconds = self._first_delay_seconds
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(2 * delay_seconds, LONGEST_DELAY_SECONDS)
