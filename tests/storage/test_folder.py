"""The data folder: made, versioned, owned by one server, refused in one clear line."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.folder import FOLDER_VERSION, DataFolder, explained, write_atomically

OWNER = """
import sys
from pathlib import Path
from svoykrug_server.storage.folder import DataFolder
folder = DataFolder(Path(sys.argv[1]))
folder.open(0)
with folder.owned({"http_port": 9464}):
    print("owned", flush=True)
    sys.stdin.read()
"""


def test_a_missing_folder_is_made_with_its_version(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    folder.open(0)
    assert (folder.path / "version").read_text() == f"{FOLDER_VERSION}\n"
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o711
    assert stat.S_IMODE(folder.secrets.stat().st_mode) == 0o700


def test_a_folder_that_existed_keeps_its_permissions(tmp_path: Path) -> None:
    existing = tmp_path / "data"
    existing.mkdir(mode=0o750)
    DataFolder(existing).open(0)
    assert stat.S_IMODE(existing.stat().st_mode) == 0o750


@pytest.mark.parametrize(
    ("version", "exit_code", "words"),
    [
        (str(FOLDER_VERSION + 1), ExitCode.DATA_FOLDER_NEWER, "newer version"),
        ("none", ExitCode.DATA_FOLDER_UNUSABLE, "damaged"),
        (b"\xff\xfe", ExitCode.DATA_FOLDER_UNUSABLE, "damaged"),
    ],
)
def test_a_folder_of_another_version_is_refused(
    tmp_path: Path, version: str | bytes, exit_code: ExitCode, words: str
) -> None:
    (tmp_path / "version").write_bytes(version if isinstance(version, bytes) else version.encode())
    with pytest.raises(CannotStart, match=words) as refusal:
        DataFolder(tmp_path).open(0)
    assert refusal.value.exit_code is exit_code
    assert not (tmp_path / "secrets").exists()


def test_a_nearly_full_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="is full") as refusal:
        DataFolder(tmp_path).open(10**9)
    assert refusal.value.exit_code is ExitCode.DISK_FULL


def test_a_folder_under_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="cannot be used") as refusal:
        DataFolder(tmp_path / "file" / "data").open(0)
    assert refusal.value.exit_code is ExitCode.DATA_FOLDER_UNUSABLE


def test_what_a_server_meets_while_it_owns_a_folder_is_not_blamed_on_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.open(0)
    with pytest.raises(PermissionError), folder.owned({}):
        raise PermissionError(errno.EACCES, "elsewhere")


def test_no_space_left_while_writing_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="no space left"), explained(tmp_path):
        Path("/dev/full").write_text("x")


def test_one_server_owns_a_folder_and_the_other_is_told_who(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.open(0)
    assert folder.owner() is None
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "owned\n"
    assert folder.owner() == {"pid": owner.pid, "http_port": 9464}
    with pytest.raises(CannotStart, match=f"process {owner.pid}") as refusal, folder.owned({}):
        raise AssertionError
    assert refusal.value.exit_code is ExitCode.ALREADY_RUNNING
    owner.kill()
    owner.communicate()
    assert folder.owner() is None
    with folder.owned({}):
        assert json.loads((tmp_path / "server.lock").read_text()) == {"pid": os.getpid()}


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    write_atomically(file, "new", mode=0o600)
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
