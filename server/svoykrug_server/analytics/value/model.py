"""Words of member value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemberValue:
    """What a member is expected to buy within the horizon of the scoring that said so.

    Attributes:
        expected_purchase_count: Days with a purchase; several receipts of one day count once.
        purchase_count_low: The lower end of its 80 % interval.
        purchase_count_high: The upper end.
        expected_spend_minor: What she is expected to spend.
        spend_low_minor: The lower end of its 80 % interval.
        spend_high_minor: The upper end.
    """

    expected_purchase_count: float
    purchase_count_low: int
    purchase_count_high: int
    expected_spend_minor: int
    spend_low_minor: int
    spend_high_minor: int
