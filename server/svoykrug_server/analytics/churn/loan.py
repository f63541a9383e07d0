"""What a business with too little data of its own may borrow from its category; `borrowing` computes it."""

from dataclasses import dataclass
from typing import Any

from svoykrug_server.kit.errors import FailedPrecondition

MIN_BORROWER_MEMBERS = 40
MIN_BORROWER_EVENTS = 15


@dataclass(frozen=True, slots=True)
class Borrowed:
    """What a model was borrowed from, and what the scope lacked for one of its own.

    Attributes:
        category: What borrower and lenders sell.
        lender_count: How many businesses lent.
        window: The window of the borrower that held too little: `test`, or a training cutoff in ISO 8601.
        member_count: Members in that window.
        churned_count: How many of them left.
        stayed_count: How many of them stayed.
        needed_member_count: How many members it takes.
        needed_event_count: How many must have left, and how many stayed.
    """

    category: str
    lender_count: int
    window: str
    member_count: int
    churned_count: int
    stayed_count: int
    needed_member_count: int
    needed_event_count: int


@dataclass(frozen=True, slots=True)
class Loan:
    """The models that a business may borrow from.

    Attributes:
        category: What it and they sell.
        horizon_days: Their horizon.
        documents: Their numbers.
    """

    category: str
    horizon_days: int
    documents: tuple[dict[str, Any], ...]

    def to(self, little: FailedPrecondition) -> "Borrowed":
        """Returns what is borrowed and what was lacking.

        Args:
            little: The refusal that says what was lacking.
        """
        lacks = little.metadata
        return Borrowed(
            category=self.category,
            lender_count=len(self.documents),
            window=lacks["window"],
            member_count=int(lacks["member_count"]),
            churned_count=int(lacks["churned_count"]),
            stayed_count=int(lacks["stayed_count"]),
            needed_member_count=int(lacks["needed_member_count"]),
            needed_event_count=int(lacks["needed_event_count"]),
        )


def can_judge(members: int, churned: int) -> bool:
    """Tells whether a borrower has enough of its own to judge what it borrows.

    Args:
        members: How many members its test window holds.
        churned: How many of them left.
    """
    return members >= MIN_BORROWER_MEMBERS and min(churned, members - churned) >= MIN_BORROWER_EVENTS
