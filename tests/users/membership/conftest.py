"""Fixtures of tests of memberships."""

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.membership.composition import Membership
from tests.purchases.circle import Circle
from tests.users.membership.shops import Shops
from tests.users.memberships import membership_of


@pytest.fixture
def shops(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> Shops:
    """Businesses where members buy."""
    return Shops(Circle(postgres, warehouse, clock))


@pytest.fixture
def membership(postgres: Postgres, clock: ManualClock) -> Membership:
    """Memberships by the default settings."""
    return membership_of(postgres, clock)
