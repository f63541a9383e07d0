"""The job that erases: everything about a person in one transaction, tried again until it has committed.

The warehouse knows her only by a random number. Its rows stay, are counted first, and lead nowhere once the transaction
has deleted the link from her to the number. So a kill at any moment leaves a person whole, to be erased by the next
attempt, or erased, with the receipt written; and both stores go on holding the same purchases.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import structlog

from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditEvent
from svoykrug_server.storage.personal_data import Declared, Store
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.number_bans import NumberBans
from svoykrug_server.users.personal_data import repository
from svoykrug_server.users.personal_data.model import DueErasure, ErasedTable
from svoykrug_server.users.ports import Sessions

LONGEST_WAIT = timedelta(hours=1)
_log = structlog.get_logger(__name__)


class Eraser:
    """Erases people whose time has come. Any number of servers may run it.

    Args:
        postgres: The system of record.
        warehouse: The analytics copy.
        declared: What every feature keeps of a person.
        sessions: What is ended for whoever is erased.
        number_bans: Bans that outlive accounts; those that are over go.
        clock: Tells the time.
        interval: How often what is due is looked for; also the wait after a first failed attempt, which doubles with
            each further one.
    """

    def __init__(
        self,
        postgres: Postgres,
        warehouse: Warehouse,
        declared: Declared,
        sessions: Sessions,
        number_bans: NumberBans,
        clock: Clock,
        interval: timedelta,
    ) -> None:
        self._postgres = postgres
        self._warehouse = warehouse
        self._declared = declared
        self._sessions = sessions
        self._number_bans = number_bans
        self._clock = clock
        self._interval = interval
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Says that something may be due now."""
        self._woken.set()

    async def run(self) -> None:
        """Erases until cancelled; while Postgres is away it waits."""
        while True:
            self._woken.clear()
            try:
                while await self.attempt():
                    """The next one that is due."""
                async with self._postgres.transaction() as tx:
                    await self._number_bans.forget(tx, self._clock.now())
            except StoreUnavailable:
                _log.warning("erasure.not_looked_for")
            try:
                async with asyncio.timeout(self._interval.total_seconds()):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def attempt(self) -> bool:
        """Tries to erase one person who is due; returns whether anybody was.

        Raises:
            StoreUnavailable: Nobody can be looked for.
        """
        async with self._postgres.transaction() as tx:
            due = await repository.claim(tx, self._clock.now(), self._interval, LONGEST_WAIT)
        if due is None:
            return False
        failpoint("erasure.claimed")
        try:
            await self._erase(due)
        except Exception as error:  # noqa: BLE001  whatever stopped it, the next attempt may do
            # Only its kind: the text of a database's error may quote a row.
            _log.error(
                "erasure.failed", erasure_id=str(due.id), attempt=due.attempt_count, kind=type(error).__qualname__
            )
        return True

    async def _erase(self, due: DueErasure) -> None:
        stay = [
            await repository.count_warehouse_rows(self._warehouse, rows, due.person.member_id)
            for rows in self._declared.warehouse
        ]
        failpoint("erasure.warehouse_counted")
        async with self._postgres.transaction() as tx:
            if not await repository.lock_running(tx, due.id):
                return
            await self._sessions.end(tx, due.person.user_id, RevokeReason.REVOKED_BY_USER)
            erased: list[ErasedTable] = []
            for rows in self._declared.personal:
                erased.append(await repository.erase_rows(tx, rows, due.person))
                failpoint("erasure.table_erased")
            now = self._clock.now()
            await repository.finish(tx, due.id, by_table([*erased, *stay]), now)
            await audit.append(tx, AuditEvent("ERASURE_DONE", now, target_kind="erasure", target_id=str(due.id)))
            failpoint("erasure.receipt_written")
        failpoint("erasure.done")
        _log.info("erasure.done", erasure_id=str(due.id), attempt=due.attempt_count)


def by_table(erased: Iterable[ErasedTable]) -> list[ErasedTable]:
    """Returns the sums of what happened to each table, in the order in which the tables come first."""
    sums: dict[tuple[Store, str], ErasedTable] = {}
    for part in erased:
        before = sums.get((part.store, part.table), ErasedTable(part.store, part.table))
        sums[part.store, part.table] = replace(
            before,
            deleted_count=before.deleted_count + part.deleted_count,
            anonymized_count=before.anonymized_count + part.anonymized_count,
        )
    return list(sums.values())
