"""What membership speaks of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from svoykrug_server.users.model import ConsentKind, Tier


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person said last about one kind of consent.

    Attributes:
        kind: What it allows.
        document_version: The version of the text she was shown.
        granted: Whether she allows it.
        consent_time: When she said so; aware.
    """

    kind: ConsentKind
    document_version: str
    granted: bool
    consent_time: datetime


@dataclass(frozen=True, slots=True)
class Referral:
    """A member whom another brought.

    Attributes:
        user_id: The member.
        display_name: The name she goes by; may be empty.
        join_time: When she joined; aware.
    """

    user_id: UUID
    display_name: str
    join_time: datetime


@dataclass(frozen=True, slots=True)
class ReferralPage:
    """A page of the members whom a person brought.

    Attributes:
        referrals: The newest first.
        next_page_token: Asks for the next page; empty on the last.
        total_count: How many she brought in all.
    """

    referrals: Sequence[Referral]
    next_page_token: str
    total_count: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tier is computed from, and the tier that follows.

    Attributes:
        net_spend_minor: What she spent in the window, net of refunds.
        category_count: In how many categories.
        tier: The tier of that spending, whatever an admin set.
        pinned: Whether an admin set her tier.
        top_spend_minor: Whoever spends as much is among the top; None while nobody is.
    """

    net_spend_minor: int
    category_count: int
    tier: Tier
    pinned: bool
    top_spend_minor: int | None


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing for a tier.

    Attributes:
        tier: The tier.
        spend_minor: What must be spent more.
        category_count: In how many more categories.
    """

    tier: Tier
    spend_minor: int
    category_count: int


@dataclass(frozen=True, slots=True)
class TierStatus:
    """Where a member stands among the tiers.

    Attributes:
        tier: Her tier.
        standing: What it was computed from.
        window_start_time: The first instant that counts; aware.
        missing: What is missing for the next tier; None at the highest.
        compute_time: When it was computed; aware.
        currency_code: The circle's currency, ISO 4217.
    """

    tier: Tier
    standing: Standing
    window_start_time: datetime
    missing: Missing | None
    compute_time: datetime
    currency_code: str


@dataclass(frozen=True, slots=True)
class TierChange:
    """A member whose tier became another.

    Attributes:
        user_id: The member.
        before: Her tier before.
        after: Her tier from now on.
    """

    user_id: UUID
    before: Tier
    after: Tier


@dataclass(frozen=True, slots=True)
class WalletCode:
    """A code to show at a business.

    Attributes:
        code: 8 characters; it never prints.
        expire_time: When it stops being good; aware.
    """

    code: str
    expire_time: datetime

    def __repr__(self) -> str:
        return f"WalletCode(expire_time={self.expire_time!r})"
