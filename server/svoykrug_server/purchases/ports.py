"""What purchases needs of others; `app.py` wires it."""

from collections.abc import Callable

WakeRelay = Callable[[], None]
"""Called after a commit that wrote to the ledger: the warehouse hears of it at once instead of at the next poll."""
