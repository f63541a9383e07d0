"""The rules of the tiers: which window counts, what each tier asks for, and what is missing for the next."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from svoykrug_server.users.membership.model import Missing, Standing, TierStatus
from svoykrug_server.users.model import Tier

_LADDER = tuple(Tier)


@dataclass(frozen=True, slots=True)
class TierRules:
    """What each tier asks for, in minor units of the circle's currency over the last 12 months.

    Attributes:
        currency_code: The circle's currency, ISO 4217.
        time_zone: The circle's: a day is a day there.
        vip_spend_minor: What VIP takes ...
        vip_categories: ... and in how many categories.
        elite_spend_minor: What Elite takes ...
        elite_categories: ... and in how many categories ...
        elite_top_percent: ... unless she is among so many percent who spend most.
        inner_circle_spend_minor: What Inner Circle takes.

    Raises:
        ValueError: A higher tier asks for less than a lower one.
    """

    currency_code: str
    time_zone: ZoneInfo
    vip_spend_minor: int
    vip_categories: int
    elite_spend_minor: int
    elite_categories: int
    elite_top_percent: float
    inner_circle_spend_minor: int

    def __post_init__(self) -> None:
        if not 0 < self.vip_spend_minor <= self.elite_spend_minor <= self.inner_circle_spend_minor:
            raise ValueError("a higher tier asks for no less money")
        if not 0 <= self.vip_categories <= self.elite_categories:
            raise ValueError("a higher tier asks for no fewer categories")

    def today(self, now: datetime) -> date:
        """Returns which day it is in the circle."""
        return now.astimezone(self.time_zone).date()

    def window_start(self, day: date) -> datetime:
        """Returns the first instant whose purchases count on a day: the beginning of the day 12 months before.

        12 months before 29 February is 28 February.
        """
        last_year = day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)
        return datetime.combine(last_year, time.min, self.time_zone).astimezone(UTC)

    def status(self, standing: Standing, now: datetime) -> TierStatus:
        """Returns where a member stands, as of now."""
        tier = Tier.INNER_CIRCLE if standing.pinned else standing.tier
        start = self.window_start(self.today(now))
        return TierStatus(tier, standing, start, self._missing_after(tier, standing), now, self.currency_code)

    def _missing_after(self, tier: Tier, standing: Standing) -> Missing | None:
        """Returns what is missing for the tier after one, by the way that takes less money; None after the highest."""
        if tier is _LADDER[-1]:
            return None
        following = _LADDER[_LADDER.index(tier) + 1]
        ways = [
            (max(0, spend_minor - standing.net_spend_minor), max(0, categories - standing.category_count))
            for spend_minor, categories in self._ways_to(following, standing.top_spend_minor)
        ]
        return Missing(following, *min(ways))

    def _ways_to(self, tier: Tier, top_spend_minor: int | None) -> list[tuple[int, int]]:
        """Returns each way in which a tier is reached, as money and number of categories."""
        if tier is Tier.VIP:
            return [(self.vip_spend_minor, self.vip_categories)]
        if tier is Tier.INNER_CIRCLE:
            return [(self.inner_circle_spend_minor, 0)]
        ways = [(self.elite_spend_minor, self.elite_categories)]
        return ways if top_spend_minor is None else [*ways, (top_spend_minor, 0)]
