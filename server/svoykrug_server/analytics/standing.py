"""Whether the rows of what is published are still in the warehouse, and what is said of those that are not."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from svoykrug_server.kit.errors import FailedPrecondition, Unavailable

REMAKING_DELAY = timedelta(seconds=10)


class LostReason(StrEnum):
    """Why rows cannot be made again."""

    RULES_CHANGED = "rules_changed"
    """Scores and segments have other rules by now."""
    HISTORY_NOT_KEPT = "history_not_kept"
    """Not all purchases they were computed from are held any more."""
    SEGMENTS_LOST = "segments_lost"
    """The snapshot that said the segments of a scoring is lost itself."""
    MODEL_UNREADABLE = "model_unreadable"
    """This program does not read the model's format."""
    NOT_PROVABLE = "not_provable"
    """Nothing is remembered that would prove that they are the same."""
    ROWS_DIFFER = "rows_differ"
    """Computed again from purchases that are proven to be whole they are other rows."""


class CannotBeMade(Exception):
    """Rows cannot be made again, whatever is tried.

    Args:
        reason: Why.
    """

    def __init__(self, reason: LostReason) -> None:
        self.reason = reason
        super().__init__(reason.value)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the rows of a snapshot or a scoring.

    Attributes:
        missing_since: Since when they are known to be gone from the warehouse; None while they are there.
        lost_time: Since when it is known that they cannot be made again; None while they are there or are being made.
        lost_reason: Why not; empty likewise.
    """

    missing_since: datetime | None = None
    lost_time: datetime | None = None
    lost_reason: str = ""

    @property
    def is_lost(self) -> bool:
        """Whether they cannot be made again."""
        return self.lost_time is not None

    @property
    def is_held(self) -> bool:
        """Whether they are not known to be gone."""
        return self.missing_since is None

    def refuse_gone(self) -> None:
        """Refuses to read rows that are known to be gone.

        Raises:
            FailedPrecondition: RESULT_LOST, with `lost_reason` and `lost_time`.
            Unavailable: RESULT_BEING_REMADE.
        """
        if self.lost_time is not None:
            metadata = {"lost_reason": self.lost_reason, "lost_time": self.lost_time.isoformat()}
            raise FailedPrecondition("RESULT_LOST", metadata=metadata)
        if not self.is_held:
            raise being_remade()


HELD = Standing()


def being_remade() -> Unavailable:
    """Returns the refusal of rows that are gone and are being made again."""
    return Unavailable("RESULT_BEING_REMADE", retry_after=REMAKING_DELAY)
