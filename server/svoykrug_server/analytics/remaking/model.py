"""Words of remaking: what publishes rows, what is gone, and an attempt at making it again."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from svoykrug_server.analytics.model import BuildContents


class Kind(StrEnum):
    """What publishes rows of the warehouse."""

    SNAPSHOT = "snapshot"
    SCORING = "scoring"


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot or a scoring that PostgreSQL knows.

    Attributes:
        id: Its id.
        build_id: The build that counts.
        row_count: How many rows that has.
        is_missing: Whether they are known to be gone, or lost for good.
    """

    id: UUID
    build_id: UUID
    row_count: int
    is_missing: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a kind as a whole.

    Attributes:
        builds: Numbers that are others as soon as a build is published, or takes the place of another.
        missing_count: How many are being made again.
        lost_count: How many are lost for good.
    """

    builds: tuple[int, int]
    missing_count: int
    lost_count: int


@dataclass(frozen=True, slots=True)
class Gone:
    """One whose rows are to be made again.

    Attributes:
        kind: What it is.
        id: Its id.
        business_id: The business; None for the circle.
        cutoff: Purchases before it counted.
    """

    kind: Kind
    id: UUID
    business_id: UUID | None
    cutoff: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that has begun.

    Attributes:
        contents: What its rows have to be; None where nothing is remembered that would prove it.
        gone_build_id: The build whose rows are gone. What is left of it stays until others take its place: the rest may
            come back.
        stopped_build_id: An attempt that was stopped, whose rows may lie about; None where there was none.
    """

    contents: BuildContents | None
    gone_build_id: UUID
    stopped_build_id: UUID | None


class Maker(Protocol):
    """Makes the rows of one kind."""

    async def make(self, gone: Gone, build_id: UUID) -> BuildContents:
        """Writes the rows again under a build id, and returns what the warehouse then holds.

        Raises:
            CannotBeMade: They cannot be made.
            Unavailable: They cannot be made yet.
        """
        ...

    async def clear(self, gone: Gone, build_id: UUID) -> None:
        """Removes the rows of a build."""
        ...


class Proof(Protocol):
    """Compares the two stores and keeps the proof by business and day."""

    async def touch_scope(self, business_id: UUID | None) -> None:
        """Makes the next proof read every day of a business again; None for all businesses."""
        ...

    async def prove_changed(self) -> None:
        """Proves every day that changed since it was proven."""
        ...
