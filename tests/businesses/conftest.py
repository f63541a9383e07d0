import pytest

from svoykrug_server.businesses.archiving import BusinessArchive
from svoykrug_server.businesses.service import BusinessesService
from svoykrug_server.businesses.staff import StaffService
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from tests.revocations import RecordedRevocations


@pytest.fixture
def revocations() -> RecordedRevocations:
    return RecordedRevocations()


@pytest.fixture
def businesses(postgres: Postgres, clock: ManualClock) -> BusinessesService:
    return BusinessesService(postgres, clock, PageTokens(b"p" * 32))


@pytest.fixture
def archive(postgres: Postgres, clock: ManualClock, revocations: RecordedRevocations) -> BusinessArchive:
    return BusinessArchive(postgres, clock, revocations)


@pytest.fixture
def staff(postgres: Postgres, clock: ManualClock, revocations: RecordedRevocations) -> StaffService:
    return StaffService(postgres, clock, revocations)
