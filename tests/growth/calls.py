"""Calls of every method that has work to do in PostgreSQL, each with things that exist: so their whole work is done."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.auth.model import Purpose
from svoykrug_server.purchases.external_ids import ExternalIdHashes
from tests.attacks.cast import Cast
from tests.attacks.kinds import ROWS, Kind
from tests.attacks.plausible import request_for
from tests.attacks.wire import Metadata, methods_of, path_of, shape_of
from tests.e2e.circle import Person

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
METHODS: Mapping[str, MethodDescriptor] = {
    method.name: method for method in methods_of(service for service in ROWS if service.startswith("svoykrug."))
}
"""By their names alone: no two services have one in common."""


_REFUSALS = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED,
)

# Who is there of whom a condition holds, and who has bought something? (in no order, and none of those who call)
_PEOPLE = """
    SELECT users.id::text, phone, display_name FROM users JOIN member_links ON user_id = users.id
    WHERE {condition} AND phone NOT LIKE '+7999%'
        AND EXISTS (SELECT FROM purchase_entries AS e WHERE e.member_id = member_links.member_id)
    ORDER BY md5(users.id::text) LIMIT 300
"""


class Calls:
    """Makes calls.

    Args:
        cast: Who calls.
        connection: A connection to look things up by.
        hashes: What stands for the external ids of members who have been erased.
    """

    def __init__(self, cast: Cast, connection: Connection, hashes: ExternalIdHashes) -> None:
        self.cast = cast
        self.connection = connection
        self.hashes = hashes
        self._people: dict[str, Iterator[asyncpg.Record]] = {}
        self._met: set[str] = set()

    async def ask(self, name: str, caller: Kind | Person, /, **values: object) -> Any:
        """Calls a method with values of its fields, the others as `request_for` has them, and returns its answer.

        Of a stream of answers it is the first; all are read, but of one that has no end.
        """
        method, business_id = METHODS[name], values.pop("business_id", None)
        request: Any = request_for(method, self.cast.here, **values)
        if business_id is not None:
            request.business_id = business_id
        client_streams, server_streams = shape_of(method)
        shape = f"{'stream' if client_streams else 'unary'}_{'stream' if server_streams else 'unary'}"
        stub: Any = getattr(self.cast.circle.channel, shape)(
            path_of(method),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        message = request.SerializeToString()
        call = stub(iter([message]) if client_streams else message, metadata=self._metadata(caller), timeout=60)
        try:
            if not server_streams:
                return await call
            answers = [await call.read()]
            while not name.startswith("Watch") and answers[-1] is not grpc.aio.EOF:
                answers.append(await call.read())
        except grpc.aio.AioRpcError as error:
            error.add_note(f"{name}, called by {caller}")
            raise
        call.cancel()
        return answers[0]

    def _metadata(self, caller: Kind | Person) -> Metadata:
        return caller.metadata if isinstance(caller, Person) else self.cast.metadata_of(caller)

    async def be_refused(self, name: str, caller: Kind | Person, /, **values: object) -> None:
        """Calls a method that refuses, after its work."""
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await self.ask(name, caller, **values)
        assert refusal.value.code() in _REFUSALS, refusal.value

    async def somebody(self, condition: str) -> asyncpg.Record:
        """Returns id, phone and name of a user of whom a condition holds and whom nobody has met yet."""
        if condition not in self._people:
            self._people[condition] = iter(await self.connection.fetch(_PEOPLE.format(condition=condition)))
        found = next(person for person in self._people[condition] if person["id"] not in self._met)
        self._met.add(found["id"])
        return found

    def phone_change_code(self, challenge: Any) -> str:
        """Returns the code that was sent for the challenge of a phone change."""
        codes = self.cast.circle.codes
        challenge_id = challenge_id_from_text(challenge.challenge_id)
        code = codes.derive(challenge_id, codes.active_kid, Purpose.PHONE_CHANGE)
        assert code is not None
        return code


async def record(calls: Calls, business_id: str, **buyer: str) -> Any:
    """Records a purchase at a business and returns the answer."""
    return await calls.ask("RecordPurchase", Kind.ADMIN, business_id=business_id, purchase=purchase_of(**buyer))


def purchase_of(**buyer: str) -> dict[str, object]:
    """Returns a new purchase."""
    now = Timestamp()
    now.GetCurrentTime()
    return {"external_id": f"receipt-{uuid4()}", "amount_minor": 100, "purchase_time": now, **buyer}
