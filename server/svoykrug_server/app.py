"""The composition root: the only place where parts are made and given to each other.

Every feature has one function here that makes its services, registers its servicers and starts its jobs.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import grpc
from prometheus_client import CollectorRegistry
from svoykrug.analytics.v1 import analytics_service_pb2, analytics_service_pb2_grpc
from svoykrug.auth.v1 import (
    auth_admin_service_pb2,
    auth_admin_service_pb2_grpc,
    auth_service_pb2,
    auth_service_pb2_grpc,
)
from svoykrug.businesses.v1 import businesses_service_pb2, businesses_service_pb2_grpc
from svoykrug.operations.v1 import operations_service_pb2, operations_service_pb2_grpc
from svoykrug.purchases.v1 import purchases_service_pb2, purchases_service_pb2_grpc
from svoykrug.users.v1 import users_service_pb2, users_service_pb2_grpc

from svoykrug_server.analytics import personal_data as analytics_data
from svoykrug_server.analytics.churn.servicer import ChurnServicer
from svoykrug_server.analytics.composition import compose_analytics
from svoykrug_server.analytics.dashboards.servicer import DashboardServicer
from svoykrug_server.analytics.freshness.repository import FreshnessRepository
from svoykrug_server.analytics.freshness.service import FreshnessService
from svoykrug_server.analytics.freshness.servicer import FreshnessServicer
from svoykrug_server.analytics.servicer import AnalyticsServicer
from svoykrug_server.auth import personal_data as auth_data
from svoykrug_server.auth.admin_servicer import AuthAdminServicer
from svoykrug_server.auth.composition import Auth, auth_options, compose_auth, signing_keys
from svoykrug_server.auth.servicer import AuthServicer
from svoykrug_server.auth.sms.routes import sms_routes
from svoykrug_server.businesses import personal_data as business_data
from svoykrug_server.businesses.archiving import BusinessArchive
from svoykrug_server.businesses.service import BusinessesService
from svoykrug_server.businesses.servicer import BusinessesServicer
from svoykrug_server.businesses.staff import StaffService
from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.failpoints import arm_failpoints, parse_failpoints
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.operations import personal_data as operation_data
from svoykrug_server.operations.convert import operation_to_proto
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.runner import OperationRunner
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.operations.servicer import OperationsServicer
from svoykrug_server.purchases import personal_data as purchase_data
from svoykrug_server.purchases.composition import PurchaseOptions, Purchases, compose_purchases
from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.purchases.relay import RelayOptions
from svoykrug_server.purchases.row_rules import CircleRules
from svoykrug_server.purchases.servicer import PurchasesServicer
from svoykrug_server.rpc.access import scopes_of
from svoykrug_server.rpc.context import find_current
from svoykrug_server.rpc.listening import check_addresses
from svoykrug_server.rpc.options import RpcOptions, TlsOptions
from svoykrug_server.rpc.server import RpcServer
from svoykrug_server.rpc.standing import StandingChecks
from svoykrug_server.storage import own_tables
from svoykrug_server.storage.personal_data import Declared, join
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import SecretName, Secrets
from svoykrug_server.storage.upkeep import Upkeep
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.accounts import UserAccounts
from svoykrug_server.users.administration.reading import READ_PHONE_SCOPE
from svoykrug_server.users.composition import compose_users
from svoykrug_server.users.membership.composition import Membership, compose_membership, membership_options
from svoykrug_server.users.membership.tiers import TiersFollowPurchases
from svoykrug_server.users.personal_data import tables as user_tables
from svoykrug_server.users.personal_data.composition import compose_personal_data, personal_data_options
from svoykrug_server.users.servicer import UsersServicer


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
        supervisor: Keeps background jobs alive; they are started once calls are about to be taken.
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


async def compose(foundation: Foundation) -> RpcServer:
    """Builds every feature on the foundation, and the server that they answer through; it has not started yet.

    Raises:
        CannotStart: Something is wrong that a person must mend.
        AccessRuleError: A method has no access rule.
    """
    arm_failpoints(parse_failpoints(foundation.settings.failpoints))
    options = rpc_options(foundation.settings)
    # Before any job runs: a job's log would hide the one line that says what is wrong.
    check_addresses(options)
    auth = await _auth(foundation)
    foundation.supervisor.start("storage.upkeep", Upkeep(foundation.postgres, foundation.clock).run)
    server = RpcServer(options, auth.verifier, foundation.registry)
    _add_auth(auth, server.methods)
    membership = _add_users(foundation, server.methods, auth)
    _add_businesses(foundation, server.methods, auth)
    operations = _add_operations(foundation, server.methods)
    purchases = _add_purchases(foundation, server.methods, membership, operations)
    _add_analytics(foundation, server.methods, purchases, operations, StandingChecks(auth.verifier))
    return server


async def _auth(foundation: Foundation) -> Auth:
    settings, postgres, secrets = foundation.settings, foundation.postgres, foundation.secrets
    keys = signing_keys(settings, postgres, secrets, foundation.clock)
    accounts, routes = UserAccounts(find_current), sms_routes(settings, foundation.registry)
    auth = compose_auth(
        auth_options(settings),
        keys,
        postgres,
        secrets,
        foundation.clock,
        accounts,
        routes,
        service_scopes(),
        foundation.registry,
    )
    await auth.open()
    for name, job in auth.background.items():
        foundation.supervisor.start(name, job)
    return auth


def _add_auth(auth: Auth, methods: grpc.aio.Server) -> None:
    auth_service_pb2_grpc.add_AuthServiceServicer_to_server(AuthServicer(auth.use_cases), methods)
    servicer = AuthAdminServicer(auth.admin)
    auth_admin_service_pb2_grpc.add_AuthAdminServiceServicer_to_server(servicer, methods)


def _add_users(foundation: Foundation, methods: grpc.aio.Server, auth: Auth) -> Membership:
    postgres, clock = foundation.postgres, foundation.clock
    users = compose_users(postgres, auth.ends, foundation.page_tokens, clock)
    options = membership_options(foundation.settings)
    membership = compose_membership(options, postgres, foundation.secrets, foundation.page_tokens, clock)
    declared = kept_of_people(foundation.external_id_hashes)
    personal_data = compose_personal_data(
        personal_data_options(foundation.settings), postgres, foundation.warehouse, declared, auth.ends, clock
    )
    servicer = UsersServicer(users.profile, users.administration, membership.use_cases, personal_data.use_cases)
    users_service_pb2_grpc.add_UsersServiceServicer_to_server(servicer, methods)
    for name, job in (*membership.background.items(), *personal_data.background.items()):
        foundation.supervisor.start(name, job)
    return membership


def _add_businesses(foundation: Foundation, methods: grpc.aio.Server, auth: Auth) -> None:
    businesses = BusinessesService(foundation.postgres, foundation.clock, foundation.page_tokens)
    staff = StaffService(foundation.postgres, foundation.clock, auth.ends)
    archive = BusinessArchive(foundation.postgres, foundation.clock, auth.ends)
    servicer = BusinessesServicer(businesses, archive, staff)
    businesses_service_pb2_grpc.add_BusinessesServiceServicer_to_server(servicer, methods)


def _add_operations(foundation: Foundation, methods: grpc.aio.Server) -> OperationsService:
    repository = OperationsRepository(foundation.postgres)
    operations = OperationsService(foundation.postgres, repository, foundation.page_tokens, foundation.clock)
    operations_service_pb2_grpc.add_OperationsServiceServicer_to_server(OperationsServicer(operations), methods)
    return operations


def _add_purchases(
    foundation: Foundation, methods: grpc.aio.Server, membership: Membership, operations: OperationsService
) -> Purchases:
    purchases = compose_purchases(
        purchase_options(foundation.settings),
        foundation.postgres,
        foundation.warehouse,
        foundation.page_tokens,
        foundation.registry,
        foundation.clock,
        foundation.external_id_hashes,
        TiersFollowPurchases(),
        membership.use_cases.wallet,
        operations,
    )
    servicer = PurchasesServicer(
        purchases.service,
        purchases.refunds,
        purchases.imports,
        purchases.uploads,
        purchases.kept_rows,
        operation_to_proto,
    )
    purchases_service_pb2_grpc.add_PurchasesServiceServicer_to_server(servicer, methods)
    for name, job in purchases.background.items():
        foundation.supervisor.start(name, job)
    return purchases


def _add_analytics(
    foundation: Foundation,
    methods: grpc.aio.Server,
    purchases: Purchases,
    operations: OperationsService,
    standing: StandingChecks,
) -> None:
    settings, postgres, clock = foundation.settings, foundation.postgres, foundation.clock
    proofs = FreshnessRepository(settings.circle_time_zone)
    freshness = FreshnessService(postgres, proofs, purchases.reconciler, clock)
    analytics = compose_analytics(
        postgres,
        foundation.warehouse,
        ZoneInfo(settings.circle_time_zone),
        freshness,
        freshness,
        operations,
        foundation.page_tokens,
        clock,
    )
    churn = ChurnServicer(analytics.churn.models, analytics.churn.risk, operation_to_proto)
    shown = analytics.dashboards
    dashboards = DashboardServicer(shown.dashboards, shown.cohorts, shown.matrix, standing)
    servicer = AnalyticsServicer(
        analytics.snapshots, analytics.insight, operation_to_proto, FreshnessServicer(freshness), churn, dashboards
    )
    analytics_service_pb2_grpc.add_AnalyticsServiceServicer_to_server(servicer, methods)
    runner = OperationRunner(OperationsRepository(postgres), {**purchases.work, **analytics.work}, clock)
    purchases.relay.tell_when_shipped(shown.shipped)
    foundation.supervisor.start("dashboards", shown.follow)
    foundation.supervisor.start("operations", runner.run)


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
        purchase_data.declared(hashes),
        analytics_data.DECLARED,
        operation_data.DECLARED,
        own_tables.DECLARED,
        business_data.DECLARED,
        auth_data.DECLARED,
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
                settings.relay_lease_seconds, 3 * (settings.relay_poll_seconds + settings.relay_spacing_seconds)
            ),
        ),
        proof_interval_seconds=settings.proof_interval_seconds,
        full_proof_days=settings.full_proof_days,
    )


def rpc_options(settings: Settings) -> RpcOptions:
    """Returns how the edge listens and what it allows, as the settings say."""
    tls = None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = TlsOptions(settings.tls_certificate, settings.tls_key, settings.tls_client_authorities)
    return RpcOptions(
        listen=settings.listen,
        tls=tls,
        allow_plaintext=settings.allow_plaintext,
        max_message_bytes=settings.max_message_bytes,
        max_metadata_bytes=settings.max_metadata_bytes,
        max_calls=settings.max_calls,
        max_calls_per_caller=settings.max_calls_per_caller,
        keepalive_seconds=settings.keepalive_seconds,
        min_ping_interval_seconds=settings.min_ping_interval_seconds,
        max_connection_age_seconds=settings.max_connection_age_seconds,
        drain_seconds=settings.drain_seconds,
        grace_seconds=settings.grace_seconds,
        oldest_client_versions=settings.oldest_client_versions,
        default_locale=settings.default_locale,
        trusted_proxies=settings.trusted_proxies,
        reflection=settings.reflection,
        channelz=settings.channelz,
    )
