"""A slow reader of an export makes it slow and nothing else: the server reads no further than she takes."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from uuid import UUID

import grpc
import pytest
from svoykrug.users.v1 import users_service_pb2 as pb
from svoykrug.users.v1.users_service_pb2_grpc import (
    UsersServiceServicer,
    UsersServiceStub,
    add_UsersServiceServicer_to_server,
)

from svoykrug_server.storage.audit import Origin
from svoykrug_server.users.personal_data.composition import PersonalData
from svoykrug_server.users.personal_data.export import DataExport
from svoykrug_server.users.personal_data.model import ExportPart
from svoykrug_server.users.personal_data.servicer import PersonalDataMethods, PersonalDataUseCases
from tests.callers import person
from tests.purchases.circle import Circle
from tests.serving import Served, serving
from tests.users.people import join
from tests.waiting import until

PHONE = "+79161234567"
ROWS, ROW_BYTES = 1_000, 64 * 1024
"""Far more than gRPC itself buffers; each row fills a part."""


class CountedExport:
    """An export that counts the parts it was asked for."""

    def __init__(self, export: DataExport) -> None:
        self._export = export
        self.part_count = 0
        self.closed = False

    async def export(self, call: Origin) -> AsyncGenerator[ExportPart]:
        """Yields the parts, counted."""
        try:
            async for part in self._export.export(call):
                self.part_count += 1
                yield part
        finally:
            self.closed = True


class Servicer(PersonalDataMethods, UsersServiceServicer):
    """Serves the methods about her data alone."""


@pytest.fixture
def counted(personal_data: PersonalData) -> CountedExport:
    return CountedExport(personal_data.use_cases.export)


@pytest.fixture
async def served(personal_data: PersonalData, counted: CountedExport) -> AsyncIterator[Served]:
    export: Any = counted
    make: Any = Servicer  # the other methods of the service answer UNIMPLEMENTED
    servicer = make(PersonalDataUseCases(personal_data.use_cases.deletion, export))
    async with serving(lambda server: add_UsersServiceServicer_to_server(servicer, server)) as running:
        yield running


@pytest.fixture
async def anna(circle: Circle) -> UUID:
    user_id = await join(circle.postgres, circle.clock.now(), PHONE)
    async with circle.postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "INSERT INTO idempotency_records (subject, method, request_id, request_hash, answer, created_time) "
            "SELECT $1, 'any', gen_random_uuid(), '', to_jsonb(repeat('x', $3)), now() FROM generate_series(1, $2)",
            str(user_id),
            ROWS,
            ROW_BYTES,
        )
    return user_id


async def test_the_server_stops_reading_when_she_does_and_goes_on_when_she_goes_on(
    served: Served, counted: CountedExport, anna: UUID
) -> None:
    call = UsersServiceStub(served.channel).ExportMe(pb.ExportMeRequest(), metadata=served.tokens.sign_in(person(anna)))
    seen: list[int] = []

    def at_rest() -> bool:
        seen.append(counted.part_count)
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    messages = aiter(call)
    first = await anext(messages)
    await until(at_rest)
    assert counted.part_count < ROWS / 2
    rows = len(first.rows) + sum([len(message.rows) async for message in messages])
    assert rows > ROWS
    assert counted.part_count > ROWS


async def test_who_hangs_up_ends_the_export(served: Served, counted: CountedExport, anna: UUID) -> None:
    call = UsersServiceStub(served.channel).ExportMe(pb.ExportMeRequest(), metadata=served.tokens.sign_in(person(anna)))
    assert await call.read() is not grpc.aio.EOF
    call.cancel()
    await until(lambda: counted.closed)
    assert counted.part_count < ROWS
