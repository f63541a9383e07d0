"""Rows of published builds that were read lately, so that they need not be read again.

The rows of a build are written once, under an id that is never used again, so a row that was read stays true. Whether
its build is still whole is for whoever has it to ask (`build_rows`), as of a row just read.
"""

from collections import OrderedDict
from typing import Generic, TypeVar
from uuid import UUID

Row = TypeVar("Row")


class RowsRead(Generic[Row]):
    """The rows of members that were asked for last.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[tuple[UUID, int], Row] = OrderedDict()

    def get(self, build_id: UUID, member_id: int) -> Row | None:
        """Returns a member's row in a build, or None where it is to be read."""
        row = self._rows.get((build_id, member_id))
        if row is not None:
            self._rows.move_to_end((build_id, member_id))
        return row

    def keep(self, build_id: UUID, member_id: int, row: Row) -> None:
        """Keeps a row in the place of the one that was asked for longest ago."""
        self._rows[build_id, member_id] = row
        if len(self._rows) > self._most:
            self._rows.popitem(last=False)
