"""What a business with too little data of its own may borrow from its category; `borrowing` computes it."""

from dataclasses import dataclass
from typing import Any

from svoykrug_server.kit.errors import FailedPrecondition

MIN_BORROWER_MEMBERS = 40
MIN_BORROWER_EVENTS = 15


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

    def described(self, little: FailedPrecondition) -> str:
        """Returns what is borrowed and what was lacking, in words.

        Args:
            little: The refusal that says what was lacking.
        """
        lacks, count = little.metadata, len(self.documents)
        lenders = "1 business" if count == 1 else f"{count} businesses"
        members = f"{lacks['member_count']} members of {lacks['needed_member_count']} needed"
        events = (
            f"{lacks['churned_count']} left and {lacks['stayed_count']} stayed of {lacks['needed_event_count']} needed"
        )
        return f"pooled prior of {self.category} ({lenders}); own window {lacks['window']}: {members}, {events}"


def can_judge(members: int, churned: int) -> bool:
    """Tells whether a borrower has enough of its own to judge what it borrows.

    Args:
        members: How many members its test window holds.
        churned: How many of them left.
    """
    return members >= MIN_BORROWER_MEMBERS and min(churned, members - churned) >= MIN_BORROWER_EVENTS
