"""ClickHouse over HTTP in a process of its own, to be killed: `python -m ... FOLDER PORT` prints `ready`."""

import asyncio
import sys

import chdb

from tests.storage.clickhouse_http import clickhouse_server


async def main(folder: str, port: int) -> None:
    """Serves until it is killed."""
    keep = chdb.connect(folder)  # Otherwise every request would open the folder anew.
    async with clickhouse_server(folder, port):
        print("ready", flush=True)  # noqa: T201  its answer
        await asyncio.Event().wait()
    keep.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
