import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.service import UsersService


@pytest.fixture
def users(postgres: Postgres, clock: ManualClock) -> UsersService:
    return UsersService(postgres, clock)
