"""What an operation is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class OperationState(StrEnum):
    """Where an operation stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (OperationState.QUEUED, OperationState.RUNNING)


class OperationKind(StrEnum):
    """What an operation does."""

    CREATE_SNAPSHOT = "create_snapshot"
    TRAIN_CHURN_MODEL = "train_churn_model"
    SCORE_MEMBERS = "score_members"
    IMPORT_CSV = "import_csv"


@dataclass(frozen=True, slots=True)
class OperationFailure:
    """Why an operation failed.

    Attributes:
        reason: An error reason of the catalogue.
        metadata: Facts for programs.
    """

    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """A piece of long work as it stands.

    Attributes:
        id: UUID version 7: sorts by time.
        kind: What it does.
        parameters: What its work function is given: JSON values.
        starter_id: The user or service account that asked for it.
        state: Where it stands.
        stage: What it is doing now; empty while queued for the first time.
        percent: How far it is, 0 to 100.
        rows_done_count: How many rows it has handled in this stage.
        failure: Why it failed; only when failed.
        result: The ids of what was made by name, such as `snapshot_id`; only when succeeded.
        cancel_requested: Whether somebody wants it stopped.
        attempt_count: How often a worker has taken it.
        version: Grows whenever a watcher has news.
        create_time: When it was asked for.
        start_time: When a worker first took it.
        end_time: When it ended.

    Raises:
        ValueError: The percentage is none.
    """

    id: UUID
    kind: OperationKind
    parameters: Mapping[str, Any]
    starter_id: UUID
    state: OperationState
    stage: str
    percent: int
    rows_done_count: int
    failure: OperationFailure | None
    result: Mapping[str, str] | None
    cancel_requested: bool
    attempt_count: int
    version: int
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError("a percentage is between 0 and 100")


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's hold on an operation.

    Attributes:
        operation_id: What it holds.
        owner_id: Drawn anew for each attempt, so that a worker that lost its lease can never write over its successor.
    """

    operation_id: UUID
    owner_id: UUID


class Standing(StrEnum):
    """What a worker learns when it renews its lease."""

    HELD = "held"
    CANCEL = "cancel"
    LOST = "lost"
