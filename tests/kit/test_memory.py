"""What becomes of freed memory, in a process of its own."""

import os
import platform
import subprocess
import sys

# Frees a block of 24 MB, which glibc alone would take for a reason to keep the next; then frees 100 of 2 MB, among
# smaller ones that stay. What is left of all is printed in megabytes, and Arrow's allocator.
_PROGRAM = """
import ctypes, sys
import psutil
from svoykrug_server.kit.memory import return_large_blocks

if sys.argv[1] == "returned":
    return_large_blocks()
import pyarrow

def resident_mb():
    return psutil.Process().memory_info().rss / 1e6

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def filled(size):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    return block

before = resident_mb()
libc.free(filled(24 << 20))
blocks = [(filled(2 << 20), filled(60_000)) for _ in range(100)]
for large, _ in blocks:
    libc.free(large)
print(round(resident_mb() - before), pyarrow.default_memory_pool().backend_name)
"""


def left(how: str, **environment: str) -> tuple[int, str]:
    """Runs the program, and returns what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    command = [sys.executable, "-c", _PROGRAM, how]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env={**inherited, **environment})
    megabytes, allocator = printed.stdout.split()
    return int(megabytes), allocator


def test_large_blocks_are_given_back_as_soon_as_they_are_freed() -> None:
    assert left("returned")[0] < 20
    if platform.libc_ver()[0] == "glibc":
        assert left("kept")[0] > 150


def test_arrow_uses_the_allocator_of_the_c_library_unless_another_is_named() -> None:
    assert left("returned")[1] == "system"
    assert left("returned", ARROW_DEFAULT_MEMORY_POOL="mimalloc")[1] == "mimalloc"
