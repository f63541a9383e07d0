"""Isolation: what callers of the mix feel while others are slow, or call at ten times their rights."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from uuid import UUID, uuid4

import asyncpg
import jwt
from rich.console import Console
from svoykrug.auth.v1.auth_service_pb2 import IssueServiceTokenRequest

from benchmarks.bench.abusers import ADDRESS, ANSWERED, PERSON, SERVICE, SHED, SLOW, Abusers, Tally, abusing
from benchmarks.bench.bulk import buyers, import_rows
from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.mix import Seen, cast_of, take_snapshot
from benchmarks.bench.mix_callers import SHOP, over_grpc
from benchmarks.bench.open_loop import Ask, Outcome, calling, percentiles
from benchmarks.bench.stage import LIMITED, Stage, fill, own_stores, served
from svoykrug_server.auth import key_material
from svoykrug_server.auth.composition import service_accounts
from svoykrug_server.auth.key_model import NewServiceAccount
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.parts import service_scopes
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.auth.world import random_secrets
from tests.conftest import isolated_settings
from tests.e2e.circle import Metadata

CALLS_A_SECOND, SECONDS = 200, 6.0
SETTLE_SECONDS = 1.0
BUYERS = 10_000
"""How many members are in the snapshot that is read slowly: more than fits on its way."""
SETTINGS = {
    "TRUSTED_PROXIES": '["127.0.0.1/32"]',
    **LIMITED,
}
QUIET = "quiet"
KINDS = (SLOW, PERSON, SERVICE, ADDRESS)

# Who owns a business, too?
_OWN = "INSERT INTO business_staff VALUES ($1, $2, 'owner', now(), now())"


async def measure(rounds: int, console: Console) -> Measured:
    """Measures the mix quiet, then beside each kind of abuser, in turn."""
    seen: Seen = defaultdict(list)
    with own_stores() as stores:
        async with served(stores, SETTINGS) as product:
            await fill(stores.url, BUYERS)
            cast, owner = await cast_of(product)
            await import_rows(product, owner, await buyers(stores.url, BUYERS), BUYERS)
            await asyncio.sleep(2)  # the relay's turn
            await take_snapshot(product.circle.channel, owner)
            who = await _abusers(product, cast.people[0][0])
            with calling(cast, over_grpc) as ask, abusing(who) as switch:
                for number in range(rounds):
                    for kind in (QUIET, *KINDS):
                        outcome = await _beside(seen, kind, ask, switch)
                        failures = dict(outcome.failures) or "no errors"
                        console.print(f"isolation, round {number + 1} of {rounds}, {kind}: {failures}", style="dim")
    told = (
        f"The mix at {CALLS_A_SECOND} calls/s for {SECONDS:.0f} s beside 1,000 calls in progress, ten times what one"
        " caller may have: imports that say nothing and 20 readers of a message every ten seconds; or GetMe of"
        " one person, GetMemberInsight of one service, RefreshTokens with a made-up token from one address, each called"
        " again at once whatever the answer. All share the machine; the abusers' process yields to every other."
    )
    return {name: Figure.of(values) for name, values in seen.items()}, told


async def _beside(seen: Seen, kind: str, ask: Ask, switch: Callable[[str], Tally]) -> Outcome:
    """Measures the mix while somebody else calls, too."""
    beside = f"beside {kind}" if kind in KINDS else kind
    if kind in KINDS:
        await asyncio.to_thread(switch, kind)
        await asyncio.sleep(SETTLE_SECONDS)
    began = time.monotonic()
    outcome = await asyncio.to_thread(ask, CALLS_A_SECOND, SECONDS)
    for unit, value in percentiles(outcome.every()).items():
        seen[f"{beside}: {unit}"].append(value)
    seen[f"{beside}: errors"].append(outcome.failures.total())
    seen[f"{beside}: begun late, p99 ms"].append(percentiles(outcome.late_milliseconds)["p99 ms"])
    if kind in KINDS:
        tally = await asyncio.to_thread(switch, "")
        seconds = time.monotonic() - began + SETTLE_SECONDS
        other = tally.total() - tally[ANSWERED] - tally[SHED]
        seen[f"{beside}: abuser's calls/s"].append(tally.total() / seconds)
        seen[f"{beside}: of them shed with RetryInfo"].append(tally[SHED] / seconds)
        seen[f"{beside}: of them refused otherwise"].append(other / seconds)
        await asyncio.sleep(SETTLE_SECONDS)
    return outcome


async def _abusers(product: Stage, user_id: str) -> Abusers:
    """Signs in a member, an owner and a service who take no part in the mix."""
    member = await product.circle.sign_in("+79161230001")
    owner = await product.circle.sign_in("+79161230002")
    connection = await asyncpg.connect(product.url)
    await connection.execute(_OWN, SHOP, UUID(owner.user_id))
    await connection.close()
    await product.circle.refresh(owner)
    return Abusers(product.server.target, member.metadata, owner.metadata, await _service(product), user_id)


async def _service(product: Stage) -> Metadata:
    """Makes a service account, and returns what the service calls with."""
    private_key = key_material.generate("ES256")
    postgres = await Postgres.connect(PostgresOptions(product.url))
    settings = isolated_settings()
    accounts = service_accounts(settings, postgres, random_secrets(), SystemClock(), service_scopes())
    public_pem = key_material.public_to_pem(private_key.public_key())
    account = await accounts.create(NewServiceAccount("crm", ("analytics.read",), public_pem), uuid4(), None)
    await postgres.close()
    now, account_id = int(time.time()), str(account.service_account_id)
    claims = {"iss": account_id, "sub": account_id, "aud": settings.token_issuer, "iat": now, "exp": now + 60}
    headers = {"kid": account.key_ids[0]}
    assertion = jwt.encode({**claims, "jti": str(uuid4())}, private_key, "ES256", headers)
    issued = await product.circle.auth.IssueServiceToken(IssueServiceTokenRequest(assertion=assertion))
    return (("authorization", f"Bearer {issued.access_token}"),)
