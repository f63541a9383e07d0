"""The composition root: what of the parts serves calls, and what works in the background.

`compose` is a server, `compose_worker` a worker; `parts.py` makes the parts for both.
"""

from collections.abc import Mapping

import grpc
from svoykrug.analytics.v1 import analytics_service_pb2_grpc
from svoykrug.auth.v1 import auth_admin_service_pb2_grpc, auth_service_pb2_grpc
from svoykrug.businesses.v1 import businesses_service_pb2_grpc
from svoykrug.operations.v1 import operations_service_pb2_grpc
from svoykrug.purchases.v1 import purchases_service_pb2_grpc
from svoykrug.users.v1 import users_service_pb2_grpc

from svoykrug_server.analytics.churn.servicer import ChurnServicer
from svoykrug_server.analytics.dashboards.servicer import DashboardServicer
from svoykrug_server.analytics.freshness.servicer import FreshnessServicer
from svoykrug_server.analytics.servicer import AnalyticsServicer
from svoykrug_server.auth.admin_servicer import AuthAdminServicer
from svoykrug_server.auth.servicer import AuthServicer
from svoykrug_server.businesses.archiving import BusinessArchive
from svoykrug_server.businesses.service import BusinessesService
from svoykrug_server.businesses.servicer import BusinessesServicer
from svoykrug_server.businesses.staff import StaffService
from svoykrug_server.config import Settings
from svoykrug_server.kit.failpoints import arm_failpoints, parse_failpoints
from svoykrug_server.operations.convert import operation_to_proto
from svoykrug_server.operations.servicer import OperationsServicer
from svoykrug_server.parts import Foundation, Job, Parts, build
from svoykrug_server.purchases.servicer import PurchasesServicer
from svoykrug_server.rpc.listening import check_addresses
from svoykrug_server.rpc.options import RpcOptions, TlsOptions
from svoykrug_server.rpc.server import RpcServer
from svoykrug_server.rpc.standing import StandingChecks
from svoykrug_server.users.composition import compose_users
from svoykrug_server.users.servicer import UsersServicer


async def compose(foundation: Foundation, *, shares_ports: bool = False) -> RpcServer:
    """Builds the server that every feature answers through, and starts its jobs; it takes no calls yet.

    Args:
        foundation: What it stands on.
        shares_ports: Whether other processes take calls on the same ports.

    Raises:
        CannotStart: Something is wrong that a person must mend.
        AccessRuleError: A method has no access rule.
    """
    arm_failpoints(parse_failpoints(foundation.settings.failpoints))
    options = rpc_options(foundation.settings, shares_ports=shares_ports)
    # Before any job runs: a job's log would hide the one line that says what is wrong.
    check_addresses(options)
    parts = build(foundation)
    await parts.auth.open()
    server = RpcServer(options, parts.auth.verifier, foundation.registry)
    _add_auth(parts, server.methods)
    _add_users(foundation, parts, server.methods)
    _add_businesses(foundation, parts, server.methods)
    _add_operations(parts, server.methods)
    _add_purchases(parts, server.methods)
    _add_analytics(parts, server.methods)
    _start(foundation, parts.attending)
    if foundation.settings.background_work:
        _start(foundation, parts.background)
    return server


def compose_worker(foundation: Foundation) -> None:
    """Starts what works in the background, and nothing that takes calls.

    Raises:
        CannotStart: Something is wrong that a person must mend.
    """
    arm_failpoints(parse_failpoints(foundation.settings.failpoints))
    _start(foundation, build(foundation).background)


def _start(foundation: Foundation, jobs: Mapping[str, Job]) -> None:
    for name, job in jobs.items():
        foundation.supervisor.start(name, job)


def _add_auth(parts: Parts, methods: grpc.aio.Server) -> None:
    auth_service_pb2_grpc.add_AuthServiceServicer_to_server(AuthServicer(parts.auth.use_cases), methods)
    servicer = AuthAdminServicer(parts.auth.admin)
    auth_admin_service_pb2_grpc.add_AuthAdminServiceServicer_to_server(servicer, methods)


def _add_users(foundation: Foundation, parts: Parts, methods: grpc.aio.Server) -> None:
    users = compose_users(
        foundation.postgres, parts.auth.ends, foundation.number_bans, foundation.page_tokens, foundation.clock
    )
    servicer = UsersServicer(
        users.profile, users.administration, parts.membership.use_cases, parts.personal_data.use_cases
    )
    users_service_pb2_grpc.add_UsersServiceServicer_to_server(servicer, methods)


def _add_businesses(foundation: Foundation, parts: Parts, methods: grpc.aio.Server) -> None:
    businesses = BusinessesService(foundation.postgres, foundation.clock, foundation.page_tokens)
    staff = StaffService(foundation.postgres, foundation.clock, parts.auth.ends)
    archive = BusinessArchive(foundation.postgres, foundation.clock, parts.auth.ends)
    servicer = BusinessesServicer(businesses, archive, staff)
    businesses_service_pb2_grpc.add_BusinessesServiceServicer_to_server(servicer, methods)


def _add_operations(parts: Parts, methods: grpc.aio.Server) -> None:
    servicer = OperationsServicer(parts.operations, parts.jobs)
    operations_service_pb2_grpc.add_OperationsServiceServicer_to_server(servicer, methods)


def _add_purchases(parts: Parts, methods: grpc.aio.Server) -> None:
    purchases = parts.purchases
    servicer = PurchasesServicer(
        purchases.service,
        purchases.refunds,
        purchases.imports,
        purchases.uploads,
        purchases.kept_rows,
        operation_to_proto,
    )
    purchases_service_pb2_grpc.add_PurchasesServiceServicer_to_server(servicer, methods)


def _add_analytics(parts: Parts, methods: grpc.aio.Server) -> None:
    analytics, shown = parts.analytics, parts.analytics.dashboards
    churn = ChurnServicer(analytics.churn.models, analytics.churn.risk, analytics.scopes, operation_to_proto)
    standing = StandingChecks(parts.auth.verifier)
    dashboards = DashboardServicer(shown.dashboards, shown.cohorts, shown.matrix, standing)
    freshness = FreshnessServicer(parts.freshness)
    servicer = AnalyticsServicer(
        analytics.snapshots, analytics.insight, analytics.scopes, operation_to_proto, freshness, churn, dashboards
    )
    analytics_service_pb2_grpc.add_AnalyticsServiceServicer_to_server(servicer, methods)


def rpc_options(settings: Settings, *, shares_ports: bool = False) -> RpcOptions:
    """Returns how the edge listens and what it allows, as the settings say; several processes may share its ports."""
    tls = None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = TlsOptions(settings.tls_certificate, settings.tls_key, settings.tls_client_authorities)
    return RpcOptions(
        listen=settings.listen,
        shares_ports=shares_ports,
        tls=tls,
        allow_plaintext=settings.allow_plaintext,
        max_message_bytes=settings.max_message_bytes,
        max_metadata_bytes=settings.max_metadata_bytes,
        max_calls=settings.max_calls,
        max_calls_per_caller=settings.max_calls_per_caller,
        max_calls_per_second_per_caller=settings.max_calls_per_second_per_caller,
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
