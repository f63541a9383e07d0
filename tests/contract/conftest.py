"""What the tests of the contract share: the contract as the committed descriptor set states it."""

import pytest
from contract import Contract


@pytest.fixture(scope="session")
def contract() -> Contract:
    """The methods and error reasons of `generated/svoykrug.binpb`."""
    return Contract()
