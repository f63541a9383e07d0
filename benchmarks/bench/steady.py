"""Calls that are alike each time, at a steady pace, made by h2load: they cost a quarter of what a Python client costs.

Each process of h2load is one caller on a connection of her own. With `--rps` a call is sent when its turn comes, not
when the one before was answered, as long as fewer than `-m` are on their way. The log tells when each was sent and how
long it took from then on; its turn is known from the first one and the pace, and so is how late it was sent.

A caller calls evenly. The paces of several differ by up to a per cent, so they pass each other: now and then some call
at once, as strangers do.
"""

import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import h2load
from benchmarks.bench.open_loop import WARM_SECONDS, Ask, Outcome

SPREAD_SHARE = 0.01
MOST_PACE = 100.0
"""h2load looks every 10 ms what is due: at a higher pace it would send several calls of one caller at once."""
IN_FLIGHT = 1_000
"""How many calls of one caller may be on their way over HTTP/2: more than the product takes of one."""
LEAST_SECONDS_TO_COUNT = 5.0
"""How long the server may take to count a call that it has answered."""

Ended = Callable[[], Counter[tuple[str, str]]]
"""Returns how many calls of each method have ended with which status by the server's own count; `OK` is right."""


class Failed(Exception):
    """h2load could not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes the same call again and again.

    Attributes:
        method: What the call is known by.
        url: Where it goes.
        headers: What is sent with it.
        message: The gRPC message that is posted over HTTP/2; None for a GET over HTTP/1.1, which has no more than one
            call on its way.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    message: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Running:
    """A caller at work: how many calls she makes a second and in all, and where the log of them is."""

    caller: Caller
    pace: float
    calls: int
    log: Path
    process: "subprocess.Popen[bytes]"


def beside(others: Ask, callers: Sequence[Caller], shares: Mapping[str, int], ended: Ended | None = None) -> Ask:
    """Returns what makes calls of all methods at once: those of the callers by h2load, the rest by the others.

    Args:
        others: Makes the calls of the methods that no caller makes.
        callers: Who make the same calls; those of one method share its pace.
        shares: How often each method is called.
        ended: What the server counted; None where an HTTP status tells all.
    """

    def ask(calls_a_second: float, seconds: float) -> Outcome:
        one = calls_a_second / sum(shares.values())
        paces = {caller.method: one * shares[caller.method] for caller in callers}
        with ThreadPoolExecutor(1) as pool:
            rest = pool.submit(others, calls_a_second - sum(paces.values()), seconds)
            outcome = run(callers, paces, seconds, ended)
            outcome.add(rest.result())
        return outcome

    return ask


def run(callers: Sequence[Caller], paces: Mapping[str, float], seconds: float, ended: Ended | None = None) -> Outcome:
    """Has callers call for some seconds after a warm-up, each method at its pace, and waits for the last answer.

    What fails is counted from the first call on, the warm-up's among them.
    """
    before = Counter[tuple[str, str]]() if ended is None else ended()
    outcome, answered = Outcome(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        first = time.time() + WARM_SECONDS
        with _running(callers, paces, seconds, Path(folder)) as started:
            for each in started:
                if each.process.wait() != 0:
                    raise Failed(f"h2load ended with {each.process.returncode}: {each.caller.url}")
        for each in started:
            answered[each.caller.method] += _read(each, first, first + seconds, outcome)
    if ended is not None:
        _compare(before, ended, answered, outcome)
    return outcome


@contextmanager
def _running(
    callers: Sequence[Caller], paces: Mapping[str, float], seconds: float, folder: Path
) -> Iterator[list[_Running]]:
    """Starts everybody; none of them is left when the block ends."""
    started: list[_Running] = []
    try:
        for method, pace in paces.items():
            of_method = [caller for caller in callers if caller.method == method]
            for number, caller in enumerate(of_method):
                aside = (2 * number + 1) / len(of_method) - 1  # from -1 to 1, with a sum of 0
                its_pace = pace / len(of_method) * (1 + SPREAD_SHARE * aside)
                started.append(_start(caller, its_pace, seconds, folder / f"{method}{number}"))
        yield started
    finally:
        for each in started:
            each.process.kill()  # one that has ended is not touched
            each.process.wait()


def _start(caller: Caller, pace: float, seconds: float, log: Path) -> _Running:
    if pace > MOST_PACE:
        raise Failed(f"{caller.method}: {pace:.0f} calls a second are too many for one caller")
    calls = max(1, round(pace * (WARM_SECONDS + seconds)))
    shape = ["--h1"]
    if caller.message is not None:
        body = log.with_suffix(".body")
        body.write_bytes(b"\0" + len(caller.message).to_bytes(4) + caller.message)  # gRPC's frame
        shape = ["-m", str(IN_FLIGHT), "-d", str(body)]
    headers = [part for name, value in caller.headers.items() for part in ("-H", f"{name}: {value}")]
    command = [h2load.find(), "-t", "1", "-c", "1", "-n", str(calls), f"--rps={pace:f}", f"--log-file={log}"]
    process = subprocess.Popen([*command, *shape, *headers, caller.url], stdout=subprocess.DEVNULL)
    return _Running(caller, pace, calls, log, process)


def _read(each: _Running, first: float, last: float, outcome: Outcome) -> int:
    """Notes what became of one caller's calls, and returns how many were answered with HTTP 200."""
    method, rows = each.caller.method, [line.split("\t") for line in each.log.read_text().splitlines()]
    calls = sorted((int(began) / 1e6, int(took) / 1e3) for began, _, took in rows)
    for number, (began, took_ms) in enumerate(calls):
        if first <= began < last:
            outcome.milliseconds[method].append(took_ms)
            outcome.late_milliseconds.append(max(0.0, began - calls[0][0] - number / each.pace) * 1e3)
    statuses = Counter(status for _, status, _ in rows)
    answered = statuses.pop("200", 0)
    for status, count in statuses.items():
        outcome.failures[method, f"HTTP status {status}"] += count
    if len(calls) < each.calls:
        outcome.failures[method, "not made"] += each.calls - len(calls)
    return answered


def _compare(before: Counter[tuple[str, str]], ended: Ended, answered: Counter[str], outcome: Outcome) -> None:
    """Notes what the server counted as failed, and what it did not count: HTTP 200 comes with every gRPC status."""
    deadline = time.monotonic() + LEAST_SECONDS_TO_COUNT
    while True:
        counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (method, status), count in ended().items():
            counted[method][status] += count - before[method, status]
        missing = {method: calls - counted[method].total() for method, calls in answered.items()}
        if max(missing.values()) <= 0 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    for method, count in missing.items():
        outcome.failures[method, "answered, but not counted by the server"] += max(0, count)
        for status, ended_so in counted[method].items():
            if status != "OK":
                outcome.failures[method, status] += ended_so
    outcome.failures = +outcome.failures
