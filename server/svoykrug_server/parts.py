"""Every feature, made and given to each other: nothing of it runs yet, and nobody can call it yet.

`app.py` decides what of it serves and what works in the background.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry
from svoykrug.analytics.v1 import analytics_service_pb2
from svoykrug.auth.v1 import auth_admin_service_pb2, auth_service_pb2
from svoykrug.businesses.v1 import businesses_service_pb2
from svoykrug.operations.v1 import operations_service_pb2
from svoykrug.purchases.v1 import purchases_service_pb2
from svoykrug.users.v1 import users_service_pb2

from svoykrug_server.analytics import personal_data as analytics_data
from svoykrug_server.analytics.composition import Analytics, compose_analytics
from svoykrug_server.analytics.freshness.repository import FreshnessRepository
from svoykrug_server.analytics.freshness.service import FreshnessService
from svoykrug_server.analytics.remaking.composition import compose_remaking
from svoykrug_server.analytics.remaking.job import Remaking
from svoykrug_server.auth import personal_data as auth_data
from svoykrug_server.auth.composition import Auth, auth_options, compose_auth, signing_keys
from svoykrug_server.auth.sms.routes import sms_routes
from svoykrug_server.businesses import personal_data as business_data
from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.operations import personal_data as operation_data
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.runner import OperationRunner
from svoykrug_server.operations.schedule.model import JobKind, Timetable
from svoykrug_server.operations.schedule.repository import ScheduleRepository
from svoykrug_server.operations.schedule.scheduler import Scheduler, Work
from svoykrug_server.operations.schedule.service import JobsService
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.purchases import personal_data as purchase_data
from svoykrug_server.purchases.composition import PurchaseOptions, Purchases, compose_purchases
from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.purchases.relay import LONGEST_SPACING_SECONDS, RelayOptions
from svoykrug_server.purchases.reports_repository import ReportLimits
from svoykrug_server.purchases.row_rules import CircleRules
from svoykrug_server.rpc.access import scopes_of
from svoykrug_server.rpc.context import find_current
from svoykrug_server.storage import own_tables
from svoykrug_server.storage.personal_data import Declared, join
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import SecretName, Secrets
from svoykrug_server.storage.upkeep import Upkeep
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.accounts import UserAccounts
from svoykrug_server.users.administration.reading import READ_PHONE_SCOPE
from svoykrug_server.users.membership.composition import (
    Membership,
    compose_membership,
    consent_texts,
    membership_options,
)
from svoykrug_server.users.membership.tier_repository import FOLLOW_LEDGER, TierRepository
from svoykrug_server.users.number_bans import NumberBans
from svoykrug_server.users.personal_data import tables as user_tables
from svoykrug_server.users.personal_data.composition import (
    PersonalData,
    compose_personal_data,
    personal_data_options,
)

Job = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Foundation:
    """What every feature may stand on.

    Attributes:
        settings: Every setting.
        clock: Tells the time.
        secrets: The named secrets.
        postgres: The system of record, migrated.
        warehouse: The analytics copy; it may be away.
        registry: Where metrics are registered.
        supervisor: Keeps jobs alive.
    """

    settings: Settings
    clock: Clock
    secrets: Secrets
    postgres: Postgres
    warehouse: Warehouse
    registry: CollectorRegistry
    supervisor: Supervisor

    @property
    def page_tokens(self) -> PageTokens:
        """Makes and reads page tokens."""
        return PageTokens(self.secrets.current(SecretName.PAGE_TOKEN).value)

    @property
    def external_id_hashes(self) -> ExternalIdHashes:
        """Makes what stands for the external ids of members who have been erased."""
        return ExternalIdHashes([secret.value for secret in self.secrets.all(SecretName.EXTERNAL_ID)])

    @property
    def number_bans(self) -> NumberBans:
        """Bans that outlive accounts."""
        return NumberBans(self.secrets, timedelta(days=self.settings.number_ban_days))


@dataclass(frozen=True, slots=True)
class Parts:
    """Every feature.

    Attributes:
        auth: Sign-in, tokens, services.
        membership: Tiers, wallet codes, referrals, consents.
        personal_data: Deletion, erasure, export.
        operations: Long work.
        jobs: How the jobs of the schedule stand.
        purchases: Purchases and their way to the warehouse.
        freshness: How far the warehouse is.
        analytics: What is known of members and businesses.
        background: What works in the background, by name: here or in any number of workers, each job single by its
            lease, its lock, or rows that two never take.
    """

    auth: Auth
    membership: Membership
    personal_data: PersonalData
    operations: OperationsService
    jobs: JobsService
    purchases: Purchases
    freshness: FreshnessService
    analytics: Analytics
    background: Mapping[str, Job]

    @property
    def attending(self) -> Mapping[str, Job]:
        """What keeps calls answered right, by name: it runs wherever calls are taken."""
        return {**self.auth.attending, "dashboards": self.analytics.dashboards.follow}


def build(foundation: Foundation) -> Parts:
    """Builds every feature on the foundation."""
    postgres, clock, tokens = foundation.postgres, foundation.clock, foundation.page_tokens
    auth = _auth(foundation)
    membership = compose_membership(
        membership_options(foundation.settings), postgres, foundation.secrets, tokens, clock
    )
    operations = OperationsService(postgres, OperationsRepository(postgres), tokens, clock)
    purchases = _purchases(foundation, membership, operations)
    proofs = FreshnessRepository(foundation.settings.circle_time_zone)
    freshness = FreshnessService(postgres, proofs, purchases.reconciler, tokens, clock)
    zone = ZoneInfo(foundation.settings.circle_time_zone)
    analytics = compose_analytics(
        postgres, foundation.warehouse, zone, freshness, freshness, operations, tokens, clock, foundation.registry
    )
    purchases.relay.tell_when_shipped(analytics.dashboards.shipped)
    personal_data = _personal_data(foundation, auth)
    runner = OperationRunner(OperationsRepository(postgres), {**purchases.work, **analytics.work}, clock)
    return Parts(
        auth=auth,
        membership=membership,
        personal_data=personal_data,
        operations=operations,
        jobs=jobs_service(foundation.settings, postgres, clock),
        purchases=purchases,
        freshness=freshness,
        analytics=analytics,
        background={
            "storage.upkeep": Upkeep(postgres, clock).run,
            **auth.background,
            **membership.background,
            **personal_data.background,
            **purchases.background,
            "operations": runner.run,
            "remaking": _remaking(foundation, analytics, freshness, purchases).run,
            **_schedule(foundation, analytics, purchases),
        },
    )


def _remaking(
    foundation: Foundation, analytics: Analytics, freshness: FreshnessService, purchases: Purchases
) -> Remaking:
    settings = foundation.settings
    return compose_remaking(
        foundation.postgres,
        foundation.warehouse,
        ZoneInfo(settings.circle_time_zone),
        analytics.churn,
        freshness,
        purchases.reconciler,
        foundation.clock,
        foundation.registry,
        settings.proof_interval_seconds,
    )


def jobs_service(settings: Settings, postgres: Postgres, clock: Clock) -> JobsService:
    """Builds what says how the jobs stand, for the server and for the doctor."""
    tiers = TierRepository(membership_options(settings).tiers)
    return JobsService(postgres, ScheduleRepository(postgres), timetable(settings), tiers, clock)


def timetable(settings: Settings) -> Timetable:
    """Returns when each job is due, as the settings say."""
    return Timetable(ZoneInfo(settings.circle_time_zone), settings.schedule_hour, settings.schedule_enabled)


def _schedule(foundation: Foundation, analytics: Analytics, purchases: Purchases) -> Mapping[str, Job]:
    """Returns the scheduler, or nothing when the schedule is switched off."""
    if not foundation.settings.schedule_enabled:
        return {}
    postgres = foundation.postgres
    work: Mapping[JobKind, Work] = {
        JobKind.SNAPSHOTS: analytics.jobs.take_snapshots,
        JobKind.SCORING: analytics.jobs.score,
        JobKind.TRAINING: analytics.jobs.train,
        JobKind.FIRST_TRAINING: analytics.jobs.train_first,
        JobKind.FORECAST_RECEIPTS: analytics.jobs.grade,
        JobKind.RETENTION: purchases.retention.let_go,
    }
    scheduler = Scheduler(
        ScheduleRepository(postgres),
        OperationsRepository(postgres),
        work,
        timetable(foundation.settings),
        foundation.clock,
    )
    return {"schedule": scheduler.run}


def _auth(foundation: Foundation) -> Auth:
    settings, postgres, secrets = foundation.settings, foundation.postgres, foundation.secrets
    return compose_auth(
        auth_options(settings),
        signing_keys(settings, postgres, secrets, foundation.clock),
        postgres,
        secrets,
        foundation.clock,
        UserAccounts(find_current, foundation.number_bans, consent_texts(settings)),
        sms_routes(settings, foundation.registry),
        service_scopes(),
        foundation.registry,
    )


def _personal_data(foundation: Foundation, auth: Auth) -> PersonalData:
    return compose_personal_data(
        personal_data_options(foundation.settings),
        foundation.postgres,
        foundation.warehouse,
        kept_of_people(foundation.external_id_hashes),
        auth.ends,
        foundation.number_bans,
        foundation.clock,
    )


def _purchases(foundation: Foundation, membership: Membership, operations: OperationsService) -> Purchases:
    return compose_purchases(
        purchase_options(foundation.settings),
        foundation.postgres,
        foundation.warehouse,
        foundation.page_tokens,
        foundation.registry,
        foundation.clock,
        foundation.external_id_hashes,
        FOLLOW_LEDGER,
        membership.use_cases.wallet,
        operations,
    )


def service_scopes() -> frozenset[str]:
    """Returns every scope that a service account can hold: those of methods, and those of single fields."""
    contract = (
        analytics_service_pb2,
        auth_admin_service_pb2,
        auth_service_pb2,
        businesses_service_pb2,
        operations_service_pb2,
        purchases_service_pb2,
        users_service_pb2,
    )
    return scopes_of(file.DESCRIPTOR for file in contract) | {READ_PHONE_SCOPE}


def kept_of_people(hashes: ExternalIdHashes) -> Declared:
    """Returns what every feature keeps of a person, in the order in which it is erased."""
    return join(
        analytics_data.DECLARED,
        operation_data.DECLARED,
        own_tables.DECLARED,
        business_data.DECLARED,
        auth_data.DECLARED,
        # Nobody writes purchases from here to the end: so late as may be, and before the rows that purchases lock too.
        purchase_data.declared(hashes),
        user_tables.DECLARED,
    )


def purchase_options(settings: Settings) -> PurchaseOptions:
    """Returns the numbers and rules of purchases, as the settings say."""
    return PurchaseOptions(
        rules=CircleRules(
            settings.circle_currency_code, settings.purchase_oldest_days, settings.purchase_newest_seconds
        ),
        time_zone=settings.circle_time_zone,
        relay=RelayOptions(
            most_batch_entries=settings.relay_batch_entries,
            poll_seconds=settings.relay_poll_seconds,
            spacing_seconds=settings.relay_spacing_seconds,
            lease_seconds=max(
                settings.relay_lease_seconds,
                3 * (settings.relay_poll_seconds + max(settings.relay_spacing_seconds, LONGEST_SPACING_SECONDS)),
            ),
        ),
        proof_interval_seconds=settings.proof_interval_seconds,
        full_proof_days=settings.full_proof_days,
        retention_months=settings.warehouse_retention_months,
        most_open_csv_imports=settings.csv_open_imports,
        reports=ReportLimits(settings.import_report_rows, settings.import_reports),
    )
