"""How the parts of memberships fit together; called by the composition root, and by tests."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import Secrets
from svoykrug_server.users.consent_texts import ANY_TEXT, ConsentTexts
from svoykrug_server.users.membership.consents import Consents
from svoykrug_server.users.membership.referrals import Referrals
from svoykrug_server.users.membership.servicer import MembershipUseCases
from svoykrug_server.users.membership.tier_repository import TierRepository
from svoykrug_server.users.membership.tier_rules import TierRules
from svoykrug_server.users.membership.tier_upkeep import TierUpkeep, TierUpkeepOptions
from svoykrug_server.users.membership.tiers import Tiers
from svoykrug_server.users.membership.wallet import Wallet, WalletLimits


@dataclass(frozen=True, slots=True)
class MembershipOptions:
    """The numbers and rules of memberships.

    Attributes:
        tiers: What each tier asks for.
        upkeep: How tiers are kept.
        wallet: How long wallet codes live and how much guessing is borne.
        texts: What may be consented to.
    """

    tiers: TierRules
    upkeep: TierUpkeepOptions
    wallet: WalletLimits
    texts: ConsentTexts = ANY_TEXT


@dataclass(frozen=True, slots=True)
class Membership:
    """Memberships, ready to be served.

    Attributes:
        use_cases: What the servicer serves.
        upkeep: Keeps the tiers.
        tiers: SQL about tiers; it knows how far the night's are.
    """

    use_cases: MembershipUseCases
    upkeep: TierUpkeep
    tiers: TierRepository

    @property
    def background(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs as long as the server does, by name; each ends when it is cancelled."""
        return {
            "users.tiers": self.upkeep.run,
            "users.tiers_of_many": self.upkeep.run_many,
            "users.tiers_nightly": self.upkeep.run_nightly,
            "users.wallet": self.use_cases.wallet.run,
        }


def compose_membership(
    options: MembershipOptions, postgres: Postgres, secrets: Secrets, page_tokens: PageTokens, clock: Clock
) -> Membership:
    """Builds the use cases and the jobs.

    Args:
        options: The numbers and rules.
        postgres: The system of record.
        secrets: The named secrets.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
    """
    tiers = TierRepository(options.tiers)
    use_cases = MembershipUseCases(
        consents=Consents(postgres, clock, options.texts),
        referrals=Referrals(postgres, page_tokens),
        tiers=Tiers(postgres, tiers, options.tiers, clock),
        wallet=Wallet(postgres, secrets, options.wallet, clock),
    )
    return Membership(use_cases, TierUpkeep(postgres, tiers, options.tiers, clock, options.upkeep), tiers)


def membership_options(settings: Settings) -> MembershipOptions:
    """Reads what memberships are told from the settings."""
    return MembershipOptions(
        tiers=TierRules(
            currency_code=settings.circle_currency_code,
            time_zone=ZoneInfo(settings.circle_time_zone),
            vip_spend_minor=settings.tier_vip_spend_minor,
            vip_categories=settings.tier_vip_categories,
            elite_spend_minor=settings.tier_elite_spend_minor,
            elite_categories=settings.tier_elite_categories,
            elite_top_percent=settings.tier_elite_top_percent,
            inner_circle_spend_minor=settings.tier_inner_circle_spend_minor,
        ),
        upkeep=TierUpkeepOptions(poll_seconds=settings.tier_poll_seconds),
        wallet=WalletLimits(
            life=timedelta(seconds=settings.wallet_code_life_seconds),
            wrong_guesses_per_hour=settings.wallet_wrong_codes_per_caller_hour,
        ),
        texts=consent_texts(settings),
    )


def consent_texts(settings: Settings) -> ConsentTexts:
    """Reads which texts may be consented to from the settings."""
    return ConsentTexts(frozenset(settings.consent_versions))
