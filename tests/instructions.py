"""Counting what Python executes: the same on a busy machine and on a quiet one, so a test may have a bound on it."""

import asyncio
import sys
from collections import Counter
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
    return min([_of_ours(await counted(call)) for _ in range(RUNS)])


def _of_ours(counts: Counter[str]) -> int:
    return sum(count for file, count in counts.items() if not file.startswith(LOOP))


async def counted(call: Callable[[], Awaitable[object]]) -> Counter[str]:
    """Returns how many instructions a call takes, by the file they stand in; also those of other tasks meanwhile."""
    counts: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
        elif event == "opcode":
            counts[frame.f_code.co_filename] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await call()
    finally:
        sys.settrace(before)
    return counts
