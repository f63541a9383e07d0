"""GetMe, the most frequent call, stays cheap through the whole server; how: `tests/rpc/test_cost_of_the_edge.py`."""

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

from benchmarks.edge_steps import Context
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.e2e.circle import Metadata
from tests.e2e.running import running
from tests.instructions import instructions

MOST_INSTRUCTIONS = 2_650
"""2,022 on Python 3.11."""
AT_ONCE = 20
MOST_INSTRUCTIONS_AT_ONCE = 2_250
"""1,755 on Python 3.11, of each of so many calls at once: most share a round trip to PostgreSQL."""
METHOD = "/svoykrug.users.v1.UsersService/GetMe"


class SignedIn(Context):
    """Answers as gRPC's context does for a call of a person."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Metadata:
        """Returns what she calls with."""
        return self._metadata


async def test_get_me_takes_few_instructions_from_its_bytes_to_its_answer(
    postgres: Postgres, warehouse: Warehouse
) -> None:
    async with running(postgres, warehouse, background_work=False) as served:
        person = await served.circle.sign_in("+79161234567")
        methods: Any = served.server.methods
        handler = methods.service(SimpleNamespace(method=METHOD, invocation_metadata=())).unary_unary
        context = SignedIn(person.metadata)
        answer = await handler(b"", context)

        assert answer.user.id == person.user_id
        assert await instructions(lambda: handler(b"", context)) <= MOST_INSTRUCTIONS

        def at_once() -> Awaitable[object]:
            return asyncio.gather(*(handler(b"", context) for _ in range(AT_ONCE)))

        assert await instructions(at_once) <= AT_ONCE * MOST_INSTRUCTIONS_AT_ONCE
