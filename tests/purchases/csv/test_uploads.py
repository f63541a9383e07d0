"""Uploads in chunks: in order, each byte once, from any number of servers."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from svoykrug_server.kit.errors import DomainError, InvalidFields
from svoykrug_server.purchases.csv.model import MAX_FILE_BYTES, CsvFormat
from svoykrug_server.purchases.csv.repository import CsvImportRepository
from tests.purchases.circle import IMPORTER, Circle
from tests.purchases.csv.running import fetched, file_of, runner_of, uploaded

DATE = "01.05.2026 15:00"


async def test_an_import_out_of_order_is_refused_with_what_has_arrived(circle: Circle) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    uploads, content = circle.csv.uploads, file_of(f"{member.phone};r-1;1;{DATE}")
    empty = await uploads.start(IMPORTER, business_id, CsvFormat(), uuid4())
    import_id = await uploaded(circle, business_id, content)

    async def received(call: Any) -> str:
        with pytest.raises(InvalidFields, match="IMPORT_OUT_OF_ORDER") as refused:
            await call
        return refused.value.metadata["received_bytes"]

    assert await received(uploads.finish(IMPORTER, business_id, empty.id, None, dry_run=True)) == "0"
    assert await received(uploads.upload(IMPORTER, business_id, import_id, len(content) + 1, b"x")) == str(len(content))
    assert await received(uploads.upload(IMPORTER, business_id, import_id, 0, b"other")) == str(len(content))
    assert await uploads.upload(IMPORTER, business_id, import_id, 0, content) == len(content)
    first = await uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)
    assert (await uploads.finish(IMPORTER, business_id, import_id, None, dry_run=False)).id == first.id
    await received(uploads.finish(IMPORTER, business_id, import_id, None, dry_run=True))
    await received(uploads.upload(IMPORTER, business_id, import_id, len(content), b"more"))
    await runner_of(circle).run_one()
    await received(uploads.upload(IMPORTER, business_id, import_id, len(content), b"more"))


async def test_a_chunk_sent_by_two_servers_at_once_is_taken_once(circle: Circle) -> None:
    business_id = await circle.add_business()
    uploads = circle.csv.uploads
    started_import = await uploads.start(IMPORTER, business_id, CsvFormat(), uuid4())

    async def send(chunk: bytes) -> int | str:
        try:
            return await uploads.upload(IMPORTER, business_id, started_import.id, 0, chunk)
        except DomainError as error:
            return error.reason

    same = list(await asyncio.gather(*(send(b"12345") for _ in range(6))))
    mixed = list(await asyncio.gather(send(b"12345"), send(b"54321")))

    assert same == [5] * 6
    assert mixed == [5, "IMPORT_OUT_OF_ORDER"]
    assert await fetched(circle, "SELECT content FROM csv_chunks") == [(b"12345",)]


async def test_a_file_is_not_larger_than_200_megabytes(circle: Circle) -> None:
    business_id = await circle.add_business()
    started_import = await circle.csv.uploads.start(IMPORTER, business_id, CsvFormat(), uuid4())
    async with circle.postgres.transaction() as tx:
        await CsvImportRepository().add_chunk(tx, started_import.id, MAX_FILE_BYTES - 2, b"", b"hash")

    with pytest.raises(InvalidFields, match="INVALID_FIELDS"):
        await circle.csv.uploads.upload(IMPORTER, business_id, started_import.id, MAX_FILE_BYTES - 2, b"abc")


async def test_the_same_request_starts_one_import(circle: Circle) -> None:
    business_id, request_id = await circle.add_business(), uuid4()
    first = await circle.csv.uploads.start(IMPORTER, business_id, CsvFormat(), request_id)

    assert await circle.csv.uploads.start(IMPORTER, business_id, CsvFormat(), request_id) == first
    with pytest.raises(InvalidFields, match="REQUEST_ID_REUSED"):
        await circle.csv.uploads.start(IMPORTER, business_id, CsvFormat(delimiter=";"), request_id)
