"""Servers of the bench: each a process of its own on loopback, ended with the block that it was started for."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from svoykrug_server.storage.secrets import SecretName

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ROOT / ".build" / "bench"
"""Where `make bench` installs what the product is compared with."""
START_SECONDS = 60.0
STOP_SECONDS = 60.0


class DidNotStart(Exception):
    """A server ended, or took no calls in time; what it printed follows."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        process: Its process.
        target: Where it takes calls, `host:port`; empty of a worker.
        start_seconds: From its start to its first open port.
        facts: What the product tells of itself once it is ready; empty of a baseline.
    """

    process: psutil.Process
    target: str
    start_seconds: float
    facts: Mapping[str, object]

    def cpu_seconds(self) -> float:
        """Returns the processor time that it has used, and the processes that it started."""
        times = (process.cpu_times() for process in (self.process, *self.process.children(recursive=True)))
        return float(sum(used.user + used.system for used in times))

    def memory_mb(self) -> float:
        """Returns how much memory it has, in megabytes (10^6 bytes)."""
        return float(self.process.memory_info().rss) / 1e6

    def own_memory_mb(self) -> float:
        """Returns how much memory it and the processes that it started have, what they share counted once."""
        everybody = (self.process, *self.process.children(recursive=True))
        return sum(process.memory_full_info().pss for process in everybody) / 1e6


def new_secrets() -> dict[str, str]:
    """Returns secrets for a product server, as its setting takes them."""
    return {f"{name}.1": b64encode(secrets.token_bytes(32)).decode() for name in SecretName}


@contextmanager
def product(folder: Path, settings: Mapping[str, str], arguments: Sequence[str] = ()) -> Iterator[Server]:
    """Runs `svoykrug serve` for the length of the block.

    Args:
        folder: Where its data lies; PostgreSQL's user can pass it.
        settings: Names without `SVOYKRUG_`, and values.
        arguments: Further arguments of the command.
    """
    own = {
        "LISTEN": '["127.0.0.1:0"]',
        "DRAIN_SECONDS": "0",
        "GRACE_SECONDS": "1",
        # One person, the only one of a measurement, calls as fast as she is answered.
        "MAX_CALLS_PER_SECOND_PER_CALLER": "1000000",
    }
    with _svoykrug(folder, "serve", {**own, **settings}, arguments) as server:
        yield server


@contextmanager
def worker(folder: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """Runs `svoykrug worker` for the length of the block.

    Args:
        folder: Where its data lies.
        settings: Names without `SVOYKRUG_`, and values; they name outside stores and secrets.
    """
    with _svoykrug(folder, "worker", settings, ()) as working:
        yield working


@contextmanager
def _svoykrug(folder: Path, command: str, settings: Mapping[str, str], arguments: Sequence[str]) -> Iterator[Server]:
    ready, log = folder / f"{command}.json", folder / f"{command}.log"
    ready.unlink(missing_ok=True)
    own = {
        "DATA_DIR": str(folder / "data"),
        "HTTP_PORT": "0",
        "READY_FILE": str(ready),
        "MINIMUM_FREE_DISK_MB": "0",
        "LOG_FORMAT": "json",
        **settings,
    }
    environment = {f"SVOYKRUG_{name}": value for name, value in own.items()}
    line = [sys.executable, "-m", "svoykrug_server", command, *arguments]
    with _process(line, log, environment) as (process, began):
        _until(ready.exists, process, log)
        took = time.monotonic() - began
        facts = json.loads(ready.read_text())
        yield Server(process, next(iter(facts["addresses"]), ""), took, facts)


@contextmanager
def baseline(command: Sequence[str], log: Path) -> Iterator[Server]:
    """Runs a baseline for the length of the block.

    Args:
        command: What to run; `--port` and a free port are added.
        log: Where it prints to.
    """
    port = free_port()
    with _process([*command, "--port", str(port)], log, {"PYTHONPATH": str(PACKAGES)}) as (process, began):
        _until(lambda: _takes_calls(port), process, log)
        yield Server(process, f"127.0.0.1:{port}", time.monotonic() - began, {})


def free_port() -> int:
    """Returns a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[tuple[psutil.Popen, float]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}  # noqa: TID251  a child's environment, not settings
    with log.open("wb") as printed:
        began = time.monotonic()
        process = psutil.Popen(
            command, cwd=ROOT, env={**inherited, **environment}, stdout=printed, stderr=subprocess.STDOUT
        )
    try:
        yield process, began
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _until(ready: Callable[[], bool], process: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise DidNotStart(log.read_text(errors="replace")[-3000:])
        time.sleep(0.01)


def _takes_calls(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
