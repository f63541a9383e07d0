"""What a job of the schedule is and how it stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from svoykrug_server.operations.schedule.calendar import Cadence, Slot


class JobKind(StrEnum):
    """What is done again and again.

    After downtime each job makes up the last period it missed and none before it, because one run makes up for all:

    - snapshots and scores of a night that has long passed would tell nobody anything: today's have replaced them (a
      snapshot of any past night can still be asked for with CreateSnapshot);
    - a model learns from everything up to now, whichever month it is trained for;
    - receipts grade every forecast whose horizon has closed, tiers are what the window of today says, and retention
      lets go of everything before the horizon of today.
    """

    SNAPSHOTS = "snapshots"
    SCORING = "scoring"
    TRAINING = "training"
    FIRST_TRAINING = "first_training"
    FORECAST_RECEIPTS = "forecast_receipts"
    TIERS = "tiers"
    RETENTION = "retention"


@dataclass(frozen=True, slots=True)
class Timetable:
    """When each job is due.

    Attributes:
        zone: The circle's time zone.
        hour: The hour of the night at which the first job begins; the others follow hour by hour.
        enabled: Whether the jobs are done.
    """

    zone: ZoneInfo
    hour: int
    enabled: bool = True

    @property
    def slots(self) -> Mapping[JobKind, Slot]:
        """When each job is due: scores are told by the snapshot and the model of their night, so they follow them."""
        return {
            JobKind.SNAPSHOTS: Slot(Cadence.DAILY, self.hour, self.zone),
            JobKind.FIRST_TRAINING: Slot(Cadence.DAILY, self.hour, self.zone),
            JobKind.SCORING: Slot(Cadence.DAILY, self.hour + 1, self.zone),
            JobKind.TRAINING: Slot(Cadence.MONTHLY, self.hour + 2, self.zone),
            JobKind.FORECAST_RECEIPTS: Slot(Cadence.WEEKLY, self.hour + 3, self.zone),
            JobKind.RETENTION: Slot(Cadence.DAILY, self.hour + 3, self.zone),
        }


class RunState(StrEnum):
    """How a job stands in a period."""

    SKIPPED = "skipped"
    """The schedule began after it was due: there was nothing to miss."""
    WAITING = "waiting"
    """An attempt failed, or was given back: it is tried again."""
    RUNNING = "running"
    DONE = "done"
    OVERTAKEN = "overtaken"
    """It was not done before the next one was due."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a job in a period.

    Attributes:
        kind: The job.
        period: The period's name.
        owner_id: Drawn anew for each attempt.
        attempt_count: How often a worker has taken it, 1 for the first time.
    """

    kind: JobKind
    period: str
    owner_id: UUID
    attempt_count: int


@dataclass(frozen=True, slots=True)
class LatestRun:
    """The newest period of a job that the database knows, and its last success.

    Attributes:
        kind: The job.
        period: The period's name.
        state: How it stands.
        is_held: Whether a worker that lives is at it.
        error_reason: Why its last attempt failed; None when it did not.
        next_attempt_time: When it is tried again; only while it waits.
        done_period: The last period that was done; None when none was.
        done_time: When that was.
    """

    kind: JobKind
    period: str
    state: RunState
    is_held: bool
    error_reason: str | None
    next_attempt_time: datetime | None
    done_period: str | None
    done_time: datetime | None


@dataclass(frozen=True, slots=True)
class JobStanding:
    """How a job stands, for people.

    Attributes:
        kind: The job.
        last_period: The last period that was done; empty when none was.
        last_end_time: When that was done.
        next_due_time: When the next one is due, in the past when it is late; None when the schedule is switched off.
        running: Whether a worker is at it.
        last_error_reason: Why the last attempt failed; empty when it did not.
    """

    kind: JobKind
    last_period: str
    last_end_time: datetime | None
    next_due_time: datetime | None
    running: bool
    last_error_reason: str
