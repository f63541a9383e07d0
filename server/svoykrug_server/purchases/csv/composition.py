"""Builds CSV imports from what they stand on; the composition of purchases calls it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.purchases.csv.housekeeping import CsvHousekeeping
from svoykrug_server.purchases.csv.repository import CsvImportRepository
from svoykrug_server.purchases.csv.run import CsvImportRun
from svoykrug_server.purchases.csv.trial_repository import SilentAnnouncer, TrialLedger
from svoykrug_server.purchases.csv.uploads import KIND, CsvUploads
from svoykrug_server.purchases.erasure_repository import LedgerErasure
from svoykrug_server.purchases.ledger_repository import LedgerRepository
from svoykrug_server.purchases.ports import Operations, Progress
from svoykrug_server.purchases.rejections_repository import RejectionRepository
from svoykrug_server.purchases.reports_repository import ReportRepository
from svoykrug_server.purchases.row_rules import CircleRules
from svoykrug_server.purchases.writer import PurchaseWriter
from svoykrug_server.storage.postgres import Postgres

Work = Callable[[Mapping[str, Any], Progress], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Csv:
    """CSV imports, ready to be served.

    Attributes:
        uploads: The use cases.
        housekeeping: Deletes old uploads.
        work: The work functions of their operations, by kind.
    """

    uploads: CsvUploads
    housekeeping: CsvHousekeeping
    work: Mapping[str, Work]


def compose_csv(
    postgres: Postgres,
    writer: PurchaseWriter,
    erasure: LedgerErasure,
    rules: CircleRules,
    zone: ZoneInfo,
    operations: Operations,
    page_tokens: PageTokens,
    clock: Clock,
    most_open: int,
    reports: ReportRepository,
) -> Csv:
    """Builds the use cases, the work function and the job.

    Args:
        postgres: The system of record.
        writer: Writes rows.
        erasure: Knows the purchases of members who have been erased.
        rules: What the circle takes.
        zone: The circle's time zone.
        operations: Starts long work.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
        most_open: How many files that are not written a business has at a time.
        reports: How many refused rows are kept.
    """
    imports, trial_ledger = CsvImportRepository(), TrialLedger()
    trial_writer = PurchaseWriter(postgres, trial_ledger, erasure, rules, clock, SilentAnnouncer())
    run = CsvImportRun(postgres, imports, reports, writer, trial_ledger, trial_writer, zone)
    return Csv(
        uploads=CsvUploads(postgres, imports, LedgerRepository(), operations, page_tokens, clock, most_open),
        housekeeping=CsvHousekeeping(postgres, imports, RejectionRepository(), reports, clock),
        work={KIND: run.run},
    )
