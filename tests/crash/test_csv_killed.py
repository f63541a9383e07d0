"""A server is killed with SIGKILL while it writes a CSV file; the next one goes on, and every count is true."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from svoykrug.purchases.v1 import purchase_pb2
from svoykrug.purchases.v1 import purchases_service_pb2 as pb

from svoykrug_client import Client, ServiceKey
from svoykrug_server.purchases.csv.reader import BATCH_ROWS
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.stores import open_stores
from tests.crash import proof
from tests.crash.own_rows import OwnCircle, add_circle
from tests.crash.server_process import settings_of, started
from tests.waiting import until

BATCHES = 5
LINES = BATCH_ROWS * (BATCHES - 1) + 123
CHUNK_BYTES = 400_000
DEATHS = (("csv.batch_written:1", 0), ("csv.batch_written:2", 1), ("csv.batch_committed:2", 3))
"""Where the server dies, and how many batches are committed then."""


async def test_a_file_whose_writer_is_killed_three_times_is_written_once(data_dir: Path) -> None:
    key = await proof.service_key(data_dir)
    async with open_stores(settings_of(data_dir)) as stores:
        circle = await add_circle(stores.postgres)
        async with started(data_dir) as server, Client(await server.target(), insecure=True, service_key=key) as client:
            import_id = await upload(client, circle, "".join(file_lines()).encode("windows-1251"))

        await die(data_dir, stores.postgres, *DEATHS[0], key=key, asked=finish(circle, import_id))
        for failpoint, batches in DEATHS[1:]:
            await die(data_dir, stores.postgres, failpoint, batches)

        async with started(data_dir) as server, Client(await server.target(), insecure=True, service_key=key) as client:
            csv_import = await written(client, circle, import_id)
        rows = await ledger(stores.postgres)

    assert (csv_import.row_count, csv_import.recorded_count) == (LINES, LINES)
    assert (csv_import.duplicate_count, csv_import.rejected_count) == (0, 0)
    assert rows == {f"чек-{number}": number for number in range(LINES)}


def file_lines() -> Iterator[str]:
    """Returns the file's lines."""
    yield "Телефон;Чек;Сумма;Дата\r\n"
    for number in range(LINES):
        yield f"8 (900) 000-00-{number % 50:02};чек-{number};{number // 100},{number % 100:02};01.05.2025\r\n"


async def upload(client: Client, circle: OwnCircle, content: bytes) -> str:
    """Uploads the file."""
    business_id = str(circle.business_id)
    started_import = await client.purchases.StartCsvImport(
        pb.StartCsvImportRequest(business_id=business_id, request_id=str(uuid4()))
    )
    import_id: str = started_import.csv_import.id
    for offset in range(0, len(content), CHUNK_BYTES):
        chunk = content[offset : offset + CHUNK_BYTES]
        await client.purchases.UploadCsvChunk(
            pb.UploadCsvChunkRequest(business_id=business_id, csv_import_id=import_id, offset_bytes=offset, chunk=chunk)
        )
    return import_id


def finish(circle: OwnCircle, import_id: str) -> pb.FinishCsvImportRequest:
    """Returns the request to write the file."""
    return pb.FinishCsvImportRequest(business_id=str(circle.business_id), csv_import_id=import_id)


async def die(
    data_dir: Path,
    postgres: Postgres,
    failpoint: str,
    batches: int,
    key: ServiceKey | None = None,
    asked: pb.FinishCsvImportRequest | None = None,
) -> None:
    """Starts a server that dies at a batch; without a request it takes up what the one before was at."""
    async with started(data_dir, failpoint) as server:
        if key is not None and asked is not None:
            async with Client(await server.target(), insecure=True, service_key=key) as client:
                await client.purchases.FinishCsvImport(asked)
        async with asyncio.timeout(60):
            await server.process.wait()
    assert server.process.returncode == -signal.SIGKILL
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        # Its lease need not be waited for.
        await driver.execute("UPDATE operations SET lease_expire_time = now() WHERE state = 'running'")
        assert await driver.fetchval("SELECT count(*) FROM purchase_entries") == batches * BATCH_ROWS
        assert await driver.fetchval("SELECT row_count FROM csv_imports") == batches * BATCH_ROWS


async def written(client: Client, circle: OwnCircle, import_id: str) -> purchase_pb2.CsvImport:
    """Waits until the file is written and returns how the import stands."""
    request = pb.GetCsvImportRequest(business_id=str(circle.business_id), csv_import_id=import_id)
    seen: list[purchase_pb2.CsvImport] = []

    async def is_written() -> bool:
        seen.append((await client.purchases.GetCsvImport(request)).csv_import)
        return seen[-1].state == purchase_pb2.CSV_IMPORT_STATE_WRITTEN

    await until(is_written, 60)
    return seen[-1]


async def ledger(postgres: Postgres) -> dict[str, int]:
    """Returns every purchase's amount by its receipt."""
    async with postgres.read() as connection:
        rows = await connection.fetch("SELECT external_id, amount_minor FROM purchase_entries")
    return {row["external_id"]: row["amount_minor"] for row in rows}
