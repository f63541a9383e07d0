"""The disks of the crash matrix are full when they say so, with and without the right to mount one."""

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.crash.matrix.disk import Disk, LimitedFiles, small_disk

WRITER = """
import pathlib, sys
for number, _ in enumerate(sys.stdin):
    try:
        (pathlib.Path(sys.argv[1]) / str(number)).write_bytes(bytes(1_000_000))
        print(0, flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


@contextmanager
def limited(path: Path) -> Iterator[Disk]:
    """Gives the disk of those who may not mount."""
    path.mkdir()
    yield LimitedFiles(path)


@pytest.mark.parametrize("disk_at", [small_disk, limited])
def test_a_full_disk_refuses_what_is_written_until_there_is_room(
    data_dir: Path, disk_at: Callable[[Path], AbstractContextManager[Disk]]
) -> None:
    with disk_at(data_dir) as disk:
        command = [sys.executable, "-c", WRITER, str(data_dir)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            told = [_write(writer)]
            with disk.full():
                told.append(_write(writer))
            told.append(_write(writer))
            assert writer.stdin is not None
            writer.stdin.close()
    assert told[0] == told[2] == 0
    assert told[1] in (errno.ENOSPC, errno.EFBIG)


def _write(writer: "subprocess.Popen[str]") -> int:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("\n")
    writer.stdin.flush()
    return int(writer.stdout.readline())
