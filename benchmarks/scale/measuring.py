"""How time and memory are measured."""

import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

SAMPLE_SECONDS = 0.01
MEGABYTE = 1_000_000

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What some runs cost.

    Attributes:
        runs: How many there were.
        seconds: The median of their times.
        cpu_seconds: The median of the processor time of this process, the embedded engine's among it.
        peak_mb: The most memory this process had in any of them.
    """

    runs: int
    seconds: float
    cpu_seconds: float
    peak_mb: float


class Watch:
    """Takes the time of a block, and looks how much memory the process has during it.

    Attributes:
        seconds: How long the block took.
        cpu_seconds: The processor time of this process in it.
        peak_mb: The most memory the process had.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.peak_mb = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        """Begins."""
        self._thread.start()
        self.seconds, self.cpu_seconds = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Ends."""
        self.seconds += time.perf_counter()
        self.cpu_seconds += time.process_time()
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        process = psutil.Process()
        while True:
            self.peak_mb = max(self.peak_mb, process.memory_info().rss / MEGABYTE)
            if self._ended.wait(SAMPLE_SECONDS):
                return


def memory_mb() -> float:
    """Returns how much memory the process has now."""
    return psutil.Process().memory_info().rss / MEGABYTE


async def alternating(calls: Mapping[str, Call], rounds: int, enough_seconds: float) -> dict[str, Cost]:
    """Runs some calls in turn, and returns what each costs; a slow moment of the machine meets all alike.

    Args:
        calls: By name.
        rounds: How often each is run.
        enough_seconds: One that has taken so long, all its runs together, is run no more.
    """
    watches: dict[str, list[Watch]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            if sum(watch.seconds for watch in watches[name]) < enough_seconds:
                with Watch() as watch:
                    await call()
                watches[name].append(watch)
    return {name: _cost(of_call) for name, of_call in watches.items()}


async def percentile_ms(call: Callable[[int], Awaitable[object]], calls: int, warm_up: int = 20) -> tuple[float, float]:
    """Returns the median and the 99th percentile of some calls one after the other, in milliseconds."""
    took = []
    for number in range(warm_up + calls):
        begun = time.perf_counter()
        await call(number)
        took.append(1_000 * (time.perf_counter() - begun))
    return statistics.median(took[warm_up:]), statistics.quantiles(took[warm_up:], n=100)[-1]


def _cost(watches: Sequence[Watch]) -> Cost:
    return Cost(
        len(watches),
        statistics.median(watch.seconds for watch in watches),
        statistics.median(watch.cpu_seconds for watch in watches),
        max(watch.peak_mb for watch in watches),
    )
