"""A small circle for tests of purchases: a business, members, and every part wired as the server wires them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.ids import random_member_id
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.operations.service import OperationsService
from svoykrug_server.purchases.announcing import Announcer
from svoykrug_server.purchases.csv.composition import compose_csv
from svoykrug_server.purchases.erasure_repository import LedgerErasure
from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.purchases.imports import ImportService
from svoykrug_server.purchases.kept_rows import KeptRowService
from svoykrug_server.purchases.kept_rows_repository import KeptRowRepository
from svoykrug_server.purchases.ledger_repository import LedgerRepository
from svoykrug_server.purchases.model import PurchaseRows, us_of_instant
from svoykrug_server.purchases.pipeline_metrics import PipelineMetrics
from svoykrug_server.purchases.pipeline_repository import PipelineRepository
from svoykrug_server.purchases.ports import WalletCodes
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
from svoykrug_server.users.membership.tier_repository import FOLLOW_LEDGER
from tests.callers import service
from tests.users.memberships import membership_of

TIME_ZONE = "Europe/Moscow"
MOST_OPEN_CSV_IMPORTS = 3
REPORT_LIMITS = ReportLimits(most_rows=1_000_000, most_reports=1_000)
RULES = CircleRules("RUB", oldest_purchase_days=3660, newest_purchase_seconds=300)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
IMPORTER = service("purchases.write")
_phones = count(9_000_000_001)
_names = count(1)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the test's circle."""

    user_id: UUID
    member_id: int
    phone: str


class Circle:
    """Everything that writes, ships and proves purchases, on the stores of one test."""

    def __init__(
        self, postgres: Postgres, warehouse: Warehouse, clock: ManualClock, limits: ReportLimits = REPORT_LIMITS
    ) -> None:
        self.postgres = postgres
        self.warehouse = warehouse
        self.clock = clock
        self.registry = CollectorRegistry()
        self.wakes = 0
        hashes = ExternalIdHashes([b"external-id-key " * 2])
        reading = PurchaseRepository(hashes)
        self.hashes = hashes
        refunds, announcer = RefundRepository(hashes), Announcer(FOLLOW_LEDGER, self._wake)
        self.membership = membership_of(postgres, clock)
        self.erasure, page_tokens = LedgerErasure(hashes), PageTokens(bytes(32))
        self.writer = PurchaseWriter(postgres, LedgerRepository(), self.erasure, RULES, clock, announcer)
        self._refund_rows, self._reading = refunds, reading
        singles = SingleRepository(hashes, FOLLOW_LEDGER, RULES.currency_code)
        self.single_writer = SingleWriter(postgres, singles, self.writer, clock, announcer)
        self.use_wallet(self.membership.use_cases.wallet)
        reports = ReportRepository(limits)
        self.imports = ImportService(postgres, self.writer, RejectionRepository(), reports, page_tokens, clock)
        self.refunds = RefundService(postgres, refunds, reading, RULES, clock, announcer)
        self.operations = OperationsService(postgres, OperationsRepository(postgres), page_tokens, clock)
        zone = ZoneInfo(TIME_ZONE)
        most_open = MOST_OPEN_CSV_IMPORTS
        self.csv = compose_csv(
            postgres, self.writer, self.erasure, RULES, zone, self.operations, page_tokens, clock, most_open, reports
        )
        kept_rows = KeptRowRepository()
        self.kept_rows = KeptRowService(postgres, kept_rows, reading, refunds, self.writer, page_tokens, clock)
        self.pipeline = PipelineRepository(TIME_ZONE)
        self.metrics = PipelineMetrics(self.registry)
        self.copy = PurchaseWarehouse(warehouse, TIME_ZONE)
        self.relay = self.make_relay()
        self.reconciler = Reconciler(postgres, self.pipeline, self.copy, clock, self.metrics, 7)
        self.retention = self.make_retention(24)
        self.rebuild = Rebuild(postgres, self.pipeline, self.copy, self.relay, self.retention, clock, 3)

    def make_relay(self, most_batch_entries: int = 200_000) -> Relay:
        """Returns a relay of another process."""
        options = RelayOptions(most_batch_entries=most_batch_entries)
        return Relay(self.postgres, self.pipeline, self.copy, self.clock, self.metrics, options)

    def make_retention(self, months: int) -> Retention:
        """Returns what lets go of old months, as a worker with this setting has it."""
        return Retention(
            self.postgres,
            RetentionRepository(TIME_ZONE),
            self.pipeline,
            RetentionWarehouse(self.warehouse),
            self.reconciler,
            ZoneInfo(TIME_ZONE),
            months,
            self.clock,
        )

    def metric(self, name: str) -> float:
        """Returns a metric's value."""
        return self.registry.get_sample_value(name) or 0.0

    def use_wallet(self, codes: WalletCodes) -> None:
        """Takes wallet codes by other limits from now on."""
        wallet_writer = WalletWriter(self.postgres, self._refund_rows, self.writer, codes)
        self.purchases = PurchaseService(
            self.postgres, self._reading, self.writer, self.single_writer, wallet_writer, PageTokens(bytes(32))
        )

    def _wake(self) -> None:
        self.wakes += 1

    async def add_business(self, *, sensitive: bool = False, archived: bool = False) -> UUID:
        """Adds a business."""
        business_id = uuid4()
        async with self.postgres.transaction() as tx:
            driver = await tx.driver()
            await driver.execute(
                "INSERT INTO businesses (id, name, category, sensitive, status, create_time, update_time) "
                "VALUES ($1, $2, 'beauty', $3, $4, $5, $5)",
                business_id,
                f"Business {next(_names)}",
                sensitive,
                "archived" if archived else "active",
                self.clock.now(),
            )
        return business_id

    async def add_member(self, phone: str | None = None) -> Member:
        """Adds an unclaimed member."""
        member = Member(uuid4(), random_member_id(), phone or f"+7{next(_phones)}")
        async with self.postgres.transaction() as tx:
            driver = await tx.driver()
            await driver.execute(
                "INSERT INTO users (id, phone, status, create_time, update_time) VALUES ($1, $2, 'unclaimed', $3, $3)",
                member.user_id,
                member.phone,
                self.clock.now(),
            )
            await driver.execute(
                "INSERT INTO member_links (user_id, member_id) VALUES ($1, $2)", member.user_id, member.member_id
            )
        return member

    async def know_phone(self, phone: str) -> None:
        """Adds a member with a phone unless there is one."""
        async with self.postgres.read() as connection:
            known = await connection.fetchval("SELECT count(*) FROM users WHERE phone = $1", phone)
        if not known:
            await self.add_member(phone)

    async def buy(
        self, business_id: UUID, member: Member, external_id: str, amount_minor: int = 1_000, at: datetime = NOON
    ) -> UUID:
        """Records a purchase and returns its id."""
        bought, _ = await self.purchases.record(
            IMPORTER, business_id, rows_of((external_id, member.phone, amount_minor, at))
        )
        return bought.id

    async def ledger(self) -> list[tuple[object, ...]]:
        """Returns every ledger row as the warehouse should hold it, sorted."""
        async with self.postgres.read() as connection:
            rows = await connection.fetch(
                "SELECT e.entry_id, e.purchase_id, e.business_id, e.member_id, e.kind, e.amount_minor, "
                "e.currency_code, e.purchase_time, b.ingest_time, e.sensitive::int, o.batch_id "
                "FROM purchase_entries e JOIN outbox o USING (outbox_id) JOIN sealed_batches b USING (batch_id)"
            )
        return sorted(tuple(row) for row in rows)

    async def warehouse_rows(self) -> list[tuple[object, ...]]:
        """Returns every row of the warehouse, sorted."""
        rows = await self.warehouse.query(
            "SELECT entry_id, purchase_id, business_id, member_id, toInt8(kind), amount_minor, currency, "
            "purchase_time, ingest_time, sensitive, batch_id FROM purchases"
        )
        return sorted(tuple(row) for row in rows)

    def pass_time(self, seconds: float = 1.0) -> None:
        """Moves the clock on."""
        self.clock.advance(timedelta(seconds=seconds))


Row = tuple[str, str, int, datetime]
"""External id, phone, amount in minor units, time."""


def rows_of(*rows: Row, currency_code: str = "RUB", first_number: int = 0) -> PurchaseRows:
    """Returns rows by phone as columns."""
    return PurchaseRows(
        numbers=range(first_number, first_number + len(rows)),
        external_ids=[row[0] for row in rows],
        user_ids=[""] * len(rows),
        phones=[row[1] for row in rows],
        amounts_minor=[row[2] for row in rows],
        currency_codes=[currency_code] * len(rows),
        times_us=[us_of_instant(row[3]) for row in rows],
    )
