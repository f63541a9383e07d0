"""Memory that was freed and that allocators keep."""

import ctypes
import os

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE_BYTES = 1 << 20


def return_large_blocks() -> None:
    """Has large blocks given back to the system as soon as they are freed; to be called before pyarrow is loaded.

    Arrow's own allocator keeps what was freed, for each thread that ever used it, so Arrow is to use the C library's.
    glibc gives a block of its own mapping back at once, but takes each such block for a reason to map only larger ones
    from then on, up to 32 MB, unless it is told a size. A worker that shipped imports and made snapshots
    had 272 MB without both, 203 without the second, and has 189.

    Whoever names another allocator in Arrow's variable gets it.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # noqa: TID251  Arrow reads it, it is no setting of ours
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is not None:
        tell(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back_freed() -> None:
    """Gives freed memory back to the system, so that work that needed much leaves a process as small as before.

    Takes milliseconds. Only glibc keeps so much that it is worth asking, and has a way to ask.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
