"""The command line as a process: what works, and what a person reads on bad days."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from svoykrug_server.cli.problems import explained
from svoykrug_server.kit.startup import ExitCode
from svoykrug_server.storage.cluster import is_postgres
from tests.conftest import reachable_folder
from tests.waiting import until

SECRET = "s3cret-in-url"


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """Returns an environment with nothing of ours but a data folder, free ports and some settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
    ours = {
        "SVOYKRUG_DATA_DIR": str(data_dir),
        "SVOYKRUG_LISTEN": '["127.0.0.1:0"]',
        "SVOYKRUG_HTTP_PORT": "0",
        "SVOYKRUG_DRAIN_SECONDS": "0",
        "SVOYKRUG_READY_FILE": str(data_dir.parent / "ready.json"),
        "COLUMNS": "200",
    }
    return clean | ours | {f"SVOYKRUG_{name.upper()}": value for name, value in settings.items()}


def run(data_dir: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "svoykrug_server", *arguments],
        env=environment(data_dir, **settings),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Server:
    """A running `svoykrug serve`.

    Args:
        data_dir: Its data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.ready_file = data_dir.parent / "ready.json"
        self.ready_file.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "svoykrug_server", "serve"],
            env=environment(data_dir),
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def ready(self) -> "Server":
        """Waits until it takes calls."""
        await until(lambda: self.ready_file.exists() or self.process.poll() is not None, seconds=60)
        assert self.process.poll() is None
        return self

    @property
    def postgres(self) -> int:
        """The process id of its PostgreSQL."""
        return int((self.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(how)
        return self.process.wait(30)


@contextmanager
def serving(data_dir: Path) -> Iterator[Server]:
    server = Server(data_dir)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        if (data_dir / "postgres" / "postmaster.pid").exists() and is_postgres(server.postgres):
            os.kill(server.postgres, signal.SIGKILL)


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """One running server for every test that leaves it as it was."""
    parent = reachable_folder("svoykrug-cli-")
    with serving(parent / "data") as server:
        yield server


async def test_the_doctor_is_content_with_a_running_server(shared: Server, unused_tcp_port: int) -> None:
    await shared.ready()
    done = run(shared.data_dir, "doctor", gateway_envoy="/nowhere/envoy", gateway_listen=f"127.0.0.1:{unused_tcp_port}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"gateway +none runs: there is no Envoy here", done.stdout)
    assert f"process {shared.process.pid} takes calls" in done.stdout
    assert re.search(r"PostgreSQL +version 18", done.stdout)
    assert re.search(r"ClickHouse +version 2", done.stdout)
    assert re.search(r"pipeline +nothing waits", done.stdout)
    assert re.search(r"schedule snapshots +never done yet, due 20", done.stdout)
    assert "All is well." in done.stdout


async def test_a_role_is_granted_beside_a_running_server_and_twice_is_once(shared: Server) -> None:
    await shared.ready()
    first = run(shared.data_dir, "admin", "grant", "8 999 123-45-67", "superadmin")
    assert (first.returncode, first.stderr) == (0, "")
    assert "is superadmin now" in first.stdout
    again = run(shared.data_dir, "admin", "grant", "+79991234567", "superadmin")
    assert "is superadmin already" in again.stdout
    assert is_postgres(shared.postgres)


async def test_a_wrong_phone_is_refused_without_repeating_it(shared: Server) -> None:
    await shared.ready()
    done = run(shared.data_dir, "admin", "grant", "+7999", "admin")
    assert done.returncode == 1
    assert done.stderr == "svoykrug: Refused: INVALID_FIELDS (phone must be a phone number)\n"


async def test_a_service_account_gets_a_key_file_of_its_own(shared: Server) -> None:
    await shared.ready()
    key_file = shared.data_dir.parent / "crm.json"
    arguments = ("keys", "create-service-account", "crm", "--scope", "users.write", "--key-file", str(key_file))
    made = run(shared.data_dir, *arguments)
    assert (made.returncode, made.stderr) == (0, "")
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert set(json.loads(key_file.read_text())) == {"service_account_id", "key_id", "audience", "private_key_pem"}
    again = run(shared.data_dir, *arguments)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert "crm" in run(shared.data_dir, "keys", "list-service-accounts").stdout


async def test_a_second_server_on_the_folder_is_told_who_owns_it(shared: Server) -> None:
    await shared.ready()
    assert_refused(run(shared.data_dir, "serve"), ExitCode.ALREADY_RUNNING, f"process {shared.process.pid}")


async def test_migrate_beside_a_running_server_has_nothing_to_do(shared: Server) -> None:
    await shared.ready()
    done = run(shared.data_dir, "migrate")
    assert done.returncode == 0
    assert "the newest, already" in done.stdout


async def test_sigterm_ends_the_server_and_its_postgres(data_dir: Path) -> None:
    with serving(data_dir) as server:
        await server.ready()
        postgres = server.postgres
        assert server.end() == 0
        assert not is_postgres(postgres)
        done = run(data_dir, "doctor")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "none runs" in done.stdout


async def test_after_kill_9_the_next_start_takes_postgres_over(data_dir: Path) -> None:
    with serving(data_dir) as server:
        await server.ready()
        postgres = server.postgres
        server.end(signal.SIGKILL)
        assert is_postgres(postgres)
        with serving(data_dir) as successor:
            await successor.ready()
            assert successor.postgres == postgres
            assert successor.end() == 0
        assert not is_postgres(postgres)


async def test_the_doctor_says_that_a_stopped_postgres_does_not_answer(data_dir: Path) -> None:
    with serving(data_dir) as server:
        await server.ready()
        family = psutil.Process(server.postgres)
        # The parent first: it then has no more children than these.
        family.suspend()
        children = family.children()
        for process in children:
            process.suspend()
        done = run(data_dir, "doctor")
        for process in (*children, family):
            process.resume()
        assert done.returncode == 1
        assert "PostgreSQL did not answer" in done.stdout
        assert "Something is wrong" in done.stdout
        assert run(data_dir, "doctor").returncode == 0


def test_the_doctor_of_a_new_machine_says_what_to_do(data_dir: Path) -> None:
    done = run(data_dir, "doctor")
    assert done.returncode == 0
    assert "svoykrug serve" in done.stdout
    assert not data_dir.exists()


def test_the_doctor_says_that_postgres_cannot_be_reached(data_dir: Path, unused_tcp_port: int) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:{unused_tcp_port}/d"
    done = run(data_dir, "doctor", database_url=url)
    assert done.returncode == 1
    assert f"PostgreSQL at 127.0.0.1:{unused_tcp_port}/d cannot be reached" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert re.search(r"ClickHouse +version", done.stdout)


def assert_refused(done: "subprocess.CompletedProcess[str]", exit_code: int, words: str) -> None:
    """Checks that a command ended with one clear line, its exit code, no traceback and no secret."""
    assert done.returncode == exit_code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_an_unreachable_postgres_is_one_clear_line(data_dir: Path, unused_tcp_port: int) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:{unused_tcp_port}/d"
    assert_refused(run(data_dir, "serve", database_url=url), ExitCode.POSTGRES, "cannot be reached")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", f"mysql://u:{SECRET}@h/d"),
        ("database_url", f"postgresql://u:{SECRET}@h:port/d"),
        ("clickhouse_url", f"tcp://u:{SECRET}@h:9000"),
        ("http_port", "100000"),
        ("listen", SECRET),
        ("clickhouse_database", "Robert'); DROP"),
    ],
)
def test_a_broken_setting_is_one_clear_line_that_names_it(data_dir: Path, name: str, value: str) -> None:
    done = run(data_dir, "serve", **{name: value})
    assert_refused(done, ExitCode.SETTINGS, f"SVOYKRUG_{name.upper()}")


@pytest.mark.parametrize("setting", ["listen", "http_port"])
def test_a_port_in_use_is_one_clear_line(data_dir: Path, setting: str) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        value = {"listen": f'["127.0.0.1:{port}"]', "http_port": str(port)}[setting]
        assert_refused(run(data_dir, "serve", **{setting: value}), ExitCode.PORT_IN_USE, str(port))


def test_a_data_folder_of_a_newer_version_is_one_clear_line(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "version").write_text("2\n")
    assert_refused(run(data_dir, "serve"), ExitCode.DATA_FOLDER_NEWER, "newer version")


def test_a_full_disk_is_one_clear_line(data_dir: Path) -> None:
    assert_refused(run(data_dir, "serve", minimum_free_disk_mb="1000000000"), ExitCode.DISK_FULL, "is full")


def test_a_data_folder_that_cannot_be_made_is_one_clear_line(data_dir: Path) -> None:
    data_dir.write_text("")
    assert_refused(run(data_dir / "data", "migrate"), ExitCode.DATA_FOLDER_UNUSABLE, "cannot be used")


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, "SVOYKRUG_CLICKHOUSE_URL"),
        ({"database_url": "postgresql://nobody@127.0.0.1:1/none"}, "SVOYKRUG_CLICKHOUSE_URL"),
        (
            {"database_url": "postgresql://nobody@127.0.0.1:1/none", "clickhouse_url": "http://127.0.0.1:1/"},
            "SVOYKRUG_SECRETS_DIR",
        ),
    ],
)
def test_a_worker_that_cannot_share_with_the_servers_refuses_with_one_line(
    data_dir: Path, settings: dict[str, str], needed: str
) -> None:
    done = run(data_dir, "worker", **settings)
    assert_refused(done, ExitCode.SETTINGS, needed)
    assert not data_dir.exists()


def test_ctrl_c_while_a_command_loads_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, explained():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "svoykrug: Interrupted.\n"


def test_help_names_every_command(data_dir: Path) -> None:
    done = run(data_dir, "--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("serve", "worker", "migrate", "doctor", "admin", "keys"))
