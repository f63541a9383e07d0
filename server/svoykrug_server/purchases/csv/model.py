"""What a CSV file is, and the upload of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from svoykrug_server.purchases.model import Fault

MAX_FILE_BYTES = 200 * 1024 * 1024
MAX_ROWS = 10_000_000
"""So many rows with a phone, an id, an amount and a date do not fit into so many bytes."""
MAX_REJECTED_ROWS = 1_000
"""How many refused rows an import is shown with; all of them are listed by pages."""
MAX_PREVIEW_ROWS = 10


class Field(StrEnum):
    """What a column can hold; the value is what a row's rules call it."""

    PHONE = "phone"
    EXTERNAL_ID = "external_id"
    AMOUNT = "amount_minor"
    TIME = "purchase_time"


class Problem(StrEnum):
    """Why a file could not be read."""

    EMPTY = "empty"
    ENCODING = "encoding"
    COLUMN_UNKNOWN = "column_unknown"
    COLUMN_NOT_FOUND = "column_not_found"
    LINE_TOO_LONG = "line_too_long"
    TOO_MANY_ROWS = "too_many_rows"


class ImportState(StrEnum):
    """Where an import stands."""

    UPLOADING = "uploading"
    TRIED = "tried"
    RUNNING = "running"
    WRITTEN = "written"
    FAILED = "failed"


class UnreadableFile(Exception):
    """The file cannot be read.

    Args:
        problem: Why.
        facts: What a person must know to mend it: a line, a column; nothing personal.
    """

    def __init__(self, problem: Problem, **facts: str) -> None:
        super().__init__(problem.value)
        self.problem = problem
        self.facts: Mapping[str, str] = facts


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """What a file looks like; empty texts are to be found out.

    Attributes:
        encoding: `utf-8`, `windows-1251`, `utf-16` or `koi8-r`.
        delimiter: `;`, `,`, a tab or `|`.
        phone_column: The header of the column with the phone.
        external_id_column: The header of the column with the receipt's id.
        amount_column: The header of the column with the amount.
        time_column: The header of the column with the date, or with date and time.
        date_order: Which number comes first in dates such as `01/02/2026`: `day`, `month` or `year`.
    """

    encoding: str = ""
    delimiter: str = ""
    phone_column: str = ""
    external_id_column: str = ""
    amount_column: str = ""
    time_column: str = ""
    date_order: str = ""

    @property
    def columns(self) -> Mapping[Field, str]:
        """The headers by what their columns hold."""
        return {
            Field.PHONE: self.phone_column,
            Field.EXTERNAL_ID: self.external_id_column,
            Field.AMOUNT: self.amount_column,
            Field.TIME: self.time_column,
        }


@dataclass(frozen=True, slots=True)
class ReportedRow:
    """A row that was not written, or would not be.

    Attributes:
        line_number: Where it begins in the file, from 1.
        external_id: The receipt's id, cut to 100 characters.
        reason: The name of an `ErrorReason` value without its prefix.
        column: The column that is wrong, as the file's header names it.
        phone: E.164; empty where none could be read.
        further: What else is wrong: reasons, and columns in the place of fields.
    """

    line_number: int
    external_id: str
    reason: str
    column: str
    phone: str = ""
    further: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """A row as it was read.

    Attributes:
        line_number: Where it begins in the file, from 1.
        phone: E.164.
        external_id: The receipt's id.
        amount_minor: What was paid.
        purchase_time: When she bought.
    """

    line_number: int
    phone: str
    external_id: str
    amount_minor: int
    purchase_time: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of rows.

    Attributes:
        rows: How many were looked at.
        recorded: How many were written, or would be.
        duplicates: How many were there already with the same body.
        rejected: How many were refused, or would be.
    """

    rows: int = 0
    recorded: int = 0
    duplicates: int = 0
    rejected: int = 0

    def __post_init__(self) -> None:
        if self.rows != self.recorded + self.duplicates + self.rejected:
            raise ValueError("every row is recorded, a duplicate or rejected")

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.rows + other.rows,
            self.recorded + other.recorded,
            self.duplicates + other.duplicates,
            self.rejected + other.rejected,
        )


@dataclass(frozen=True, slots=True)
class OpenImport:
    """An upload whose file is not written, so that its bytes are kept.

    Attributes:
        id: UUID version 7.
        create_time: When it was started.
        is_running: Whether its file is being read now.
    """

    id: UUID
    create_time: datetime
    is_running: bool


@dataclass(frozen=True, slots=True)
class CsvImport:
    """The upload of a file of one business's purchases.

    Attributes:
        id: UUID version 7.
        business_id: The business that sold.
        state: Where it stands.
        received_bytes: How many bytes have arrived.
        told: What the file looks like, as the caller says.
        found: The same, as it was found out; None until then.
        operation_id: The operation that reads the file, or did last.
        run_id: Drawn anew whenever the file is to be read.
        dry_run: Whether that only tries.
        counts: What became of the rows so far.
        problem: Why the file could not be read; None when it could.
        problem_facts: What a person must know to mend it.
        create_time: When it was started.
        reported_count: How many of the refused rows can be listed; 0 where that was not asked for.
        rejected_rows: The first rows that were refused; empty where they were not asked for.
        preview_rows: The first rows as they were read; empty where they were not asked for.
    """

    id: UUID
    business_id: UUID
    state: ImportState
    received_bytes: int
    told: CsvFormat
    found: CsvFormat | None
    operation_id: UUID | None
    run_id: UUID | None
    dry_run: bool
    counts: Counts
    problem: Problem | None
    problem_facts: Mapping[str, str]
    create_time: datetime
    reported_count: int = 0
    rejected_rows: Sequence[ReportedRow] = field(default=())
    preview_rows: Sequence[PreviewRow] = field(default=())
