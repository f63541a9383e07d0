from collections.abc import AsyncIterator

import pytest

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.e2e.circle import Circle
from tests.e2e.running import running


@pytest.fixture
async def circle(postgres: Postgres, warehouse: Warehouse) -> AsyncIterator[Circle]:
    """The whole server on fresh stores, on a free port."""
    async with running(postgres, warehouse) as server:
        yield server.circle
