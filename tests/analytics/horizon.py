"""A horizon that a test sets, and what is refused because of it."""

from collections.abc import Awaitable
from datetime import date

import pytest
from sqlalchemy import text

from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.operations.model import OperationFailure
from svoykrug_server.storage.postgres import Postgres


async def keep_from(postgres: Postgres, day: date) -> None:
    """Sets the horizon; nothing is deleted."""
    async with postgres.transaction() as tx:
        await tx.execute(text("UPDATE relay_state SET kept_from_day = :day"), {"day": day})


async def refusal_of(call: Awaitable[object]) -> tuple[str, str | None]:
    """Returns why a call was refused, and the earliest instant that it may ask for."""
    with pytest.raises(FailedPrecondition) as refused:
        await call
    return refused.value.reason, refused.value.metadata.get("earliest_time")


def failure_of(failure: OperationFailure | None) -> tuple[str, str | None]:
    """Returns why an operation failed, and the earliest instant that it may ask for."""
    assert failure is not None
    return failure.reason, failure.metadata.get("earliest_time")
