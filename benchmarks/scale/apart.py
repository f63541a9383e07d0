"""A process of its own for pandas: it must not share its memory, nor its lock, with the server's code."""

import asyncio
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from benchmarks.scale.measuring import MEGABYTE


class PandasProcess:
    """pandas with a table in memory, in a process of its own.

    Args:
        file: The table, as `circle.copy_to_file` wrote it.
    """

    def __init__(self, file: Path) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._ours, theirs = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(theirs, str(file)), daemon=True)
        self._process.start()
        theirs.close()
        self._ours.recv()

    async def ask(self, name: str) -> Any:
        """Returns what a method of `InPandas` returns."""
        return await asyncio.to_thread(self._ask, name, True)

    async def run(self, name: str) -> None:
        """Runs a method of `InPandas`, and leaves what it returns where it is."""
        await asyncio.to_thread(self._ask, name, False)

    def memory_mb(self) -> float:
        """Returns how much memory the process has."""
        return psutil.Process(self._process.pid).memory_info().rss / MEGABYTE

    def close(self) -> None:
        """Ends the process."""
        self._ours.close()
        self._process.join()

    def _ask(self, name: str, wanted: bool) -> Any:
        self._ours.send((name, wanted))
        return self._ours.recv()


def _serve(theirs: Connection, file: str) -> None:
    import pandas as pd  # noqa: PLC0415  this process alone needs it

    from benchmarks.scale.in_pandas import InPandas  # noqa: PLC0415  as above

    tables = InPandas(pd.read_parquet(file))
    theirs.send(None)
    try:
        while True:
            name, wanted = theirs.recv()
            found = getattr(tables, name)()
            theirs.send(found if wanted else None)
    except EOFError:
        return
