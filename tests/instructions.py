"""Counting what Python executes: the same on a busy machine and on a quiet one, so a test may have a bound on it."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

LOOP = str(Path(asyncio.__file__).parent)
"""Where the event loop's own code is: how often it turns while a store is awaited depends on the machine."""
RUNS = 5


async def instructions(call: Callable[[], Awaitable[object]]) -> int:
    """Returns how many of Python's bytecode instructions a call takes, the event loop's own left out.

    The least of some runs: what else the loop may run meanwhile only adds to one.
    """
    await call()
    return min([await _counted(call) for _ in range(RUNS)])


async def _counted(call: Callable[[], Awaitable[object]]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "call":
            if frame.f_code.co_filename.startswith(LOOP):
                return None
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
        elif event == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await call()
    finally:
        sys.settrace(before)
    return count
