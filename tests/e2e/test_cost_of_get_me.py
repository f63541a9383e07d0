"""GetMe, the most frequent call, stays cheap through the whole server; how: `tests/rpc/test_cost_of_the_edge.py`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from svoykrug.users.v1 import user_pb2

from benchmarks.edge_steps import Context
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users import convert
from svoykrug_server.users.model import User
from tests.e2e.circle import Metadata
from tests.e2e.running import running
from tests.instructions import instructions

MOST_INSTRUCTIONS = 2_450
"""2,025 on Python 3.11."""
METHOD = "/svoykrug.users.v1.UsersService/GetMe"
Call = Callable[[], Awaitable[object]]


class SignedIn(Context):
    """Answers as gRPC's context does for a call of a person."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Metadata:
        """Returns what she calls with."""
        return self._metadata


@pytest.fixture
async def get_me(postgres: Postgres, warehouse: Warehouse) -> AsyncIterator[Call]:
    """A call of somebody who is signed in."""
    async with running(postgres, warehouse, background_work=False) as served:
        person = await served.circle.sign_in("+79161234567")
        methods: Any = served.server.methods
        handler = methods.service(SimpleNamespace(method=METHOD, invocation_metadata=())).unary_unary
        context = SignedIn(person.metadata)
        assert (await handler(b"", context)).user.id == person.user_id
        yield lambda: handler(b"", context)


async def test_get_me_takes_few_instructions_from_its_bytes_to_its_answer(get_me: Call) -> None:
    assert await instructions(get_me) <= MOST_INSTRUCTIONS


async def test_a_step_of_get_me_that_grows_is_noticed(get_me: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    once = convert.user_to_proto

    def four_times(user: User) -> user_pb2.User:
        for _ in range(3):
            once(user)
        return once(user)

    monkeypatch.setattr(convert, "user_to_proto", four_times)
    assert await instructions(get_me) > MOST_INSTRUCTIONS
