"""The load generator: h2load of nghttp2, a client in C that costs a tenth of the server it asks."""

import re
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

WARM_SECONDS = 1.0
"""How much of the beginning of each run is not counted."""
EMPTY_MESSAGE = bytes(5)
"""A gRPC frame that holds a message without fields."""
_REQUESTS = re.compile(r"requests: .*, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_DATA = re.compile(r"\((\d+)\) data")


class Missing(Exception):
    """There is no h2load: `apt-get install nghttp2-client` on Debian, `brew install nghttp2` on macOS."""


class Failed(Exception):
    """Calls failed, or answers were not as long as the right one."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked again and again.

    Attributes:
        url: Where it is.
        headers: What is sent with every request.
        grpc: Whether an empty gRPC message is posted over HTTP/2; else it is a GET over HTTP/1.1.
        answer_bytes: How many bytes of body every right answer has.
    """

    url: str
    answer_bytes: int
    grpc: bool
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run showed, its beginning left out.

    Attributes:
        rate: Calls a second.
        p50_ms: The median time of a call.
        p95_ms: Its 95th percentile.
        p99_ms: Its 99th percentile.
        calls: How many calls were made, the beginning among them.
    """

    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    calls: int


def find() -> str:
    """Returns where h2load is.

    Raises:
        Missing: It is not installed.
    """
    found = shutil.which("h2load")
    if found is None:
        raise Missing(Missing.__doc__)
    return found


def run(target: Target, in_flight: int, seconds: float) -> Sample:
    """Asks for some seconds, with so many calls in flight at any time.

    HTTP/2 has ten connections, HTTP/1.1 one for each call. h2load sees HTTP 200 whatever the gRPC status; a refusal has
    no message, so the bytes of all answers tell whether each was right.

    Raises:
        Failed: A call failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        log, body = Path(folder) / "log", Path(folder) / "body"
        body.write_bytes(EMPTY_MESSAGE)
        http2 = ["-c", "10", "-m", str(in_flight // 10), "-d", str(body)]
        shape = http2 if target.grpc else ["--h1", "-c", str(in_flight)]
        headers = [part for name, value in target.headers.items() for part in ("-H", f"{name}: {value}")]
        duration = ["-t", "1", "-D", f"{seconds + WARM_SECONDS:g}", f"--log-file={log}"]
        command = [find(), *shape, *duration, *headers, target.url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        calls = _refuse_failures(done.stdout, target, in_flight)
        return _sample(log.read_text(), calls)


def _refuse_failures(printed: str, target: Target, in_flight: int) -> int:
    requests, data = _REQUESTS.search(printed), _DATA.search(printed)
    if requests is None or data is None:
        raise Failed(printed)
    done, succeeded, *wrong = map(int, requests.groups())
    # Answers that were on their way at the end are counted in bytes and not in calls.
    surplus = int(data[1]) - done * target.answer_bytes
    if any(wrong) or succeeded != done or not 0 <= surplus <= in_flight * target.answer_bytes:
        raise Failed(f"{target.url}: {done} calls, {wrong} went wrong, {data[1]} bytes of {target.answer_bytes} each")
    return done


def _sample(log: str, calls: int) -> Sample:
    rows = [line.split("\t") for line in log.splitlines()]
    spans = [(int(start), int(start) + int(took)) for start, status, took in rows if status == "200"]
    first = min(start for start, _ in spans) + round(WARM_SECONDS * 1e6)
    counted = [(start, end) for start, end in spans if start >= first]
    seconds = (max(end for _, end in counted) - first) / 1e6
    cuts = statistics.quantiles([(end - start) / 1e3 for start, end in counted], n=100)
    return Sample(len(counted) / seconds, cuts[49], cuts[94], cuts[98], calls)
