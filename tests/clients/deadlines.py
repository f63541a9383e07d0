"""Whether calls keep their deadlines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from svoykrug_client import errors

# How late a loaded machine may be: a call that outlives its deadline by more has not kept it.
LATE_SECONDS = 3.0


@contextmanager
def not_late(seconds: float) -> Iterator[None]:
    """Expects one call with this deadline, which ends in any way, and not late."""
    begin = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - begin < seconds + LATE_SECONDS


@contextmanager
def ends_at_its_deadline(seconds: float, *failures: type[errors.SvoyKrugError]) -> Iterator[None]:
    """Expects one call with this deadline, which fails in one of these ways, and not late."""
    with pytest.raises(failures), not_late(seconds):
        yield
