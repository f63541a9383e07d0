"""Reads an uploaded file and writes its purchases down, or only tries: the work function of `import_csv`.

Each batch of rows is committed together with what has become of the rows so far. So a worker that takes over from one
that died goes on where the last batch ended and every count stays true, and one that lost its lease without knowing is
stopped by its first batch: somebody else has counted on. What a trial has found is committed batch by batch too, so
that it need not fit into memory; a worker that takes over begins the trial anew, as what it judges by is gone.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO
from uuid import UUID
from zoneinfo import ZoneInfo

from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.purchases.csv.model import (
    MAX_PREVIEW_ROWS,
    Counts,
    CsvImport,
    Field,
    ImportState,
    PreviewRow,
    ReportedRow,
    UnreadableFile,
)
from svoykrug_server.purchases.csv.reader import Batch, Layout, batches, inspect
from svoykrug_server.purchases.csv.repository import CsvImportRepository
from svoykrug_server.purchases.csv.trial_repository import TrialLedger
from svoykrug_server.purchases.model import Fault, PurchaseRows, Rejection, WriteOutcome, instant_of_us
from svoykrug_server.purchases.ports import Progress
from svoykrug_server.purchases.reports_repository import Report, ReportRepository
from svoykrug_server.purchases.row_rules import Judgement
from svoykrug_server.purchases.writer import PurchaseWriter
from svoykrug_server.storage.postgres import Postgres, Transaction

_PERCENT_FETCHED = 5
_PERCENT_INSPECTED = 25


@dataclass(frozen=True, slots=True)
class _OpenFile:
    """A file that is being read.

    Attributes:
        csv_import: The import it belongs to.
        layout: What it looks like.
        batches: The rest of its rows.
    """

    csv_import: CsvImport
    layout: Layout
    batches: Iterator[Batch]

    @property
    def business_id(self) -> UUID:
        """The business that sold."""
        return self.csv_import.business_id

    async def next_batch(self) -> Batch | None:
        """Reads on in a thread of its own: the event loop answers calls meanwhile."""
        return await asyncio.to_thread(next, self.batches, None)

    async def report(self, progress: Progress, rows: int) -> None:
        """Says how far it is."""
        done = rows / self.layout.row_count
        percent = _PERCENT_INSPECTED + int((100 - _PERCENT_INSPECTED) * done)
        await progress.report("try" if self.csv_import.dry_run else "write", percent, rows)


class CsvImportRun:
    """Reads files.

    Args:
        postgres: The system of record.
        imports: The imports in it.
        reports: How many of their refused rows are kept.
        writer: Writes rows.
        trial_ledger: Begins trials.
        trial_writer: Writes rows on the trial ledger.
        zone: The circle's time zone.
    """

    def __init__(
        self,
        postgres: Postgres,
        imports: CsvImportRepository,
        reports: ReportRepository,
        writer: PurchaseWriter,
        trial_ledger: TrialLedger,
        trial_writer: PurchaseWriter,
        zone: ZoneInfo,
    ) -> None:
        self._postgres = postgres
        self._imports = imports
        self._reports = reports
        self._writer = writer
        self._trial_ledger = trial_ledger
        self._trial_writer = trial_writer
        self._zone = zone

    async def run(self, parameters: Mapping[str, Any], progress: Progress) -> Mapping[str, str]:
        """Reads the file that `parameters` names, from where an earlier attempt ended.

        Args:
            parameters: `csv_import_id`, and `run_id` of the request.
            progress: Told the stages `fetch`, `inspect`, and `try` or `write`.

        Returns:
            `csv_import_id`.

        Raises:
            FailedPrecondition: BUSINESS_ARCHIVED.
        """
        import_id, run_id = UUID(parameters["csv_import_id"]), UUID(parameters["run_id"])
        async with self._postgres.transaction() as tx:
            csv_import = await self._imports.lock(tx, import_id)
        if csv_import is not None and csv_import.state is ImportState.RUNNING and csv_import.run_id == run_id:
            try:
                await self._read(await self._begun(csv_import), progress)
            except UnreadableFile as error:
                async with self._postgres.transaction() as tx:
                    await self._stop_unless_mine(tx, csv_import)
                    await self._imports.fail_run(tx, import_id, error.problem, error.facts)
        return {"csv_import_id": str(import_id)}

    async def _begun(self, csv_import: CsvImport) -> CsvImport:
        """Returns an import as its reading begins: a trial anew, and without the rows that were shown before."""
        if csv_import.counts.rows and not csv_import.dry_run:
            return csv_import
        while (begun := await self._forget_some(csv_import)) is None:
            continue
        return begun

    async def _forget_some(self, csv_import: CsvImport) -> CsvImport | None:
        """Forgets some rows that were shown before, and returns the import when none are left."""
        async with self._postgres.transaction() as tx:
            now = await self._stop_unless_mine(tx, csv_import)
            if now.counts.rows and not now.dry_run:  # written meanwhile by a worker that lost its lease, or took it
                return now
            if await self._imports.forget_rows(tx, csv_import.id, csv_import.id):
                return None
            await self._reports.forget(tx, csv_import.id, csv_import.id)
            await self._imports.count_from_zero(tx, csv_import.id)
        return replace(now, counts=Counts())

    async def _read(self, csv_import: CsvImport, progress: Progress) -> None:
        with tempfile.TemporaryFile() as file:
            await progress.report("fetch", 0)
            await self._fetch(csv_import.id, file)
            await progress.report("inspect", _PERCENT_FETCHED)
            layout = await asyncio.to_thread(inspect, file, csv_import.told, self._zone)
            rest = batches(file, layout, self._zone, skip_rows=csv_import.counts.rows)
            opened = _OpenFile(csv_import, layout, rest)
            if csv_import.dry_run:
                await self._try(opened, progress)
            else:
                await self._write(opened, progress)

    async def _fetch(self, import_id: UUID, file: BinaryIO) -> None:
        """Copies the file out of the database; what is copied has no name, so it goes with this process."""
        while True:
            async with self._postgres.read() as connection:
                chunk = await self._imports.chunk_at(connection, import_id, file.tell())
            if chunk is None:
                return
            file.write(chunk)

    async def _write(self, opened: _OpenFile, progress: Progress) -> None:
        counts = opened.csv_import.counts
        while (batch := await opened.next_batch()) is not None:
            await opened.report(progress, counts.rows)
            judged = self._writer.judge(batch.rows)
            async with self._postgres.transaction() as tx:
                outcome = await self._writer.write_within(tx, None, opened.business_id, judged, keep_unknown=True)
                report = _report(batch, judged, outcome, opened.layout, first=not counts.rows)
                await self._tell(tx, opened, counts, report)
                failpoint("csv.batch_written")
            self._writer.committed(outcome)
            counts += report.counts
            failpoint("csv.batch_committed")
        await self._end(opened, ImportState.WRITTEN)

    async def _try(self, opened: _OpenFile, progress: Progress) -> None:
        counts, business_id = opened.csv_import.counts, opened.business_id
        async with self._postgres.long_transaction() as trial:
            await self._trial_ledger.begin(trial)
            while (batch := await opened.next_batch()) is not None:
                await opened.report(progress, counts.rows)
                judged = self._trial_writer.judge(batch.rows)
                outcome = await self._trial_writer.write_within(trial, None, business_id, judged, keep_unknown=True)
                report = _report(batch, judged, outcome, opened.layout, first=not counts.rows)
                async with self._postgres.transaction() as tx:
                    await self._tell(tx, opened, counts, report)
                counts += report.counts
        await self._end(opened, ImportState.TRIED)

    async def _tell(self, tx: Transaction, opened: _OpenFile, before: Counts, report: "_Report") -> None:
        """Says what became of the next rows; stops a worker when another one, or a later run, has said more."""
        csv_import, after = opened.csv_import, before + report.counts
        if not await self._imports.progress(tx, _run_id(csv_import), before, after, opened.layout.format):
            raise asyncio.CancelledError
        place = Report(csv_import.business_id, csv_import.id, is_of_file=True)
        room = await self._reports.make_room(tx, place, before.rejected, len(report.rejected))
        await self._imports.add_rows(tx, csv_import.id, report.rejected[:room], report.preview)

    async def _end(self, opened: _OpenFile, state: ImportState) -> None:
        async with self._postgres.transaction() as tx:
            await self._stop_unless_mine(tx, opened.csv_import)
            await self._imports.end_run(tx, opened.csv_import.id, state)

    async def _stop_unless_mine(self, tx: Transaction, csv_import: CsvImport) -> CsvImport:
        """Stops a worker whose run is over; returns how the import stands."""
        now = await self._imports.lock(tx, csv_import.id)
        if now is None or now.run_id != csv_import.run_id or now.state is not ImportState.RUNNING:
            raise asyncio.CancelledError
        return now


@dataclass(frozen=True, slots=True)
class _Report:
    """What became of some rows.

    Attributes:
        counts: How many.
        rejected: Those that were refused, in the file's order.
        preview: The first rows of the file.
    """

    counts: Counts
    rejected: Sequence[ReportedRow]
    preview: Sequence[PreviewRow]


def _report(batch: Batch, judged: Judgement, outcome: WriteOutcome, layout: Layout, *, first: bool) -> _Report:
    rejected_count = outcome.rejected_count + len(batch.faulty)
    refused = [_reported(rejection, layout) for rejection in outcome.rejections]
    phones = dict(zip(batch.rows.numbers, batch.rows.phones, strict=True)) if refused else {}
    refused = [replace(row, phone=phones[row.line_number]) for row in refused]
    return _Report(
        Counts(batch.row_count, outcome.recorded_count, outcome.duplicate_count, rejected_count),
        sorted([*batch.faulty, *refused], key=lambda row: row.line_number),
        _preview(judged.good) if first else [],
    )


def _reported(rejection: Rejection, layout: Layout) -> ReportedRow:
    first, *others = (
        Fault(fault.reason, layout.columns.name_of(Field(fault.field)))
        for fault in (Fault(rejection.reason, rejection.field), *rejection.further)
    )
    return ReportedRow(rejection.row_number, rejection.external_id, first.reason, first.field, further=tuple(others))


def _preview(rows: PurchaseRows) -> list[PreviewRow]:
    return [
        PreviewRow(
            rows.numbers[at],
            rows.phones[at],
            rows.external_ids[at],
            rows.amounts_minor[at],
            instant_of_us(rows.times_us[at]),
        )
        for at in range(min(len(rows), MAX_PREVIEW_ROWS))
    ]


def _run_id(csv_import: CsvImport) -> UUID:
    if csv_import.run_id is None:
        raise LookupError("a file that is being read has a run")
    return csv_import.run_id
