"""Use cases of operations: start, look at, watch, cancel. Visible to the starter and to admins."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition, NotFound, PermissionDenied
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.operations.model import Operation, OperationState
from svoykrug_server.operations.repository import OperationsRepository
from svoykrug_server.storage.postgres import Postgres, Transaction

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class OperationPage:
    """A page of a list.

    Attributes:
        operations: The newest first.
        next_page_token: Empty on the last page.
    """

    operations: tuple[Operation, ...]
    next_page_token: str


class OperationsService:
    """Long work as callers see it.

    Args:
        postgres: The system of record.
        repository: The operations in it.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
        watch_interval_seconds: How often a watched operation is looked at.
    """

    def __init__(
        self,
        postgres: Postgres,
        repository: OperationsRepository,
        page_tokens: PageTokens,
        clock: Clock,
        watch_interval_seconds: float = 0.2,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._page_tokens = page_tokens
        self._clock = clock
        self._watch_interval_seconds = watch_interval_seconds

    async def start(self, tx: Transaction, kind: str, parameters: Mapping[str, Any], starter_id: UUID) -> Operation:
        """Queues work in the transaction of whatever it belongs to: a worker sees it when that commits.

        Args:
            tx: The transaction.
            kind: Which work function runs it: a value of `OperationKind`.
            parameters: What the function is given on each attempt: JSON values.
            starter_id: Who asked for it: the caller's subject id.

        Raises:
            ValueError: There is no such kind.
        """
        now = self._clock.now()
        return await self._repository.add(tx, uuid7(now), kind, parameters, starter_id, now)

    async def find(self, tx: Transaction, operation_id: UUID) -> Operation:
        """Returns an operation known to exist, as a transaction sees it.

        Raises:
            NotFound: It does not exist.
        """
        operation = await self._repository.find_in(tx, operation_id)
        if operation is None:
            raise NotFound
        return operation

    async def get(self, caller: Caller, operation_id: UUID) -> Operation:
        """Returns an operation.

        Raises:
            PermissionDenied: It is another's, or does not exist.
            NotFound: It does not exist and an admin asks.
        """
        return _visible(caller, await self._repository.find(operation_id))

    async def list_page(
        self, caller: Caller, states: Sequence[OperationState], asked_size: int, page_token: str
    ) -> OperationPage:
        """Returns a page of operations: an admin sees all, others the ones they started.

        Raises:
            InvalidFields: The page size is negative, or the token was made for another list.
        """
        size = page_size(asked_size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE)
        starter_id = None if caller.is_admin else caller.subject_id
        listing = f"operations {starter_id} {','.join(sorted(states))}"
        position = self._page_tokens.read(listing, page_token)
        before_id = None if position is None else UUID(str(position[0]))
        found = await self._repository.list_before(starter_id, states, before_id, size + 1)
        page = tuple(found[:size])
        token = self._page_tokens.make(listing, [str(page[-1].id)]) if len(found) > size else ""
        return OperationPage(page, token)

    async def cancel(self, caller: Caller, operation_id: UUID) -> Operation:
        """Cancels an operation; a running one stops at its next step. A cancelled one stays as it is.

        Raises:
            FailedPrecondition: OPERATION_ENDED, it succeeded or failed before.
            PermissionDenied: It is another's, or does not exist.
            NotFound: It does not exist and an admin asks.
        """
        async with self._postgres.transaction() as tx:
            operation = _visible(caller, await self._repository.find_in(tx, operation_id))
            changed = await self._repository.request_cancel(tx, operation_id, self._clock.now())
            operation = changed or await self.find(tx, operation.id)
        if operation.state.is_end and operation.state is not OperationState.CANCELLED:
            raise FailedPrecondition("OPERATION_ENDED", metadata={"state": operation.state.value})
        return operation

    async def watch(self, caller: Caller, operation_id: UUID) -> AsyncIterator[Operation]:
        """Gives an operation at once, then at each change, until its end.

        Raises:
            PermissionDenied: It is another's, or does not exist.
            NotFound: It does not exist and an admin asks.
        """
        seen_version = 0
        while True:
            operation = _visible(caller, await self._repository.find(operation_id))
            if operation.version > seen_version:
                seen_version = operation.version
                yield operation
            if operation.state.is_end:
                return
            await asyncio.sleep(self._watch_interval_seconds)


def _visible(caller: Caller, operation: Operation | None) -> Operation:
    if operation is None:
        raise NotFound if caller.is_admin else PermissionDenied
    if operation.starter_id != caller.subject_id and not caller.is_admin:
        raise PermissionDenied
    return operation
