"""What an erasure and an export are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from svoykrug_server.storage.personal_data import Person, Purpose, Store

Json = None | bool | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""A value as JSON has it; whole numbers are texts, so that none loses a digit."""


class ErasureState(StrEnum):
    """What became of a request to erase a person."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ErasedTable:
    """What happened to the rows of one table.

    Attributes:
        store: Where the table is.
        table: The table.
        deleted_count: How many rows went.
        anonymized_count: How many stay without a person behind them.
    """

    store: Store
    table: str
    deleted_count: int = 0
    anonymized_count: int = 0


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request to erase a person, and its receipt.

    Attributes:
        id: 122 random bits.
        state: What became of it.
        request_time: When it was asked for; aware.
        erase_time: When it begins; aware.
        done_time: When everything was erased; None before.
        tables: What happened to each table; empty before it is done.
    """

    id: UUID
    state: ErasureState
    request_time: datetime
    erase_time: datetime
    done_time: datetime | None = None
    tables: tuple[ErasedTable, ...] = ()

    def __post_init__(self) -> None:
        if (self.state is ErasureState.DONE) != (self.done_time is not None):
            raise ValueError("exactly what is done was done at some time")


@dataclass(frozen=True, slots=True)
class DueErasure:
    """An erasure that an attempt is made at.

    Attributes:
        id: The erasure.
        person: Who is to be erased.
        attempt_count: Which attempt it is, from 1.
    """

    id: UUID
    person: Person
    attempt_count: int


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """A row that is kept about a person.

    Attributes:
        store: Where it is kept.
        table: In which table.
        columns: Its values by column.
    """

    store: Store
    table: str
    columns: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """A table that was exported whole.

    Attributes:
        store: Where it is.
        table: The table.
        purpose: What it is for.
        row_count: How many of its rows were exported.
    """

    store: Store
    table: str
    purpose: Purpose
    row_count: int


@dataclass(frozen=True, slots=True)
class ExportPart:
    """A part of an export: rows, or, last, every table that was looked at.

    Attributes:
        rows: Some rows.
        tables: The tables; empty but in the last part.
    """

    rows: tuple[ExportedRow, ...] = ()
    tables: tuple[ExportedTable, ...] = ()
