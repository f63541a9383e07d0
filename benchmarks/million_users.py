"""How long ListUsers takes at a million users: `python benchmarks/million_users.py`, from the root of the repository.

Fills a PostgreSQL of its own in a temporary folder with a million users whose names are as unevenly common as real
ones, asks each question 60 times with different words, through the use case and then through gRPC, and prints medians,
95th percentiles and the plans of one question of each kind. `--users` takes another number. The target is 50 ms at the
median on 2 cores.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from svoykrug.users.v1 import users_service_pb2 as pb
from svoykrug.users.v1.users_service_pb2_grpc import (
    UsersServiceServicer,
    UsersServiceStub,
    add_UsersServiceServicer_to_server,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.migrate import migrate_postgres
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.users.administration.listing import UserListing
from svoykrug_server.users.administration.model import UserFilter
from svoykrug_server.users.administration.servicer import AdministrationMethods, AdministrationUseCases
from svoykrug_server.users.composition import compose_users
from svoykrug_server.users.convert import ROLES, STATES, TIERS
from svoykrug_server.users.model import Tier
from tests.callers import admin
from tests.conftest import reachable_folder
from tests.revocations import RecordedRevocations
from tests.serving import serving
from tests.users.people import number_bans

QUESTIONS = 60
TARGET_MS = 50.0
BEGAN = datetime(2023, 11, 1, tzinfo=UTC)
BETWEEN_USERS = timedelta(seconds=95)
FIRST = """
    Анна Анастасия Мария Елена Ольга Екатерина Наталья Ирина Татьяна Светлана Юлия Дарья Алина Александра Ксения
    Виктория Полина Марина Людмила Галина Евгения Валентина Надежда Оксана Кристина Вероника Любовь Маргарита Яна
    Лариса Диана Алёна Жанна Инна Нина Вера София Алла Лилия Регина Эльвира Ульяна Снежана Василиса Злата Майя Есения
    Агния Стефания
"""
ROOTS = """
    Ива Пет Сид Куз Вас Поп Соко Ново Моро Вол Ле Соло Зай Пав Семё Голу Вино Бог Воро Миха Фёд Тара Бел Кома Орло Кисе
    Мака Андре Ковал Иль Гусе Тито Кудр Баран Кули Алексе Степ Яков Сорок Серге Рома Захар Борис Корол Гера Поно Григор
    Лаза Медве Ершо Ники Соб Ряб Поля Цвет Дани Жук Фро Жура Щерба Хохл Чайк Шубн Юдин Эльт
"""
MIDDLES = """
    н р в ров нц ль мар тин ков чен дон рош лик мен гар зор пат ват бур лаш кур сан бин рет нос лов каш дар жин шар хин
    цов юк ян ёл ец уш ых ай ей
"""
ENDS = "ова ева ина ская енко ук"

# Who are the users? (the first names and surnames that come first in their lists are the common ones; one name in
# thirteen is in Latin letters, one user in seventeen has none; all columns follow from the number alone)
FILL = """
    INSERT INTO users (
        id, phone, display_name, email, tier, roles, status, referral_code, create_time, update_time
    )
    SELECT
        (lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
            || substr(md5(n::text), 4, 15))::uuid,
        '+7' || (9000000000 + (n::bigint * 387420489) % 999999937),
        CASE WHEN n % 17 = 0 THEN '' WHEN n % 13 = 0 THEN initcap(name_spelling(name)) ELSE name END,
        CASE WHEN n % 3 = 0 THEN 'member' || n || '@example.org' ELSE '' END,
        CASE WHEN h % 1000 < 900 THEN 'insider' WHEN h % 1000 < 980 THEN 'vip' WHEN h % 1000 < 997 THEN 'elite'
            ELSE 'inner_circle' END,
        CASE WHEN n % 50000 = 1 THEN '{member,superadmin}' WHEN n % 10000 = 2 THEN '{member,admin}' ELSE '{member}'
            END::text[],
        CASE WHEN h % 500 = 7 THEN 'banned' WHEN h % 300 = 9 THEN 'deleted' WHEN h % 5 = 1 THEN 'unclaimed'
            ELSE 'active' END,
        'C' || lpad(n::text, 8, '0'), created, created
    FROM (
        SELECT n, $6::timestamptz + n * $7::interval AS created, abs(hashint4(n)) AS h,
            ($2::text[])[1 + floor(cardinality($2) * (abs(hashint4(n * 3 + 1)) % 99991 / 99991.0) ^ 2)::int] || ' '
            || ($3::text[])[1 + floor(cardinality($3) * (abs(hashint4(n * 7 + 2)) % 99991 / 99991.0) ^ 1.5)::int]
            || ($4::text[])[1 + floor(cardinality($4) * (abs(hashint4(n * 11 + 3)) % 99991 / 99991.0) ^ 1.5)::int]
            || ($5::text[])[1 + abs(hashint4(n * 13 + 4)) % cardinality($5)] AS name
        FROM generate_series(1, $1::int) AS n
    ) numbered
"""

Ask = Callable[[UserFilter, str], Awaitable[object]]


class Administration(AdministrationMethods, UsersServiceServicer):
    """The part of the service that is measured."""


class Explained:
    """A connection that shows the plan of whatever it is asked.

    Args:
        connection: The real connection.
        console: Where plans are printed.
    """

    def __init__(self, connection: Any, console: Console) -> None:
        self._connection = connection
        self._console = console

    async def fetch(self, statement: str, *values: object) -> Any:
        """Prints the statement's plan and returns its rows."""
        plan = await self._connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", *values)
        self._console.print("\n".join(row[0] for row in plan), "\n", soft_wrap=True)
        return await self._connection.fetch(statement, *values)

    async def fetchrow(self, statement: str, *values: object) -> Any:
        """Returns the row of a statement that no table is read for."""
        return await self._connection.fetchrow(statement, *values)


class ExplainedPostgres:
    """A database whose connections show their plans."""

    def __init__(self, postgres: Postgres, console: Console) -> None:
        self._postgres = postgres
        self._console = console

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Explained]:
        """Gives a connection for one block."""
        async with self._postgres.read() as connection:
            yield Explained(connection, self._console)


async def fill(postgres: Postgres, users: int) -> None:
    """Writes the users, and lets the database learn their statistics."""
    connection = await postgres.dedicated()
    await connection.execute("SET statement_timeout = 0")
    # An index of trigrams is made for all rows at once much faster than row by row.
    index = await connection.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'users_search_name_idx'")
    await connection.execute("DROP INDEX users_search_name_idx")
    await connection.execute(
        FILL, users, FIRST.split(), ROOTS.split(), MIDDLES.split(), ENDS.split(), BEGAN, BETWEEN_USERS
    )
    await connection.execute(index)
    await connection.execute("VACUUM ANALYZE users")
    await connection.execute("VACUUM ANALYZE name_words")
    await connection.close()


async def sample(postgres: Postgres) -> list[asyncpg.Record]:
    """Returns the name, its Latin spelling and the phone of some users who have a name in Cyrillic letters."""
    connection = await postgres.dedicated()
    rows = await connection.fetch(
        "SELECT display_name AS name, initcap(name_spelling(display_name)) AS latin, phone FROM users "
        "WHERE display_name ~ '^[А-Я]' AND status <> 'deleted' ORDER BY md5(id::text) LIMIT $1",
        QUESTIONS,
    )
    await connection.close()
    return rows


def questions(people: Sequence[asyncpg.Record], users: int, rng: random.Random) -> Mapping[str, list[UserFilter]]:
    """Returns what is asked, by kind: each kind as many times, with different words."""
    instants = [BEGAN + rng.randrange(users // 2, users) * BETWEEN_USERS for _ in people]
    common = FIRST.split()[:30]
    letters = [first + second for first in "АЕИМНОСТЮ" for second in "аеилнрвксл"]
    names = [person["name"] for person in people]
    surnames = [name.split()[1] for name in names]
    phones = [person["phone"] for person in people]
    return {
        "one tier: vip": [UserFilter(tiers=(Tier.VIP,), created_until=until) for until in instants],
        "one tier: inner circle": [UserFilter(tiers=(Tier.INNER_CIRCLE,), created_until=until) for until in instants],
        "one role: admin": [UserFilter(roles=(Role.ADMIN,), created_until=until) for until in instants],
        "one state: banned": [UserFilter(states=(AccountStatus.BANNED,), created_until=until) for until in instants],
        "created within a week": [UserFilter(created_from=at, created_until=at + timedelta(days=7)) for at in instants],
        "every filter and a common name": [
            UserFilter("", common[place % 12], (Tier.VIP, Tier.ELITE), (), (AccountStatus.ACTIVE,), BEGAN, until)
            for place, until in enumerate(instants)
        ],
        "whole phone": [UserFilter(phone=f"8 ({p[2:5]}) {p[5:8]}-{p[8:10]}-{p[10:]}") for p in phones],
        "phone tail, 4 digits": [UserFilter(phone=f"{p[-4:-2]}-{p[-2:]}") for p in phones],
        "phone tail, 7 digits": [UserFilter(phone=p[-7:]) for p in phones],
        "name, 2 letters": [UserFilter(name=letters[place % len(letters)]) for place in range(len(people))],
        "name, common first name": [UserFilter(name=common[place % 30]) for place in range(len(people))],
        "name, beginning of a surname": [UserFilter(name=surname[:5]) for surname in surnames],
        "name, whole": [UserFilter(name=name) for name in names],
        "name, nobody's": [UserFilter(name="".join(rng.sample("бвгджзкщъф", 6))) for _ in people],
        "name with a typo": [UserFilter(name=mistyped(name, rng)) for name in names],
        "first name with a typo": [UserFilter(name=mistyped(name.split()[0], rng)) for name in names],
        "name in Latin letters": [UserFilter(name=person["latin"]) for person in people],
    }


def mistyped(name: str, rng: random.Random) -> str:
    """Returns a name with one letter in it changed, left out or doubled."""
    place = rng.randrange(1, len(name))
    return name[:place] + rng.choice(["", name[place] * 2, rng.choice("аоеинтрс")]) + name[place + 1 :]


async def measure(ask: Ask, asked: Sequence[tuple[UserFilter, str]]) -> tuple[float, float]:
    """Returns the median and the 95th percentile of some questions, in ms; each is asked once."""
    took: list[float] = []
    for wanted, token in asked:
        started = time.perf_counter()
        await ask(wanted, token)
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


async def deep_pages(listing: UserListing, wanted: UserFilter) -> list[tuple[UserFilter, str]]:
    """Returns the questions for page 100 of a list and those after it."""
    asked, token = [], ""
    for number in range(2, 100 + QUESTIONS):
        token = (await listing.page(admin(), wanted, size=50, token=token)).next_page_token
        if number >= 100:
            asked.append((wanted, token))
    return asked


def request_of(wanted: UserFilter, token: str) -> pb.ListUsersRequest:
    """Returns a question as it goes over the wire."""
    request = pb.ListUsersRequest(page_token=token, phone=wanted.phone, name=wanted.name)
    request.tiers.extend(TIERS[tier] for tier in wanted.tiers)
    request.roles.extend(ROLES[role] for role in wanted.roles)
    request.states.extend(STATES[state] for state in wanted.states)
    for field, instant in (
        (request.created_from_time, wanted.created_from),
        (request.created_until_time, wanted.created_until),
    ):
        if instant is not None:
            field.CopyFrom(_timestamp(instant))
    return request


def _timestamp(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


async def all_questions(
    postgres: Postgres, listing: UserListing, users: int
) -> dict[str, list[tuple[UserFilter, str]]]:
    """Returns every question of every kind, with the page asked for."""
    rng = random.Random(20261123)  # noqa: S311  the same questions every time
    kinds = questions(await sample(postgres), users, rng)
    anybody = UserFilter()
    return {
        "first page": [(anybody, "")] * QUESTIONS,
        "page 100 and after": await deep_pages(listing, anybody),
        "common name, page 100 and after": await deep_pages(listing, UserFilter(name="Анна")),
        **{kind: [(wanted, "") for wanted in asked] for kind, asked in kinds.items()},
    }


async def compare(
    use_cases: AdministrationUseCases, asked: Mapping[str, list[tuple[UserFilter, str]]]
) -> dict[str, tuple[float, ...]]:
    """Returns median and 95th percentile of each kind through the use case, then through gRPC."""
    results: dict[str, tuple[float, ...]] = {}
    servicer = Administration(use_cases)  # type: ignore[abstract]  # the other methods are not called
    async with serving(lambda server: add_UsersServiceServicer_to_server(servicer, server)) as served:
        stub, metadata = UsersServiceStub(served.channel), served.tokens.sign_in(admin())

        async def directly(wanted: UserFilter, token: str) -> object:
            return await use_cases.listing.page(admin(), wanted, size=50, token=token)

        async def over_grpc(wanted: UserFilter, token: str) -> object:
            return await stub.ListUsers(request_of(wanted, token), metadata=metadata)

        for kind, of_kind in asked.items():
            results[kind] = (*await measure(directly, of_kind), *await measure(over_grpc, of_kind))
    return results


def table_of(results: Mapping[str, tuple[float, ...]], users: int) -> Table:
    """Returns the results as a table."""
    table = Table(title=f"ListUsers at {users:,} users, ms; target: median <= {TARGET_MS:.0f}")
    table.add_column("question")
    for column in ("median", "p95", "median over gRPC", "p95 over gRPC"):
        table.add_column(column, justify="right")
    for kind, figures in results.items():
        table.add_row(kind, *(f"{figure:.1f}" for figure in figures))
    return table


async def run(url: str, users: int, console: Console) -> None:
    """Fills, measures and prints."""
    postgres = await Postgres.connect(PostgresOptions(url))
    await migrate_postgres(postgres)
    with console.status(f"writing {users:,} users"):
        await fill(postgres, users)
    tokens = PageTokens(b"k" * 32)
    use_cases = compose_users(postgres, RecordedRevocations(), number_bans(), tokens, SystemClock()).administration
    with console.status("asking"):
        asked = await all_questions(postgres, use_cases.listing, users)
        results = await compare(use_cases, asked)
    explained = UserListing(ExplainedPostgres(postgres, console), tokens)  # type: ignore[arg-type]  # it is read from alone
    for kind, of_kind in asked.items():
        console.rule(kind)
        wanted, token = of_kind[0]
        await explained.page(admin(), wanted, size=50, token=token)
    console.print(table_of(results, users))
    await postgres.close()


def main() -> None:
    """Reads the arguments, and runs with a PostgreSQL that is gone afterwards."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--users", type=int, default=1_000_000)
    users = arguments.parse_args().users
    path = reachable_folder("svoykrug-benchmark-")
    folder = DataFolder(path / "data")
    folder.open(0)
    server = EmbeddedPostgres.start(folder)
    try:
        asyncio.run(run(server.url, users, Console(highlight=False)))
    finally:
        server.stop()
        shutil.rmtree(path)


if __name__ == "__main__":
    with Path("/dev/null").open("w") as nowhere:
        configure_logging(human=False, stream=nowhere)
        main()
