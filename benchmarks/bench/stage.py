"""The stage of a measurement: a PostgreSQL of its own, the product on it, and people of its circle."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import grpc
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.json_format import MessageToDict
from svoykrug.auth.v1.auth_service_pb2 import GetJwksRequest

from benchmarks.bench.processes import Server, new_secrets, product
from svoykrug_server.auth.codes import Codes
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.secrets import Secrets
from tests.conftest import reachable_folder
from tests.e2e.circle import Circle, Person

USERS = 10_000
"""How many users the table has, so that its index has a depth."""
SIGN_IN_PAUSE_SECONDS = 0.1
"""All sign in from one address, where the product has its limits as well: fewer than 200 calls a second."""
SETTINGS = {
    # A bench of many minutes signs in once, hundreds of people from one address within seconds.
    "ACCESS_TOKEN_LIFE_SECONDS": "86400",
    "CODE_SENDS_PER_ADDRESS_HOUR": "1000000",
    "CODE_SENDS_PER_DOUBTFUL_ADDRESS_HOUR": "1000000",
    # Nothing but what was asked for is made while something is measured.
    "SCHEDULE_ENABLED": "false",
}

LIMITED = {"MAX_CALLS_PER_SECOND_PER_CALLER": str(RpcOptions().max_calls_per_second_per_caller)}
"""The limit of a caller as the product has it, for measurements of many callers: `product` lifts it for one."""

# Others in the table of users, known to purchases.
_FILL = """
    WITH made AS (
        INSERT INTO users (id, phone, display_name, status, create_time, update_time)
        SELECT gen_random_uuid(), '+7905' || lpad(n::text, 7, '0'), 'Имя ' || n, 'unclaimed', now(), now()
        FROM generate_series(1, $1::int) AS n
        RETURNING id
    )
    INSERT INTO member_links (user_id, member_id)
    SELECT id, hashtextextended(id::text, 0) & 9223372036854775807 FROM made
"""


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives a server.

    Attributes:
        folder: Where its files lie.
        url: Its PostgreSQL.
        secrets: Its secrets.
    """

    folder: Path
    url: str
    secrets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stage:
    """A running product.

    Attributes:
        folder: Where files may lie.
        url: Its database.
        server: Its process.
        circle: A channel to it.
    """

    folder: Path
    url: str
    server: Server
    circle: Circle

    async def public_key(self) -> Path:
        """Writes the key that its tokens are signed with to a PEM file, for those who verify them elsewhere."""
        published = (await self.circle.auth.GetJwks(GetJwksRequest())).keys[0]
        key = jwt.PyJWK(MessageToDict(published)).key
        file = self.folder / "public_key.pem"
        file.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return file

    async def people(self, count: int) -> list[Person]:
        """Signs people in, a few at a time."""
        gate = asyncio.Semaphore(8)

        async def sign_in(number: int) -> Person:
            async with gate:
                person = await self.circle.sign_in(f"+7916{number:07}")
                await asyncio.sleep(SIGN_IN_PAUSE_SECONDS)
                return person

        return list(await asyncio.gather(*map(sign_in, range(count))))

    async def give_shop(self, shop_id: UUID, *owners: Person) -> None:
        """Makes a business and its owners, whose next tokens say so."""
        connection = await asyncpg.connect(self.url)
        await connection.execute(
            "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)"
            " VALUES ($1, 'x', 'beauty', false, now(), now())",
            shop_id,
        )
        await connection.executemany(
            "INSERT INTO business_staff VALUES ($1, $2, 'owner', now(), now())",
            [(shop_id, UUID(owner.user_id)) for owner in owners],
        )
        await connection.close()
        for owner in owners:
            await self.circle.refresh(owner)


@contextmanager
def own_postgres(folder: Path) -> Iterator[str]:
    """Runs a PostgreSQL as the product runs its own, durable, for the length of the block; gives its URL."""
    place = DataFolder(folder / "stores")
    place.open(0)
    server = EmbeddedPostgres.start(place)
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def own_folder() -> Iterator[Path]:
    """Makes a folder that is gone after the block."""
    folder = reachable_folder("svoykrug-bench-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_stores() -> Iterator[Stores]:
    """Makes what outlives a server, for the length of the block."""
    with own_folder() as folder, own_postgres(folder) as url:
        yield Stores(folder, url, new_secrets())


@asynccontextmanager
async def served(
    stores: Stores, settings: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> AsyncIterator[Stage]:
    """Runs the product, its ClickHouse embedded unless the settings name one, for the length of the block.

    Args:
        stores: Where its data is, and stays.
        settings: What differs from the default settings.
        arguments: Further arguments of `svoykrug serve`.
    """
    given = {**SETTINGS, "DATABASE_URL": stores.url, "SECRETS": json.dumps(stores.secrets), **(settings or {})}
    codes = Codes(Secrets.load(generated=None, inline=stores.secrets))  # type: ignore[arg-type]  # no folder is read
    with product(stores.folder, given, arguments) as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            yield Stage(stores.folder, stores.url, server, Circle(channel, codes, server.target))


@asynccontextmanager
async def stage(settings: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    """Runs the product on new stores, with others in its table of users, for the length of the block."""
    with own_stores() as stores:
        async with served(stores, settings) as product:
            await fill(stores.url)
            yield product


async def fill(url: str, users: int = USERS) -> None:
    """Puts others into the table of users."""
    connection = await asyncpg.connect(url)
    await connection.execute(_FILL, users)
    await connection.execute("VACUUM ANALYZE users, member_links")
    await connection.close()
