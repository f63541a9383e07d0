"""Money: integer minor units with an ISO 4217 code, never a float."""

MAX_AMOUNT_MINOR = 100_000_000_000
"""The largest amount of one purchase: a billion roubles in kopecks. Larger ones are typing errors."""
