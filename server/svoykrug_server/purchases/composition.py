"""Builds purchases from what they stand on; `app.py` calls it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.purchases.announcing import Announcer
from svoykrug_server.purchases.csv.composition import Work, compose_csv
from svoykrug_server.purchases.csv.uploads import CsvUploads
from svoykrug_server.purchases.erasure_repository import LedgerErasure
from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.purchases.imports import ImportService
from svoykrug_server.purchases.kept_rows import KeptRowService
from svoykrug_server.purchases.kept_rows_repository import KeptRowRepository
from svoykrug_server.purchases.ledger_repository import LedgerRepository
from svoykrug_server.purchases.pipeline import Upkeep
from svoykrug_server.purchases.pipeline_metrics import PipelineMetrics
from svoykrug_server.purchases.pipeline_repository import PipelineRepository
from svoykrug_server.purchases.ports import LedgerFollower, Operations, WalletCodes
from svoykrug_server.purchases.rebuild import Rebuild
from svoykrug_server.purchases.reconciler import Reconciler
from svoykrug_server.purchases.refund_repository import RefundRepository
from svoykrug_server.purchases.refunds import RefundService
from svoykrug_server.purchases.rejections_repository import RejectionRepository
from svoykrug_server.purchases.relay import Relay, RelayOptions
from svoykrug_server.purchases.reports_repository import ReportLimits, ReportRepository
from svoykrug_server.purchases.repository import PurchaseRepository
from svoykrug_server.purchases.retention import Retention
from svoykrug_server.purchases.retention_repository import RetentionRepository
from svoykrug_server.purchases.retention_warehouse import RetentionWarehouse
from svoykrug_server.purchases.row_rules import CircleRules
from svoykrug_server.purchases.service import PurchaseService
from svoykrug_server.purchases.single_repository import SingleRepository
from svoykrug_server.purchases.single_writer import SingleWriter
from svoykrug_server.purchases.wallet_writer import WalletWriter
from svoykrug_server.purchases.warehouse import PurchaseWarehouse
from svoykrug_server.purchases.writer import PurchaseWriter
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse

Job = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PurchaseOptions:
    """The numbers and rules of purchases.

    Attributes:
        rules: What the circle takes.
        time_zone: The circle's time zone: a day is a day there.
        relay: How the relay works.
        proof_interval_seconds: How often days that changed are proven.
        full_proof_days: After how many days every day is proven again.
        retention_months: How many whole months the warehouse keeps before the present one; 0 for all.
        most_open_csv_imports: How many CSV files that are not written a business has at a time.
        reports: How many refused rows of a business's imports are kept.
    """

    rules: CircleRules
    time_zone: str
    relay: RelayOptions
    proof_interval_seconds: float
    full_proof_days: int
    retention_months: int
    most_open_csv_imports: int
    reports: ReportLimits


@dataclass(frozen=True, slots=True)
class Purchases:
    """Purchases, ready to be served.

    Attributes:
        service: Single purchases, small batches and lists.
        refunds: Refunds.
        imports: Imports.
        uploads: Imports of CSV files.
        kept_rows: Rows of imports that named nobody.
        reconciler: Proves that both stores hold the same.
        relay: Carries the ledger to the warehouse; it tells when it has shipped.
        retention: Lets go of old months of the warehouse.
        background: The jobs to run beside the server, by name.
        work: The work functions of the operations of purchases, by kind.
    """

    service: PurchaseService
    refunds: RefundService
    imports: ImportService
    uploads: CsvUploads
    kept_rows: KeptRowService
    reconciler: Reconciler
    relay: Relay
    retention: Retention
    background: Mapping[str, Job]
    work: Mapping[str, Work]


def compose_purchases(
    options: PurchaseOptions,
    postgres: Postgres,
    warehouse: Warehouse,
    page_tokens: PageTokens,
    registry: CollectorRegistry,
    clock: Clock,
    hashes: ExternalIdHashes,
    follower: LedgerFollower,
    wallet_codes: WalletCodes,
    operations: Operations,
) -> Purchases:
    """Builds the use cases and the jobs.

    Args:
        options: The numbers and rules.
        postgres: The system of record.
        warehouse: The analytics copy.
        page_tokens: Makes and reads page tokens.
        registry: Where metrics are registered.
        clock: Tells the time.
        hashes: What stands for the external ids of members who have been erased.
        follower: What is done with each entry of purchases and refunds in the outbox.
        wallet_codes: The codes that members show at a business.
        operations: Starts long work.
    """
    metrics, pipeline = PipelineMetrics(registry), PipelineRepository(options.time_zone)
    copy = PurchaseWarehouse(warehouse, options.time_zone)
    relay = Relay(postgres, pipeline, copy, clock, metrics, options.relay)
    reconciler = Reconciler(postgres, pipeline, copy, clock, metrics, options.full_proof_days)
    horizon, zone = RetentionRepository(options.time_zone), ZoneInfo(options.time_zone)
    retention = Retention(
        postgres, horizon, pipeline, RetentionWarehouse(warehouse), reconciler, zone, options.retention_months, clock
    )
    most_entries = options.relay.most_batch_entries
    rebuild = Rebuild(postgres, pipeline, copy, relay, retention, clock, most_entries)
    upkeep = Upkeep(postgres, relay, reconciler, rebuild, options.proof_interval_seconds)
    purchases = PurchaseRepository(hashes)
    announcer, refunds = Announcer(follower, relay.wake), RefundRepository(hashes)
    erasure = LedgerErasure(hashes)
    writer = PurchaseWriter(postgres, LedgerRepository(), erasure, options.rules, clock, announcer)
    singles = SingleRepository(hashes, follower, options.rules.currency_code)
    single_writer = SingleWriter(postgres, singles, writer, clock, announcer)
    wallet_writer = WalletWriter(postgres, refunds, writer, wallet_codes)
    most_open = options.most_open_csv_imports
    reports = ReportRepository(options.reports)
    csv = compose_csv(
        postgres, writer, erasure, options.rules, zone, operations, page_tokens, clock, most_open, reports
    )
    return Purchases(
        service=PurchaseService(postgres, purchases, writer, single_writer, wallet_writer, page_tokens),
        refunds=RefundService(postgres, refunds, purchases, options.rules, clock, announcer),
        imports=ImportService(postgres, writer, RejectionRepository(), reports, page_tokens, clock),
        uploads=csv.uploads,
        kept_rows=KeptRowService(postgres, KeptRowRepository(), purchases, refunds, writer, page_tokens, clock),
        reconciler=reconciler,
        relay=relay,
        retention=retention,
        background={"relay": relay.run, "upkeep": upkeep.run, "csv_housekeeping": csv.housekeeping.run},
        work=csv.work,
    )
