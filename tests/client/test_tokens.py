"""A session on disk: its owner's alone, and always a whole one."""

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest

from svoykrug_client import FileTokenStore, ServiceKey, StoredSession

SESSION = StoredSession("anna", "a secret", "request id")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.json"


def test_a_session_is_read_back_as_it_was_saved(path: Path) -> None:
    FileTokenStore(path).save(SESSION)
    assert FileTokenStore(path).load() == SESSION


def test_without_a_file_nobody_is_signed_in(path: Path) -> None:
    assert FileTokenStore(path).load() is None


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_only_the_owner_may_read_the_file_whatever_the_umask_and_the_file_before(path: Path, umask: int) -> None:
    path.touch(0o666)
    before = os.umask(umask)
    try:
        FileTokenStore(path).save(SESSION)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) & ~0o600 == 0


def test_a_save_that_fails_leaves_the_session_before_and_no_litter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileTokenStore(path)
    store.save(SESSION)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(StoredSession("anna", "another secret"))
    assert store.load() == SESSION
    assert list(path.parent.iterdir()) == [path]


def test_a_new_session_is_on_disk_before_it_takes_the_old_ones_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def traced_fsync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def traced_replace(source: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(Path, "replace", traced_replace)
    FileTokenStore(path).save(SESSION)
    assert steps == ["sync file", "replace", "sync folder"]


def test_saving_nothing_removes_the_file_also_when_there_is_none(path: Path) -> None:
    store = FileTokenStore(path)
    store.save(SESSION)
    store.save(None)
    store.save(None)
    assert list(path.parent.iterdir()) == []


async def test_the_lock_is_an_empty_file_of_its_owner_beside_the_session(path: Path) -> None:
    store = FileTokenStore(path)
    async with store.lock():
        store.save(SESSION)
    (lock,) = set(path.parent.iterdir()) - {path}
    assert (lock.name, lock.stat().st_size) == (f"{path.name}.lock", 0)
    assert stat.S_IMODE(lock.stat().st_mode) & ~0o600 == 0


async def test_the_lock_keeps_others_out_until_it_is_left_and_waiting_can_be_cancelled(path: Path) -> None:
    async def enter() -> None:
        async with FileTokenStore(path).lock():
            pass

    async with FileTokenStore(path).lock():
        patient, doomed = asyncio.create_task(enter()), asyncio.create_task(enter())
        done, _ = await asyncio.wait([patient, doomed], timeout=0.2)
        assert not done
        doomed.cancel()
        await asyncio.wait([doomed])
        assert doomed.cancelled()
        assert not patient.done()
    await patient


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '"text"', '{"user_id": "anna"}', '{"unknown": 1}', "\x00", '{"user_id": 1, "refresh_token": 2}'],
)
def test_a_file_that_holds_something_else_is_said_to(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="holds no session"):
        FileTokenStore(path).load()


def test_secrets_are_not_printed(service_key: ServiceKey) -> None:
    assert SESSION.refresh_token not in repr(SESSION)
    assert "PRIVATE KEY" not in repr(service_key)


def test_a_service_key_file_is_read(path: Path, service_key: ServiceKey) -> None:
    names = ("service_account_id", "key_id", "audience", "private_key_pem")
    path.write_text(json.dumps({name: getattr(service_key, name) for name in names}), "utf-8")
    assert ServiceKey.from_file(path) == service_key


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"service_account_id": "x"}'])
def test_a_service_key_file_that_holds_something_else_is_said_to(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="holds no service account key"):
        ServiceKey.from_file(path)
