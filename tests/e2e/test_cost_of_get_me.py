"""GetMe, the most frequent call, stays cheap through the whole server; how: `tests/rpc/test_cost_of_the_edge.py`."""

from types import SimpleNamespace
from typing import Any

from benchmarks.edge_steps import Context
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.e2e.circle import Metadata
from tests.e2e.running import running
from tests.instructions import instructions

MOST_INSTRUCTIONS = 2_650
"""2,040 on Python 3.11."""
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
