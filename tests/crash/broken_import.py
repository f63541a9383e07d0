"""An import by the real client whose server is killed in it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from svoykrug import errors
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesRequest, ImportPurchasesResponse

from svoykrug_client import Client, ServiceKey
from tests.crash.own_rows import OwnCircle
from tests.crash.server_process import ServerProcess

BOUND_SECONDS = 30.0


@dataclass(slots=True)
class BrokenImport:
    """Sends batches, then keeps the stream open until the server is dead.

    Attributes:
        circle: Whose rows.
        batches: How many batches, from the first.
        server: The server that is to die.
        begun: Whether the client has taken a message of the stream.
        ended: Whether the stream came to its own end, which is not to be.
    """

    circle: OwnCircle
    batches: int
    server: ServerProcess
    begun: bool = False
    ended: bool = False

    async def run(self, key: ServiceKey, meanwhile: Callable[[], Awaitable[None]]) -> bool:
        """Imports until the server dies.

        Args:
            key: The service account's.
            meanwhile: Run once the call has begun; may wait for what the server commits.

        Returns:
            Whether the stream was open when the server died: the client had begun it and not ended it, had no answer,
            and was told that the connection broke.
        """
        async with Client(await self.server.target(), insecure=True, service_key=key) as client:
            sending = asyncio.create_task(self._send(client))
            await meanwhile()
            async with asyncio.timeout(BOUND_SECONDS):
                await self.server.process.wait()
                [outcome] = await asyncio.gather(sending, return_exceptions=True)
        broke = isinstance(outcome, errors.ConnectionLost | errors.Unavailable)
        return self.begun and not self.ended and broke

    async def _send(self, client: Client) -> ImportPurchasesResponse:
        return await client.purchases.ImportPurchases(self._requests())

    async def _requests(self) -> AsyncIterator[ImportPurchasesRequest]:
        for number in range(self.batches):
            self.begun = True
            yield self.circle.batch(number)
        await asyncio.wait([asyncio.ensure_future(self.server.process.wait())], timeout=BOUND_SECONDS)
        self.ended = not self.server.is_dead
