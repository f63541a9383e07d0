from datetime import timedelta

import pytest

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.parts import kept_of_people
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.personal_data.composition import PersonalData, PersonalDataOptions, compose_personal_data
from tests.conftest import isolated_settings
from tests.purchases.circle import Circle
from tests.users.people import number_bans


@pytest.fixture
def circle(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Circle:
    """Everything that writes and proves purchases."""
    return Circle(postgres, warehouse, clock)


@pytest.fixture
def personal_data(circle: Circle, clock: ManualClock) -> PersonalData:
    """Her data, as one server has it."""
    return personal_data_of(circle)


def personal_data_of(circle: Circle, warehouse: Warehouse | None = None) -> PersonalData:
    """Returns her data, as another server has it, perhaps with another warehouse."""
    ends = SessionEnds(auth_options(isolated_settings()).session, circle.clock)
    options = PersonalDataOptions(erasure_interval=timedelta(seconds=60))
    declared = kept_of_people(circle.hashes)
    kept_in = warehouse or circle.warehouse
    return compose_personal_data(options, circle.postgres, kept_in, declared, ends, number_bans(), circle.clock)
