from collections.abc import AsyncIterator

import pytest

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.attacks.cast import ACCESS_LIFE, Cast, ShiftedClock, assembled
from tests.e2e.running import Running, running


@pytest.fixture
def server_clock() -> ShiftedClock:
    """The server's clock, two lives of an access token ago until the cast has come together."""
    return ShiftedClock(-2 * ACCESS_LIFE)


@pytest.fixture
async def server(postgres: Postgres, warehouse: Warehouse, server_clock: ShiftedClock) -> AsyncIterator[Running]:
    """The whole server with every service it can have."""
    async with running(postgres, warehouse, server_clock, reflection=True, channelz=True) as started:
        yield started


@pytest.fixture
async def cast(server: Running, server_clock: ShiftedClock) -> Cast:
    """Every kind of caller, signed in."""
    return await assembled(server, server_clock)
