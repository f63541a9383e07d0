"""How the parts of the sign-in fit together."""

from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry

from svoykrug_server.auth.breakers import Breakers
from svoykrug_server.auth.code_judging import CodeJudge
from svoykrug_server.auth.code_sends import CodeSends, SendLimits
from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.model import SignInLimits
from svoykrug_server.auth.prefix_limits import PrefixLimits, PrefixRule
from svoykrug_server.auth.send_metrics import SendMetrics
from svoykrug_server.auth.sign_in import CodeSending
from svoykrug_server.auth.silence import SilenceLimits, SilentNumbers
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import Clock
from svoykrug_server.storage.postgres import Postgres


@dataclass(frozen=True, slots=True)
class SignInOptions:
    """Every number of the sign-in.

    Attributes:
        limits: How often codes are sent and guessed.
        prefixes: How many go to the numbers of a country.
        silence: When a number may have a new owner.
    """

    limits: SignInLimits
    prefixes: PrefixLimits
    silence: SilenceLimits


def compose_sending(
    options: SignInOptions,
    postgres: Postgres,
    codes: Codes,
    sms: SmsQueue,
    registry: CollectorRegistry,
    clock: Clock,
) -> CodeSending:
    """Builds what starts challenges."""
    metrics = SendMetrics(registry)
    sends = CodeSends(sms, metrics, SendLimits(options.limits, options.prefixes))
    breakers = Breakers(postgres, options.prefixes, options.limits.code_life, metrics, clock)
    return CodeSending(postgres, codes, sends, breakers, sms, options.limits, clock)


def compose_judging(options: SignInOptions, codes: Codes, clock: Clock) -> tuple[CodeJudge, SilentNumbers]:
    """Builds what judges codes, and birth dates after a silence."""
    judge = CodeJudge(codes, options.limits, clock)
    return judge, SilentNumbers(judge, options.silence)


def sign_in_options(settings: Settings) -> SignInOptions:
    """Reads what the sign-in is told from the settings."""
    return SignInOptions(
        limits=_limits(settings),
        prefixes=_prefix_limits(settings),
        silence=SilenceLimits(timedelta(days=settings.silent_days), settings.wrong_birth_dates),
    )


def _limits(settings: Settings) -> SignInLimits:
    return SignInLimits(
        code_life=timedelta(seconds=settings.code_life_seconds),
        guesses=settings.code_guesses,
        wrong_guesses_per_phone_hour=settings.code_wrong_guesses_per_phone_hour,
        resend_wait=timedelta(seconds=settings.code_resend_seconds),
        sends_per_phone_day=settings.code_sends_per_phone_day,
        sends_per_address_hour=settings.code_sends_per_address_hour,
        sends_per_doubtful_address_hour=settings.code_sends_per_doubtful_address_hour,
        verified_window=settings.code_sends_verified_window,
        phone_change_sign_in=timedelta(seconds=settings.phone_change_sign_in_seconds),
    )


def _prefix_limits(settings: Settings) -> PrefixLimits:
    return PrefixLimits(
        home_prefixes=frozenset(settings.code_home_prefixes),
        home=PrefixRule(
            settings.code_sends_per_home_prefix_hour,
            settings.code_breaker_home_window,
            settings.code_breaker_home_verified_percent,
            settings.code_breaker_home_probes,
        ),
        other=PrefixRule(
            settings.code_sends_per_other_prefix_hour,
            settings.code_breaker_other_window,
            settings.code_breaker_other_verified_percent,
            settings.code_breaker_other_probes,
        ),
    )
