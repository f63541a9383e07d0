import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.administration.servicer import AdministrationUseCases
from svoykrug_server.users.composition import compose_users
from tests.revocations import RecordedRevocations
from tests.users.people import number_bans


@pytest.fixture
def revocations() -> RecordedRevocations:
    return RecordedRevocations()


@pytest.fixture
def administration(postgres: Postgres, clock: ManualClock, revocations: RecordedRevocations) -> AdministrationUseCases:
    """What admins do with users."""
    return compose_users(postgres, revocations, number_bans(), PageTokens(b"k" * 32), clock).administration
