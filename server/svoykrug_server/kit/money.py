"""Money: integer minor units with an ISO 4217 code, never a float."""

import re
from dataclasses import dataclass

MAX_AMOUNT_MINOR = 100_000_000_000
"""The largest amount of one purchase: a billion roubles in kopecks. Larger ones are typing errors."""

_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency.

    Attributes:
        amount_minor: The amount in minor units (kopecks); negative for money given back.
        currency_code: ISO 4217, three capital letters.

    Raises:
        ValueError: The amount does not fit 64 bits, or the code has another form.
    """

    amount_minor: int
    currency_code: str

    def __post_init__(self) -> None:
        if not -(1 << 63) <= self.amount_minor < 1 << 63:
            raise ValueError("an amount fits 64 bits")
        if not _CURRENCY.fullmatch(self.currency_code):
            raise ValueError("a currency code is three capital letters")
