"""No call reads a whole table, however many members the circle has."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse
from tests.attacks.cast import ACCESS_LIFE, PHONES, Cast, ShiftedClock, assembled
from tests.attacks.kinds import Kind
from tests.auth.world import random_secrets
from tests.e2e.running import running
from tests.growth import filling
from tests.growth.calls import METHODS, Calls, record
from tests.growth.plans import explain_all, faults, record as recorded
from tests.growth.rounds import ROUND
from tests.waiting import until

ROUNDS = 1


@pytest.mark.timeout(900)
async def test_no_call_reads_a_whole_table(postgres_url, postgres, warehouse, monkeypatch, request) -> None:
    import time
    t0 = time.time()
    members = request.config.getoption("--members")
    secrets, clock = random_secrets(), ShiftedClock(-2 * ACCESS_LIFE)
    patient = {
        "access_token_life_seconds": 3600, "code_resend_seconds": 0, "code_sends_per_address_hour": 100000, "code_sends_per_phone_day": 1000,
        "code_sends_per_doubtful_address_hour": 100000, "schedule_enabled": False,
    }
    async with running(postgres, warehouse, clock, secrets, **patient) as small:
        cast = await assembled(small, clock)
        calls = Calls(cast)
        for number in range(12):
            buyer = cast.people[Kind.MEMBER] if not number else await cast.circle.sign_in(next(PHONES))
            await record(calls, cast.here, user_id=buyer.user_id)
        async def shipped():
            f = await calls.ask("GetFreshness", Kind.OWNER_HERE)
            return f.waiting_count == 0 and f.unproven_day_count == 0 if hasattr(f, "waiting_count") else True
        for kind, place in ((Kind.OWNER_HERE, cast.here), (Kind.ADMIN, "")):
            cutoff, got = _now(), []
            async def accepted():
                import grpc
                try:
                    got.append((await calls.ask("CreateSnapshot", kind, business_id=place, cutoff_time=cutoff)).operation)
                except grpc.aio.AioRpcError:
                    return False
                return True
            await until(accepted, seconds=30)
            operation = got[0]
            async def ended():
                op = (await calls.ask("GetOperation", kind, operation_id=operation.id)).operation
                if op.state == 4: raise AssertionError(op)
                return op.state == 3
            await until(ended, seconds=60)
    print("assembled", time.time() - t0)
    await filling.fill(postgres, members)
    print("filled", time.time() - t0)
    connection = await postgres.dedicated()
    counts = await filling.row_counts(connection)
    await explain_all(connection)
    await connection.close()
    connection = await postgres.dedicated()
    await connection.execute("SET auto_explain.log_min_duration = -1")
    seen = recorded(monkeypatch)
    big = await Postgres.connect(PostgresOptions(postgres_url, transaction_connections=1, read_connections=1))
    async with running(big, warehouse, clock, secrets, background_work=False, **patient) as large:
        cast.circle = large.circle
        calls = Calls(cast)
        for number in range(ROUNDS):
            for part in (ROUND if members > 3000 else ROUND[-1:]):
                try:
                    await part(calls, connection)
                except Exception as error:
                    import traceback
                    if number == 0:
                        print("PART", getattr(error,'__notes__',''), part.__name__, type(error), str(getattr(error,'details',lambda:error)())[:400])
                        print([l for l in traceback.format_exc().splitlines() if "rounds.py" in l or "name =" in l])
            print("round", number, time.time() - t0)
    await connection.close()
    await big.close()
    print(len(seen))
    by = Counter(p.method for p in seen)
    print({n: by[f"/{m.containing_service.full_name}/{n}"] for n, m in METHODS.items() if not by[f"/{m.containing_service.full_name}/{n}"]})
    wrong = defaultdict(list)
    for p in seen:
        for f in faults(p, counts):
            wrong[f.split(":")[0] + " | " + " ".join(p.statement.split())[:230]].append((p.method, f))
    for k, v in wrong.items():
        print(len(v), k, "\n      ", Counter(v).most_common(4))
    import pickle
    
    with open("/work/scratch/seen.pickle", "wb") as f: pickle.dump([(p.method, p.statement, p.root) for p in seen], f)


def _now():
    from google.protobuf.timestamp_pb2 import Timestamp
    t = Timestamp(); t.GetCurrentTime(); return t
