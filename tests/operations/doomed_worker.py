"""A worker in a process of its own, to be killed in the middle of its work: `python doomed_worker.py DATABASE_URL`."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.operations.model import OperationKind
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.runner import OperationRunner, Progress, RunnerOptions, WorkFunction
from svoykrug_server.storage.postgres import Postgres, PostgresOptions

OPTIONS = RunnerOptions(poll_seconds=0.02, heartbeat_seconds=0.1, lease_seconds=2.0)


async def never_done(parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
    """Gets to the middle and stays there."""
    await progress.report("middle", 50, 500)
    await asyncio.Event().wait()
    return {}


async def main(url: str) -> None:
    """Works until it is killed."""
    postgres = await Postgres.connect(PostgresOptions(url))
    work: dict[str, WorkFunction] = {OperationKind.CREATE_SNAPSHOT: never_done}
    await OperationRunner(OperationsRepository(postgres), work, SystemClock(), OPTIONS).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
