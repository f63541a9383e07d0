"""How many codes go to the numbers of a country: a budget an hour, and a breaker for when they do not come back.

Whoever drains SMS budgets asks for codes and never tells one back. The breaker of a calling code opens when too few of
its last sends were verified. Then an address with a good record still gets its codes, and any other gets one of a few
probes; when enough of what passed came back right, the breaker closes by itself. Nothing here asks about a phone but
its country, so that known and unknown numbers fare alike. `docs/decisions/send-breaker.md` says why, and what an
attack on the breaker costs.
"""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from svoykrug_server.kit.errors import Limited

BUDGET_SPAN = timedelta(hours=1)
PROBE_SPAN = timedelta(minutes=10)
MINUTE = timedelta(minutes=1)
"""Sends are counted by the minute they are made in, and count until the whole minute is out of the span."""


@dataclass(frozen=True, slots=True)
class PrefixRule:
    """What holds for the numbers of one calling code; each number is a setting.

    Attributes:
        sends_per_hour: Sends within an hour.
        window: How many of the last sends are looked at, and must be there, before the breaker opens.
        verified_percent: The breaker opens when a lower share of them was verified.
        probes: Sends in ten minutes that pass an open breaker from addresses without a good record; as many of the
            last sends since it opened must be there to judge whether it closes.
    """

    sends_per_hour: int
    window: int
    verified_percent: int
    probes: int

    def is_failing(self, sends: int, verified: int) -> bool:
        """Tells whether too few of some sends were verified."""
        return 100 * verified < self.verified_percent * sends


@dataclass(frozen=True, slots=True)
class PrefixLimits:
    """The rules of all calling codes.

    Attributes:
        home_prefixes: Calling codes of the circle's own countries.
        home: Their rule.
        other: The rule of each other one.
    """

    home_prefixes: Set[str] = frozenset({"7"})
    home: PrefixRule = PrefixRule(sends_per_hour=20_000, window=5_000, verified_percent=10, probes=200)
    other: PrefixRule = PrefixRule(sends_per_hour=200, window=50, verified_percent=25, probes=10)

    def of(self, prefix: str) -> PrefixRule:
        """Returns the rule of a calling code."""
        return self.home if prefix in self.home_prefixes else self.other


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """What is known of the last sends for an address; of a few dozen at most.

    Attributes:
        sends: How many there were.
        verified: How many came back right.
        last_send_time: When the last was made; None without any.
    """

    sends: int
    verified: int
    last_send_time: datetime | None

    @property
    def is_good(self) -> bool:
        """Whether at least half of its sends came back right, and one at least."""
        return self.verified > 0 and 2 * self.verified >= self.sends


@dataclass(frozen=True, slots=True)
class PrefixStanding:
    """How a calling code stands.

    Attributes:
        breaker_open: Whether its breaker is open.
        sends: How many sends count against the hour.
        probes: How many probes count against ten minutes.
        oldest_minute: The minute of the oldest send that counts.
        oldest_probe_minute: The minute of the oldest probe that counts.
    """

    breaker_open: bool = False
    sends: int = 0
    probes: int = 0
    oldest_minute: datetime | None = None
    oldest_probe_minute: datetime | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A send that may be made as far as its calling code is concerned.

    Attributes:
        prefix: The calling code.
        rule: Its rule.
        record: What is known of the address.
        probe: Whether it passes an open breaker as a probe.
    """

    prefix: str
    rule: PrefixRule
    record: AddressRecord
    probe: bool


class PrefixRefused(Limited):
    """A calling code's limit is reached.

    Args:
        limit: Which one, for metrics: `budget` or `breaker`.
        retry_after: How long to wait.
    """

    def __init__(self, limit: str, retry_after: timedelta) -> None:
        super().__init__("SIGN_IN_LIMITED", retry_after=max(retry_after, timedelta(seconds=1)))
        self.limit = limit


def judge(
    prefix: str, rule: PrefixRule, standing: PrefixStanding, record: AddressRecord, now: datetime
) -> Admission | PrefixRefused:
    """Tells whether one more send may be made, and how.

    Args:
        prefix: The calling code.
        rule: Its rule.
        standing: How it stands.
        record: What is known of the address.
        now: The present instant; aware.
    """
    if standing.sends >= rule.sends_per_hour:
        return PrefixRefused("budget", _out_of(BUDGET_SPAN, standing.oldest_minute, now))
    if not standing.breaker_open or record.is_good:
        return Admission(prefix, rule, record, probe=False)
    if record.last_send_time is not None and now < record.last_send_time + PROBE_SPAN:
        return PrefixRefused("breaker", record.last_send_time + PROBE_SPAN - now)
    if standing.probes >= rule.probes:
        return PrefixRefused("breaker", _out_of(PROBE_SPAN, standing.oldest_probe_minute, now))
    return Admission(prefix, rule, record, probe=True)


def _out_of(span: timedelta, minute: datetime | None, now: datetime) -> timedelta:
    return span if minute is None else minute + MINUTE + span - now
