"""What is shed while calls wait too long: by a server's queue that is reckoned instead of run."""

from collections import deque
from dataclasses import dataclass, field
from time import perf_counter

import grpc

from svoykrug_server.rpc.own_calls import OwnCalls
from svoykrug_server.rpc.shedding import PATIENCE_SECONDS, TARGET_SECONDS, Shedding
from tests.waiting import until

TICK_SECONDS = 0.1
STEP_SECONDS = 0.001
ANSWER_SECONDS, REFUSAL_SECONDS = 0.002, 0.0005
CAPACITY = round(1 / ANSWER_SECONDS)


@dataclass
class Queue:
    """A server that takes one call after another; every call is taken in the order in which it came."""

    shedding: Shedding = field(default_factory=lambda: Shedding(0.0))
    now: float = 0.0
    waiting: deque[float] = field(default_factory=deque)
    free_at: float = 0.0
    answered: int = 0
    longest_wait: float = 0.0
    _due: float = 0.0
    _ticked: float = 0.0

    def run(self, seconds: float, calls_a_second: float) -> None:
        """Lets time pass while calls come at a steady pace."""
        end = self.now + seconds
        while self.now < end:
            self.now += STEP_SECONDS
            self._due += calls_a_second * STEP_SECONDS
            while self._due >= 1:
                self._due -= 1
                self.waiting.append(self.now)
            while self.waiting and self.free_at <= self.now:
                self._take()
            if self.now >= self._ticked + TICK_SECONDS:
                self._ticked = self.now
                self.shedding.measured(self.now - self.waiting[0] if self.waiting else 0.0, self.now)

    def stand_still(self, seconds: float) -> None:
        """Takes nothing for a while, and measures nothing."""
        self.free_at = self.now + seconds
        self._ticked = self.free_at - TICK_SECONDS

    def _take(self) -> None:
        self.longest_wait = max(self.longest_wait, self.now - self.waiting.popleft())
        self.shedding.came += 1
        is_shed = self.shedding.share < 1.0 and self.shedding.sheds()
        self.answered += not is_shed
        self.free_at = max(self.free_at, self.now - STEP_SECONDS) + (REFUSAL_SECONDS if is_shed else ANSWER_SECONDS)


def test_a_server_that_is_asked_three_times_too_much_answers_nearly_all_it_can_and_soon() -> None:
    queue = Queue()
    queue.run(20, 3 * CAPACITY)
    assert queue.longest_wait < PATIENCE_SECONDS + 1
    answered, queue.answered, queue.longest_wait = queue.answered, 0, 0.0
    queue.run(60, 3 * CAPACITY)
    refused_seconds = (3 * CAPACITY * 60 - queue.answered) * REFUSAL_SECONDS
    assert queue.answered * ANSWER_SECONDS > 0.9 * (60 - refused_seconds)
    assert queue.longest_wait < 5 * TARGET_SECONDS
    assert answered


def test_nothing_is_shed_once_the_flood_is_over() -> None:
    queue = Queue()
    queue.run(20, 3 * CAPACITY)
    queue.run(1, 0)
    shed = queue.shedding.shed
    queue.run(20, CAPACITY / 2)
    assert queue.shedding.shed == shed
    assert queue.shedding.share == 1.0


def test_a_flood_that_ends_in_what_the_server_can_answer_is_followed_by_no_refusals_for_long() -> None:
    queue = Queue()
    queue.run(20, 3 * CAPACITY)
    queue.run(5, 0.8 * CAPACITY)
    shed = queue.shedding.shed
    queue.run(20, 0.8 * CAPACITY)
    assert queue.shedding.shed == shed


def test_bursts_and_standstills_are_let_pass() -> None:
    queue = Queue()
    for _ in range(10):
        queue.run(10, CAPACITY / 2)
        queue.stand_still(2.0)
        queue.run(10, CAPACITY / 2)
        queue.waiting.extend([queue.now] * CAPACITY)
    assert queue.longest_wait > 5 * TARGET_SECONDS
    assert queue.shedding.shed == 0


def test_a_process_that_was_stopped_for_minutes_while_it_shed_goes_on() -> None:
    queue = Queue()
    queue.run(20, 3 * CAPACITY)
    shedding, stopped_seconds = queue.shedding, 400.0
    for waited, later in ((stopped_seconds, 0.0), (0.001, TICK_SECONDS)):
        shedding.came = CAPACITY
        shedding.measured(waited, queue.now + stopped_seconds + later)
        assert 0 < shedding.share < 1


def test_calls_that_are_never_shed_do_not_shut_out_the_others() -> None:
    shedding, now, measured_at, due, taken = Shedding(0.0), 0.0, 0.0, 0.0, 0
    waiting = deque([(True, 0.0)] * 4_000)  # health, asked for again as soon as it is told
    while now < 60:
        while due <= now:
            waiting.append((False, due))
            due += 1 / 50
        is_health, came_at = waiting.popleft()
        shedding.came += 1
        now += 0.00015
        if is_health:
            waiting.append((True, now))
        else:
            taken += not (shedding.share < 1.0 and shedding.sheds())
        if now >= measured_at + TICK_SECONDS:
            measured_at = now
            shedding.measured(now - came_at, now)
    assert shedding.seconds > TARGET_SECONDS
    assert taken > 20 * 60


async def test_nothing_is_shed_where_own_calls_fail_or_end() -> None:
    server, shedding = grpc.aio.server(), Shedding(perf_counter())
    own_calls = OwnCalls(server, shedding)
    await server.start()
    own_calls.start()
    await server.stop(None)
    shedding.share, shedding.came = 0.5, 1
    await until(lambda: shedding.share == 1.0)
    shedding.share = 0.5
    await own_calls.stop()
    assert shedding.share == 1.0


def test_what_is_shed_is_spread_evenly() -> None:
    shedding = Shedding(0.0)
    shedding.share = 0.25
    decided = [shedding.sheds() for _ in range(100)]
    assert decided == [True, True, True, False] * 25
