"""The embedded PostgreSQL: started, shared, taken over, and started again whatever was killed."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage import cluster
from svoykrug_server.storage.cluster import Cluster, is_postgres
from svoykrug_server.storage.embedded import WATCH_SECONDS, EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from tests.conftest import reachable_folder
from tests.waiting import until

STARTER = """
import sys, time
from pathlib import Path
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
folder = DataFolder(Path(sys.argv[1]))
folder.open(0)
server = EmbeddedPostgres.start(folder, durable=False)
print(server.process_id, server.url, flush=True)
sys.stdin.read()
server.stop()
"""
"""A process that starts PostgreSQL, says where it is, and stops it when its standard input ends."""


@pytest.fixture
def folder(data_dir: Path) -> Iterator[DataFolder]:
    """An open data folder; whatever PostgreSQL a failed test left there is killed."""
    opened = DataFolder(data_dir)
    opened.open(0)
    yield opened
    running = Cluster(opened).postmaster()
    if running is not None:
        os.kill(running.process_id, signal.SIGKILL)


def start(folder: DataFolder) -> EmbeddedPostgres:
    return EmbeddedPostgres.start(folder, durable=False)


def start_elsewhere(folder: DataFolder) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Returns the id and the URL of the PostgreSQL that another process started."""
    assert process.stdout is not None
    process_id, url = process.stdout.readline().split()
    return int(process_id), url


async def answer(url: str) -> int:
    connection = await asyncpg.connect(url)
    one: int = await connection.fetchval("SELECT 1")
    await connection.close()
    return one


async def test_it_starts_answers_and_stops(folder: DataFolder) -> None:
    server = start(folder)
    assert await answer(server.url) == 1
    server.stop()
    assert not server.is_running()
    assert Cluster(folder).postmaster() is None


async def test_it_keeps_its_port_and_password_from_start_to_start(folder: DataFolder) -> None:
    first = start(folder)
    first.stop()
    second = start(folder)
    assert second.url == first.url
    assert await answer(second.url) == 1
    second.stop()


async def test_a_taken_port_is_replaced_by_another(folder: DataFolder) -> None:
    first = start(folder)
    first.stop()
    port = Cluster(folder).preferred_port

    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        second = start(folder)
        assert Cluster(folder).preferred_port != port
        assert await answer(second.url) == 1
        second.stop()


async def test_two_users_share_one_and_the_last_stops_it(folder: DataFolder) -> None:
    first, second = start(folder), start(folder)
    assert first.process_id == second.process_id
    first.stop()
    assert await answer(second.url) == 1
    second.stop()
    assert not is_postgres(second.process_id)


async def test_of_many_racing_starters_all_get_the_same_one(folder: DataFolder) -> None:
    with ThreadPoolExecutor(4) as threads:
        servers = list(threads.map(start, [folder] * 4))
    processes = [start_elsewhere(folder) for _ in range(2)]
    urls = {said(process) for process in processes} | {(server.process_id, server.url) for server in servers}
    assert len(urls) == 1
    for server in servers:
        server.stop()
    assert await answer(servers[0].url) == 1
    for process in processes:
        process.communicate("", timeout=20)
    assert not is_postgres(servers[0].process_id)


async def test_one_that_outlived_its_killed_starter_is_taken_over(folder: DataFolder) -> None:
    starter = start_elsewhere(folder)
    process_id, url = said(starter)
    starter.kill()
    starter.communicate()
    assert is_postgres(process_id)
    server = start(folder)
    assert (server.process_id, server.url) == (process_id, url)
    assert await answer(server.url) == 1
    server.stop()
    await until(lambda: not is_postgres(process_id))


async def test_after_kill_9_of_itself_it_starts_again_with_its_rows(folder: DataFolder) -> None:
    server = start(folder)
    connection = await asyncpg.connect(server.url)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    os.kill(server.process_id, signal.SIGKILL)
    await until(lambda: not server.is_running())
    connection.terminate()
    assert (folder.postgres / "postmaster.pid").exists()
    again = start(folder)
    reader = await asyncpg.connect(again.url)
    assert await reader.fetchval("SELECT seven FROM kept") == 7
    await reader.close()
    again.stop()
    server.stop()


async def test_a_postmaster_pid_that_names_another_program_is_removed(folder: DataFolder) -> None:
    server = start(folder)
    lines = (folder.postgres / "postmaster.pid").read_text().splitlines()
    server.stop()
    lines[0] = str(os.getpid())
    (folder.postgres / "postmaster.pid").write_text("\n".join(lines) + "\n")
    again = start(folder)
    assert await answer(again.url) == 1
    again.stop()


async def test_a_cluster_that_was_half_made_is_made_again(folder: DataFolder) -> None:
    unfinished = folder.path / "postgres.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    server = start(folder)
    assert await answer(server.url) == 1
    server.stop()
    assert not unfinished.exists()


async def test_a_cluster_whose_database_could_not_be_made_is_made_again(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "DATABASE", "postgres")
        with pytest.raises(CannotStart, match="already exists"):
            start(folder)
    assert not folder.postgres.exists()
    server = start(folder)
    assert await answer(server.url) == 1
    server.stop()


async def test_a_folder_that_cannot_be_written_for_a_while_does_not_end_the_restarts(folder: DataFolder) -> None:
    server = start(folder)
    supervising = asyncio.create_task(server.supervise())
    lock = folder.path / "postgres.start.lock"
    lock.unlink()
    lock.mkdir()
    before = server.process_id
    os.kill(before, signal.SIGKILL)
    await until(lambda: not server.is_running())
    await asyncio.wait([supervising], timeout=2 * WATCH_SECONDS)
    assert not server.is_running()
    lock.rmdir()
    await until(lambda: server.process_id != before and server.is_running(), seconds=20)
    supervising.cancel()
    server.stop()


@pytest.mark.parametrize("name", ["postgres/PG_VERSION", "secrets/postgres_password"])
async def test_a_lost_file_is_one_clear_line_that_names_it(folder: DataFolder, name: str) -> None:
    start(folder).stop()
    (folder.path / name).write_text("")
    with pytest.raises(CannotStart, match=f"{name} is missing or empty") as refusal:
        start(folder)
    assert refusal.value.exit_code is ExitCode.DATA_FOLDER_UNUSABLE


@pytest.mark.parametrize("noted", ["", "nonsense"])
async def test_without_the_port_of_the_last_start_another_is_taken(folder: DataFolder, noted: str) -> None:
    start(folder).stop()
    (folder.path / "postgres.port").write_text(noted)
    server = start(folder)
    assert await answer(server.url) == 1
    server.stop()


async def test_a_stop_of_the_terminal_does_not_reach_it(folder: DataFolder) -> None:
    server = start(folder)
    assert os.getpgid(server.process_id) != os.getpgid(0)
    server.stop()


async def test_a_cluster_of_another_postgres_is_one_clear_line(folder: DataFolder) -> None:
    start(folder).stop()
    (folder.postgres / "PG_VERSION").write_text("19\n")
    with pytest.raises(CannotStart, match="PostgreSQL 19") as refusal:
        start(folder)
    assert refusal.value.exit_code is ExitCode.DATA_FOLDER_NEWER


async def test_a_postgres_that_will_not_start_says_why_in_one_line(folder: DataFolder) -> None:
    start(folder).stop()
    with (folder.postgres / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = nonsense\n")
    with pytest.raises(CannotStart, match="did not start") as refusal:
        start(folder)
    assert "\n" not in str(refusal.value)
    assert str(folder.postgres_log) in str(refusal.value)


async def test_a_cluster_that_lost_its_control_file_says_so_in_one_line(folder: DataFolder) -> None:
    start(folder).stop()
    (folder.postgres / "global" / "pg_control").unlink()
    with pytest.raises(CannotStart, match="could not find the database system"):
        start(folder)


async def test_a_long_log_is_renamed_at_the_next_start(folder: DataFolder) -> None:
    folder.postgres_log.write_bytes(b"x" * 10_000_001)
    start(folder).stop()
    assert folder.postgres_log.stat().st_size < 10_000
    assert folder.postgres_log.with_suffix(".log.1").stat().st_size == 10_000_001


async def test_a_folder_its_user_cannot_reach_keeps_its_permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    is_root = os.geteuid() == 0
    parent, elsewhere = reachable_folder("svoykrug-closed-"), reachable_folder("svoykrug-elsewhere-")
    parent.chmod(0o700)
    monkeypatch.setattr(cluster, "ELSEWHERE", elsewhere / "clusters")
    closed = DataFolder(parent / "data")
    closed.open(0)
    server = start(closed)
    assert await answer(server.url) == 1
    assert parent.stat().st_mode & 0o777 == 0o700
    assert closed.postgres.exists() is not is_root
    server.stop()
    again = start(closed)
    assert again.url == server.url
    again.stop()
    shutil.rmtree(parent)
    shutil.rmtree(elsewhere)


def test_root_is_never_who_it_runs_as(folder: DataFolder) -> None:
    server = start(folder)
    assert psutil.Process(server.process_id).uids().real != 0
    server.stop()
