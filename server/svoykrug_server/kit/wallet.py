"""What users and purchases say to each other about wallet codes, as neither imports the other."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class WalletHolder:
    """Whose wallet code it is that somebody gave.

    Attributes:
        user_id: Who showed it.
        usable: Whether a purchase may be written with it; otherwise it was used, or is too old.
        code_hash: Names the code.
    """

    user_id: UUID
    usable: bool
    code_hash: bytes = field(repr=False)
