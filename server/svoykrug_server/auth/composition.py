"""How the parts of auth fit together; called by the composition root, and by the tests of auth."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry

from svoykrug_server.auth.access_tokens import AccessTokens, Party
from svoykrug_server.auth.accounts import Accounts
from svoykrug_server.auth.admin_servicer import AuthAdminUseCases
from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.demo_phones import DemoPhones
from svoykrug_server.auth.housekeeping import Housekeeping
from svoykrug_server.auth.introspection import Introspection
from svoykrug_server.auth.key_model import KeyTimes
from svoykrug_server.auth.key_rotation import KeyRotation
from svoykrug_server.auth.model import SessionLimits
from svoykrug_server.auth.phone_change import PhoneChange
from svoykrug_server.auth.refresh_tokens import RefreshTokens
from svoykrug_server.auth.revocations import Revocations
from svoykrug_server.auth.service_accounts import ServiceAccounts
from svoykrug_server.auth.service_tokens import ServiceLimits, ServiceTokens
from svoykrug_server.auth.servicer import AuthUseCases
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.auth.sessions import Sessions
from svoykrug_server.auth.sign_in_completion import CompletionLimits, SignInCompletion
from svoykrug_server.auth.sign_in_composition import SignInOptions, compose_judging, compose_sending, sign_in_options
from svoykrug_server.auth.signing_keys import SigningKeys
from svoykrug_server.auth.sms.chain import ChainRules, SmsChain
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.auth.sms.receipts import DeliveryReceipts, ReceiptRules
from svoykrug_server.auth.sms.routes import SmsRoutes
from svoykrug_server.auth.sms.trace import CodeDeliveryTrace
from svoykrug_server.auth.sms.worker import SmsRules, SmsWorker
from svoykrug_server.auth.tokens import TokenRotation
from svoykrug_server.auth.user_sessions import UserSessions
from svoykrug_server.auth.verifier import AccessTokenVerifier
from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import SecretName, Secrets


@dataclass(frozen=True, slots=True)
class AuthOptions:
    """Every number and name that auth is told.

    Attributes:
        sign_in: How codes are sent and judged.
        session: How long tokens and sessions live.
        services: How long things of services live.
        keys: How long signing keys are kept and read.
        sms: How messages are sent.
        party: Who makes tokens and whom they are for.
        cache_entries: How many verified tokens are remembered.
    """

    sign_in: SignInOptions
    session: SessionLimits
    services: ServiceLimits
    keys: KeyTimes
    sms: SmsRules
    party: Party
    cache_entries: int


@dataclass(frozen=True, slots=True)
class Auth:
    """What auth gives to the rest of the server.

    Attributes:
        use_cases: What `AuthServicer` serves.
        admin: What `AuthAdminServicer` serves.
        verifier: Tells the edge who holds an access token.
        ends: Ends sessions and access tokens within another feature's transaction.
        revocations: What this server knows to be ended.
        sms_worker: Sends what is queued.
        sms_receipts: Asks what became of it.
        housekeeping: Deletes what is old.
    """

    use_cases: AuthUseCases
    admin: AuthAdminUseCases
    verifier: AccessTokenVerifier
    ends: SessionEnds
    revocations: Revocations
    sms_worker: SmsWorker
    sms_receipts: DeliveryReceipts
    housekeeping: Housekeeping

    async def open(self) -> None:
        """Makes the first signing key where there is none, and reads all; before the first call."""
        await self.use_cases.keys.open()

    @property
    def attending(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs wherever calls are taken, by name; each ends when it is cancelled."""
        return {"auth.signing_keys": self.use_cases.keys.run, "auth.revocations": self.revocations.run}

    @property
    def background(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What works in the background, by name, in any number of processes; each ends when it is cancelled."""
        return {
            "auth.sms": self.sms_worker.run,
            "auth.sms_receipts": self.sms_receipts.run,
            "auth.housekeeping": self.housekeeping.run,
        }


def compose_auth(
    options: AuthOptions,
    keys: SigningKeys,
    postgres: Postgres,
    secrets: Secrets,
    clock: Clock,
    accounts: Accounts,
    routes: SmsRoutes,
    scopes: frozenset[str],
    registry: CollectorRegistry,
) -> Auth:
    """Builds auth.

    Args:
        options: Every number and name.
        keys: The signing keys, opened or not.
        postgres: The system of record.
        secrets: The named secrets.
        clock: Tells the time.
        accounts: The people of the circle.
        routes: The providers that send SMS.
        scopes: Every scope that a method or a field of the API asks for.
        registry: Where metrics are registered.
    """
    codes, refresh, sms = Codes(secrets), RefreshTokens(secrets), SmsQueue()
    revocations, ends = Revocations(postgres, clock, hear_of_keys=keys.wake), SessionEnds(options.session, clock)
    access = AccessTokens(keys, options.party, options.session)
    verifier = AccessTokenVerifier(access, keys, revocations, postgres, clock, cache_entries=options.cache_entries)
    rotation = TokenRotation(postgres, accounts, access, refresh, ends, revocations, sms, options.session, clock)
    judge, silence = compose_judging(options.sign_in, codes, clock)
    limits = CompletionLimits(options.sign_in.limits, options.session)
    sending = compose_sending(options.sign_in, postgres, codes, sms, registry, clock)
    use_cases = AuthUseCases(
        codes=sending,
        completion=SignInCompletion(postgres, accounts, judge, silence, refresh, rotation, ends, limits, clock),
        rotation=rotation,
        sessions=Sessions(postgres, ends, revocations, options.session, clock),
        phone_change=PhoneChange(
            postgres, accounts, sending, judge, ends, revocations, sms, options.sign_in.limits, clock
        ),
        keys=keys,
        service_tokens=ServiceTokens(postgres, access, options.party, options.services, clock),
        introspection=Introspection(verifier),
    )
    admin = AuthAdminUseCases(
        accounts=ServiceAccounts(postgres, scopes, options.session, _page_tokens(secrets), revocations.hear, clock),
        keys=KeyRotation(postgres, keys, clock),
        deliveries=CodeDeliveryTrace(postgres, accounts, clock),
        demo_phones=DemoPhones(postgres, accounts, codes, ends, revocations, clock),
        sessions=UserSessions(postgres, accounts, ends, revocations, options.session, clock),
    )
    chain = SmsChain(routes.senders, routes.metrics, clock, ChainRules())
    return Auth(
        use_cases=use_cases,
        admin=admin,
        verifier=verifier,
        ends=ends,
        revocations=revocations,
        sms_worker=SmsWorker(postgres, sms, chain, routes.reporters.keys(), codes, clock, options.sms),
        sms_receipts=DeliveryReceipts(postgres, routes.reporters, routes.metrics, clock, ReceiptRules()),
        housekeeping=Housekeeping(postgres, options.session, clock),
    )


def signing_keys(settings: Settings, postgres: Postgres, secrets: Secrets, clock: Clock) -> SigningKeys:
    """Builds the signing keys alone, for the server and for the command line."""
    return SigningKeys(postgres, secrets, clock, settings.token_algorithm, auth_options(settings).keys)


def key_rotation(settings: Settings, postgres: Postgres, secrets: Secrets, clock: Clock) -> KeyRotation:
    """Builds what the command line needs to keep signing keys."""
    return KeyRotation(postgres, signing_keys(settings, postgres, secrets, clock), clock)


def service_accounts(
    settings: Settings, postgres: Postgres, secrets: Secrets, clock: Clock, scopes: frozenset[str]
) -> ServiceAccounts:
    """Builds what the command line needs to keep service accounts; the servers hear of ended tokens from Postgres."""
    session = auth_options(settings).session
    return ServiceAccounts(postgres, scopes, session, _page_tokens(secrets), lambda _: None, clock)


def auth_options(settings: Settings) -> AuthOptions:
    """Reads what auth is told from the settings."""
    session = SessionLimits(
        access_life=timedelta(seconds=settings.access_token_life_seconds),
        leeway=timedelta(seconds=settings.token_leeway_seconds),
        idle=timedelta(days=settings.session_idle_days),
        absolute=timedelta(days=settings.session_absolute_days),
        race=timedelta(seconds=settings.refresh_race_seconds),
    )
    return AuthOptions(
        sign_in=sign_in_options(settings),
        session=session,
        services=ServiceLimits(
            assertion_life=timedelta(seconds=settings.assertion_life_seconds),
            clock_leeway=timedelta(seconds=settings.assertion_leeway_seconds),
            session=session,
        ),
        keys=KeyTimes(
            cache_life=timedelta(seconds=settings.jwks_cache_seconds),
            reload=timedelta(seconds=settings.signing_keys_reload_seconds),
            token_life=session.access_life + session.leeway,
        ),
        sms=_sms_rules(settings),
        party=Party(settings.token_issuer, settings.token_audience),
        cache_entries=settings.verified_tokens,
    )


def _page_tokens(secrets: Secrets) -> PageTokens:
    return PageTokens(secrets.current(SecretName.PAGE_TOKEN).value)


def _sms_rules(settings: Settings) -> SmsRules:
    longest_round = timedelta(seconds=len(settings.sms_providers) * settings.sms_timeout_seconds)
    return SmsRules(
        autofill_host=settings.sms_autofill_host,
        attempts=settings.sms_attempts,
        lease=max(timedelta(seconds=30), 2 * longest_round),
    )
