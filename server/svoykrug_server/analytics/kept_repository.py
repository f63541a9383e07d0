"""The horizon of the warehouse, for whoever reads the past: what was let go is refused and never taken for nothing."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.storage.postgres import Postgres

# From which day on does the warehouse hold every entry?
_KEPT_FROM = "SELECT kept_from_day FROM relay_state"


class KeptHistory:
    """Knows from when on the warehouse holds every purchase.

    The horizon moves before anything is let go. So whoever asks once more when the rows have been read, or keeps others
    from writing old rows meanwhile, has read all of them.

    Args:
        postgres: The system of record.
        zone: The circle's time zone: a day is a day there.
    """

    def __init__(self, postgres: Postgres, zone: ZoneInfo) -> None:
        self._postgres = postgres
        self._zone = zone

    async def earliest(self) -> datetime | None:
        """Returns the instant from which on everything is held; None while nothing has been let go."""
        async with self._postgres.read() as connection:
            day: date | None = await connection.fetchval(_KEPT_FROM)
        return None if day is None else datetime.combine(day, time(), self._zone).astimezone(UTC)

    async def refuse_before(self, start: datetime) -> datetime | None:
        """Refuses what would need purchases from an instant on, when some of them have been let go.

        Returns:
            The instant from which on everything is held; None while nothing has been let go.

        Raises:
            FailedPrecondition: HISTORY_NOT_KEPT, with `earliest_time`.
        """
        earliest = await self.earliest()
        if earliest is not None and start < earliest:
            raise FailedPrecondition("HISTORY_NOT_KEPT", metadata={"earliest_time": earliest.isoformat()})
        return earliest
