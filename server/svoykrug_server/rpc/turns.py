"""Turns: how often each caller may do something, a steady rate with some turns ahead."""

from collections.abc import Hashable

SWEEP_AT = 1_024


class Turns:
    """Gives every caller turns at a steady rate. One number is kept of a caller, and only while she is ahead of time.

    Args:
        a_second: How many turns a caller has in a second.
        most_ahead_seconds: How far ahead of time she may take turns.
    """

    __slots__ = ("_interval", "_most_ahead", "_next", "_sweep_at")

    def __init__(self, a_second: float, most_ahead_seconds: float) -> None:
        self._interval = 1 / a_second
        self._most_ahead = most_ahead_seconds
        self._next: dict[Hashable, float] = {}
        self._sweep_at = SWEEP_AT

    def __len__(self) -> int:
        """Returns of how many callers something is kept."""
        return len(self._next)

    def take(self, caller: Hashable, now: float, count: int = 1) -> float:
        """Takes a caller's next turn, or some, unless it is too far ahead.

        Args:
            caller: Whose turn it is.
            now: Seconds of a clock that only goes forward.
            count: How many are taken together.

        Returns:
            In how many seconds the turn comes; more than `most_ahead_seconds` when it was not taken.
        """
        turn = max(self._next.get(caller, now), now)
        if turn - now <= self._most_ahead:
            self._next[caller] = turn + count * self._interval
            if len(self._next) > self._sweep_at:
                self._sweep(now)
        return turn - now

    def _sweep(self, now: float) -> None:
        """Forgets whose next turn has come: nothing is known of them that matters."""
        self._next = {caller: turn for caller, turn in self._next.items() if turn > now}
        self._sweep_at = max(SWEEP_AT, 2 * len(self._next))
