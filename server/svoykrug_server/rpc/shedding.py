"""Step: while calls wait too long for the event loop to take them, a part of them is refused as they are taken.

How long they wait is measured by the server's own calls (`own_calls.py`). What is shed follows from that alone, as PIE
(RFC 8033) drops packets: the share of calls let through is steered so that the wait comes down to a target and stays
there, and a burst is let pass. Figures and reasons: `docs/decisions/overload.md`.
"""

from math import exp

import structlog

_log = structlog.get_logger("svoykrug_server.rpc")
TARGET_SECONDS = 0.2
"""The wait that is steered to while more is asked than can be answered."""
PATIENCE_SECONDS = 4.0
"""For how long in all the wait may be above the target before calls are shed; time below it makes up for time above."""
MOST_FALL, MOST_RISE = 0.4, 0.5
"""By how many seconds a second the wait is to fall at most, and may rise at most. Were it to fall faster, nobody would
be answered until those who wait are refused."""
GAIN = 2.0
"""By how many powers of e the share changes for each second by which the wait is off that course."""
LEAST_SHARE = 0.01
"""The least share, so that it can grow again."""
LEAST_CALLS_A_SECOND = 25
"""So many calls a second are let through whatever the wait: so few are not why it is long. Calls that are never shed
are, or other work on the loop, and shedding all others would not end it."""
MOST_LEAST_SHARE = 0.99
"""Where fewer come. Below 1, so that shedding ends only when the wait does, and is told in the log once."""
MOST_ELAPSED_SECONDS = 0.3
"""A measurement that comes later counts as if it came then: the loop stood still, which tells little of who asks."""
EMPTY_SECONDS = TARGET_SECONDS / 10
"""Nobody waits who is taken so soon."""
PACE_SECONDS = 1.0
"""Over about how long the pace of the calls let through is averaged."""


class Shedding:
    """Decides which calls are shed. Lives on one event loop.

    Args:
        now: Seconds of a clock that only goes forward.

    Attributes:
        share: The part of the calls that is let through.
        seconds: How long calls wait, as measured last.
        came: How many calls came since then.
        shed: How many were shed since the start.
    """

    __slots__ = (
        "_asked", "_credit", "_measured_at", "_pace", "_pace_asked", "_patience", "_shed_before", "came", "seconds",
        "share", "shed",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.share = 1.0
        self.seconds = 0.0
        self.came = 0
        self.shed = 0
        self._shed_before = 0
        self._asked = 0
        self._pace_asked = 0.0
        self._credit = 0.0
        self._pace = 0.0
        self._patience = PATIENCE_SECONDS
        self._measured_at = now

    def sheds(self) -> bool:
        """Tells whether a call that came is to be shed: those let through are spread evenly over all."""
        self._asked += 1
        self._credit += self.share
        if self._credit >= 1.0:
            self._credit -= 1.0
            return False
        self.shed += 1
        return True

    def measured(self, seconds: float, now: float) -> None:
        """Steers by the wait; to be called some times a second.

        Args:
            seconds: How long calls wait.
            now: Seconds of the same clock.
        """
        elapsed, grown = now - self._measured_at, _bounded(seconds - self.seconds)
        came, through = self.came / elapsed, (self.came - self.shed + self._shed_before) / elapsed
        self._measured_at, self.seconds, self.came, self._shed_before = now, seconds, 0, self.shed
        asked, self._asked = self._asked / elapsed, 0
        elapsed = min(elapsed, MOST_ELAPSED_SECONDS)
        self._pace_asked += (asked - self._pace_asked) * min(1.0, elapsed / PACE_SECONDS)
        self._pace += (through - self._pace) * min(1.0, elapsed / PACE_SECONDS)
        above = seconds - TARGET_SECONDS
        self._patience = min(PATIENCE_SECONDS, max(0.0, self._patience + (-elapsed if above > 0 else elapsed)))
        if self.share < 1.0:
            flood_is_over = seconds < EMPTY_SECONDS and came < self._pace / 2
            self.share = 1.0 if flood_is_over else self._steered(above, elapsed, grown)
        elif self._patience == 0.0 and above > 0:
            _log.warning("calls wait too long and are shed", seconds=round(seconds, 2))
            self._pace_asked = came
            self.share = self._steered(above, elapsed, grown)

    def _steered(self, above: float, elapsed: float, grown: float) -> float:
        course = -min(above, MOST_FALL) if above > 0 else MOST_RISE * -above / TARGET_SECONDS
        least = max(LEAST_SHARE, min(MOST_LEAST_SHARE, LEAST_CALLS_A_SECOND / max(self._pace_asked, 1.0)))
        return min(1.0, max(least, self.share * exp(GAIN * (course * elapsed - grown))))


def _bounded(grown: float) -> float:
    """Bounds what a wait has grown by as the time is bounded: after a standstill it is off by as long as that took."""
    return max(-MOST_ELAPSED_SECONDS, min(MOST_ELAPSED_SECONDS, grown))
