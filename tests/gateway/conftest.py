"""What the tests of the gateway share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.gateway.front import Front, front_of


@pytest.fixture
async def front(postgres: Postgres, warehouse: Warehouse) -> AsyncIterator[Front]:
    """The whole server behind the gateway, both with their default settings."""
    async with front_of(postgres, warehouse) as started:
        yield started


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where pictures are written: a folder that is thrown away, unless `--pictures` names another."""
    chosen: Path | None = request.config.getoption("--pictures")
    return chosen or tmp_path
