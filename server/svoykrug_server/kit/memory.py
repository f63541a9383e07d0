"""Memory that was freed and that the C library keeps."""

import ctypes


def give_back_freed() -> None:
    """Gives freed memory back to the system, so that work that needed much leaves a process as small as before.

    Takes milliseconds. Only glibc keeps so much that it is worth asking, and has a way to ask.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
