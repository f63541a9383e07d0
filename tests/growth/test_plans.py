"""No call reads a large table whole: the plan of every statement of every call, in a circle with many members.

`make test` reads them at 30,000 members, where the planner already decides as it does at a million; `make soak` at a
million (`--members 1000000`).
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.operations.v1 import operation_pb2

from svoykrug_server.rpc.context import CallContext, enter
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse
from tests.attacks.cast import ACCESS_LIFE, PHONES, ShiftedClock, assembled
from tests.attacks.kinds import Kind
from tests.attacks.wire import path_of
from tests.auth.world import random_secrets
from tests.e2e.running import running
from tests.growth import filling, plans, statements
from tests.growth.calls import METHODS, Calls, record
from tests.growth.rounds import ROUND
from tests.waiting import until

ROUNDS = 7
"""PostgreSQL decides at the sixth execution of a prepared statement whether it needs the values to plan."""
SETTINGS: Mapping[str, Any] = {
    "access_token_life_seconds": 86_400,
    "code_resend_seconds": 0,
    "code_sends_per_phone_day": 1_000,
    "code_sends_per_address_hour": 1_000_000,
    "code_sends_per_doubtful_address_hour": 1_000_000,
    "schedule_enabled": False,
}
# What may be read whole, or nearly so: the method, the table and how, each for a reason.
ALLOWED = {
    ("GetFreshness", "proven_days", "scanned"): "an admin asks for the sum over all days of all businesses",
    ("GetFreshness", "proven_days", "many rows"): "the same",
    ("ListUsers", "users", "many rows"): "all of one name are found by its index before they are put in order",
}
FROM_MEMORY = {
    "GetJwks": "every server holds the keys",
    "IntrospectToken": "every server holds the keys, and hears of every end of a session",
}


@pytest.mark.timeout(3_600)
async def test_no_call_reads_a_large_table_whole(
    postgres_url: str,
    postgres: Postgres,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    secrets, clock = random_secrets(), ShiftedClock(-2 * ACCESS_LIFE)
    connection = await postgres.dedicated()
    async with running(postgres, warehouse, clock, secrets, **SETTINGS) as small:
        calls = Calls(await assembled(small, clock), connection, small.foundation.external_id_hashes)
        await begin(calls)
    await filling.fill(postgres, pytestconfig.getoption("--members"))
    known = await plans.look(connection)
    await plans.explain_all(connection)
    seen = plans.record(monkeypatch)
    # One connection of each kind: so each statement is executed there often enough to be planned without its values.
    filled = await Postgres.connect(PostgresOptions(postgres_url, transaction_connections=1, read_connections=1))
    async with running(filled, warehouse, clock, secrets, background_work=False, **SETTINGS) as large:
        calls.cast.circle = large.circle
        for _ in range(ROUNDS):
            for part in ROUND:
                await part(calls)
    await filled.close()
    await connection.close()
    assert faults_of(seen, known) == set()
    assert methods_without(seen) == set(FROM_MEMORY)
    texts = {planned.statement for planned in seen}
    assert statements.wrong(texts) == set()
    with capsys.disabled():
        print(f"\nplans: {len(seen)} of {len(texts)} statements, sent for {len(METHODS) - len(FROM_MEMORY)} methods")  # noqa: T201 - the count is a result of this test


async def begin(calls: Calls) -> None:
    """Lets a few members buy, and takes a snapshot of the business and of the circle: the warehouse has them too."""
    buyers = [calls.cast.people[Kind.MEMBER], *[await calls.cast.circle.sign_in(next(PHONES)) for _ in range(9)]]
    for buyer in buyers:
        await record(calls, calls.cast.here, user_id=buyer.user_id)
    cutoff = Timestamp()
    cutoff.GetCurrentTime()
    started: list[Any] = []

    async def is_known() -> bool:
        try:
            started.append(await calls.ask("CreateSnapshot", Kind.OWNER_HERE, cutoff_time=cutoff))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
        return bool(started)

    await until(is_known, seconds=60)
    started.append(await calls.ask("CreateSnapshot", Kind.ADMIN, cutoff_time=cutoff, business_id=""))

    async def are_done() -> bool:
        asked = [await calls.ask("GetOperation", Kind.ADMIN, operation_id=one.operation.id) for one in started]
        return all(answer.operation.state == operation_pb2.OPERATION_STATE_SUCCEEDED for answer in asked)

    await until(are_done, seconds=60)


def faults_of(seen: Sequence[plans.Planned], known: plans.Known) -> set[str]:
    """Returns what is wrong with the plans and not allowed, with the statement of each."""
    wrong = set()
    for planned in seen:
        name = planned.method.rpartition("/")[2]
        for table, how in plans.faults(planned, known):
            if (name, table, how) not in ALLOWED:
                wrong.add(f"{name}: {table} {how}: {' '.join(planned.statement.split())}")
    return wrong


def methods_without(seen: Sequence[plans.Planned]) -> set[str]:
    """Returns the methods that sent no statement."""
    counted = Counter(planned.method for planned in seen)
    return {name for name, method in METHODS.items() if not counted[path_of(method)]}


LARGE = """
    CREATE TABLE large AS
    SELECT n, n AS m, n % 30 AS kind, n AS o, repeat('x', 300) AS wide FROM generate_series(1, 30000) AS n;
    CREATE INDEX ON large (n, m);
    CREATE INDEX ON large (kind, o);
    ANALYZE large;
    CREATE TABLE unknown WITH (autovacuum_enabled = off) AS SELECT 5 AS n;
"""


@pytest.mark.parametrize(
    ("statement", "value", "found"),
    [
        ("SELECT n FROM large WHERE n = $1", 5, []),
        ("SELECT wide FROM large WHERE n = ANY(ARRAY(SELECT n * 600 FROM generate_series(1, $1) AS n))", 50, []),
        ("SELECT (SELECT max(wide) FROM large AS l WHERE l.n < large.n) FROM large WHERE n = $1", 1500, []),
        ("SELECT n FROM large WHERE wide = $1::int::text", 5, ["scanned"]),
        ("SELECT n FROM large ORDER BY n LIMIT $1", 3000, ["many rows"]),
        ("SELECT m FROM large WHERE m = $1", 5, ["walked"]),
        ("SELECT kind FROM large WHERE o = $1", 5, ["walked"]),
        ("SELECT n FROM unknown WHERE n = $1", 5, ["never analysed"]),
    ],
)
async def test_a_statement_that_reads_a_large_table_is_found(
    statement: str, value: int, found: list[str], postgres_url: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await postgres.dedicated()
    await connection.execute(LARGE)
    await connection.execute("VACUUM large")
    known = await plans.look(connection)
    await plans.explain_all(connection)
    await connection.close()
    seen = plans.record(monkeypatch)
    asked = await Postgres.connect(PostgresOptions(postgres_url))

    async def call() -> None:
        enter(CallContext("/a/Method", "a-request", "en", str, lambda: None))
        async with asked.read() as reading:
            await reading.fetch(statement, value)

    await asyncio.create_task(call())
    await asked.close()
    [planned] = [planned for planned in seen if planned.statement == statement]
    assert [how for _, how in plans.faults(planned, known)] == found, planned.root
