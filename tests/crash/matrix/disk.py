"""A small disk below a data folder, that can be full for a while.

Root mounts a file system in memory and makes it as small as what it holds: every write that needs room is told ENOSPC.
Others, and root where mounting is refused, limit the size of files of every process that has the folder open: every
write to a file is told EFBIG.
"""

import os
import resource
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SIZE_MB = 3_000
MOST_LOOKS = 100


class Disk(ABC):
    """A disk that can be full."""

    @abstractmethod
    @contextmanager
    def full(self) -> Iterator[None]:
        """Lets no write have room for the length of the block."""


class MountedDisk(Disk):
    """A file system in memory.

    Args:
        path: Where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Makes it as small as what it holds."""
        # What the stores write between the look and the mount makes it hold more, and the mount is refused.
        for _ in range(MOST_LOOKS):
            if self._is_resized(f"{self._used_kb()}k"):
                break
        else:
            raise AssertionError("the disk holds more at every look")
        try:
            yield
        finally:
            assert self._is_resized(f"{SIZE_MB}m")

    def _used_kb(self) -> int:
        usage = os.statvfs(self._path)
        return (usage.f_blocks - usage.f_bfree) * usage.f_frsize // 1024

    def _is_resized(self, size: str) -> bool:
        command = ["mount", "-o", f"remount,size={size}", str(self._path)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


class LimitedFiles(Disk):
    """A limit to files, set from outside to whoever works in the folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Lets no file grow."""
        self._limit(4096)
        try:
            yield
        finally:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, soft_bytes: int) -> None:
        for process in self._processes():
            try:
                _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (soft_bytes, hard))
            except psutil.NoSuchProcess:
                continue

    def _processes(self) -> Iterator[psutil.Process]:
        """Returns the server and PostgreSQL, and their children."""
        for process in psutil.process_iter():
            try:
                texts = (*process.cmdline(), *process.environ().values())
                if process.pid != os.getpid() and any(str(self._path) in text for text in texts):
                    yield process
                    yield from process.children(recursive=True)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue


@contextmanager
def small_disk(path: Path) -> Iterator[Disk]:
    """Puts a small disk at a path for the length of the block."""
    path.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0711", "tmpfs", str(path)]
    mounted = (
        os.geteuid() == 0 and subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
    )
    try:
        yield MountedDisk(path) if mounted else LimitedFiles(path)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
