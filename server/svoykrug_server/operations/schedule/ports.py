"""What the schedule needs of other parts, wired in `app.py`."""

from datetime import date, datetime
from typing import Protocol

from svoykrug_server.storage.postgres import ReadConnection


class NightOfTiers(Protocol):
    """How far the nightly computation of all tiers is: users keep it themselves, member by member."""

    @property
    def done_day(self) -> date | None:
        """The last day that is computed for everybody; None before the first."""
        ...

    @property
    def done_time(self) -> datetime | None:
        """When that was done."""
        ...

    @property
    def walk_day(self) -> date | None:
        """The day that is being computed, or was last; None before the first."""
        ...


class TierNights(Protocol):
    """Knows how far the tiers are."""

    async def standing_of_night(self, connection: ReadConnection) -> NightOfTiers:
        """Returns how far the nightly computation of all tiers is."""
        ...
