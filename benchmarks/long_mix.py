"""The mix at 1,000 calls a second for minutes: `python benchmarks/long_mix.py [seconds]`, from the root (300 seconds).

First the product answers the whole mix. Then, on the same PostgreSQL with the product ended, the FastAPI baseline
answers the calls of the mix that it has, at the pace they have in it. Both have callers of the same kind, who call when
it is their turn and not when the call before was answered. Table and chart go into docs/performance.md. `make bench
WHAT=edge`, once before, installs the baseline.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from uuid import UUID

import asyncpg
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench import machine, report
from benchmarks.bench.figures import Figure, Measured, Part
from benchmarks.bench.getme import ORM, PRODUCT
from benchmarks.bench.mix import CALLED, Seen, cast_of, watched
from benchmarks.bench.mix_callers import CALLS_A_SECOND, SHARES
from benchmarks.bench.mix_over_http import ITS_SHARES, HttpCast, over_http, reading_over_http
from benchmarks.bench.mix_over_http import check as check_http
from benchmarks.bench.mix_readers import check, reading_beside
from benchmarks.bench.open_loop import Ask
from benchmarks.bench.processes import PACKAGES, Server, baseline
from benchmarks.bench.stage import LIMITED, Stores, fill, own_stores, served
from svoykrug_server.rpc.logs import configure_logging

SECONDS, WAIT_SECONDS = 300.0, 60.0

# Who has which refresh token?
_KEEP_TOKEN = "INSERT INTO plain_refresh_tokens (hash, user_id, expire_time) VALUES ($1, $2, $3)"  # noqa: S105  a statement


async def measure(seconds: float, pace: int, console: Console) -> Measured:
    """Measures the product at a pace of the whole mix, then the baseline."""
    its_pace = pace * sum(ITS_SHARES.values()) // sum(SHARES.values())
    seen: Seen = defaultdict(list)
    with own_stores() as stores:
        async with served(stores, LIMITED) as product:
            await fill(stores.url)
            cast, _ = await cast_of(product)
            await check(cast)
            user_ids = [person[0] for person in cast.people]
            with reading_beside(cast, product.server) as ask:
                await _measure_one(seen, PRODUCT, stores, product.server, ask, pace, seconds, console)
        with _plain(stores) as server:
            their_cast = HttpCast(server.target, await _signed_in(stores, user_ids, server.target))
            await check_http(their_cast, user_ids)
            with reading_over_http(their_cast) as ask:
                await _measure_one(seen, ORM, stores, server, ask, its_pace, seconds, console)
    told = (
        f"{seconds:,.0f} s each, one process each with ten connections to the same PostgreSQL, one after the other:"
        f" {PRODUCT} answers the whole mix at {pace:,} calls/s and does its background work, the baseline"
        f" the {its_pace} calls/s of it that it has. {CALLED}"
    )
    return {name: Figure.of(values) for name, values in seen.items()}, told


async def _measure_one(
    seen: Seen,
    who: str,
    stores: Stores,
    server: Server,
    ask: Ask,
    calls_a_second: float,
    seconds: float,
    console: Console,
) -> None:
    seen[f"{who}: MB at the beginning"].append(server.memory_mb())
    outcome = await watched(seen, stores.folder, server, ask, calls_a_second, seconds, who)
    seen[f"{who}: MB at the end"].append(server.memory_mb())
    p99_ms, errors = seen[f"{who}, all: p99 ms"][0], dict(outcome.failures) or "no errors"
    console.print(f"{who}: {calls_a_second:,} calls/s for {seconds:,.0f} s, p99 {p99_ms:.1f} ms, {errors}")


@contextmanager
def _plain(stores: Stores) -> Iterator[Server]:
    """Runs the baseline with a signing key of its own for the length of the block."""
    private, public = stores.folder / "plain_private.pem", stores.folder / "plain_public.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    command = [sys.executable, "-m", "benchmarks.baselines.fastapi_orm", "--database", stores.url]
    keys = ["--public-key", str(public), "--private-key", str(private), "--remember-tokens"]
    with baseline([*command, *keys], stores.folder / "plain.log") as server:
        yield server


async def _signed_in(stores: Stores, user_ids: list[str], target: str) -> list[tuple[str, str]]:
    """Gives each of these users tokens of the baseline."""
    tokens = [token_urlsafe(64) for _ in user_ids]
    expire_time = datetime.now(UTC) + timedelta(days=1)
    rows = [
        (sha256(t.encode()).digest(), UUID(user_id), expire_time) for t, user_id in zip(tokens, user_ids, strict=True)
    ]
    connection = await asyncpg.connect(stores.url)
    await connection.executemany(_KEEP_TOKEN, rows)
    await connection.close()
    async with over_http(HttpCast(target, [("", token) for token in tokens])) as callers:
        await asyncio.gather(*map(callers.refresh, range(len(tokens))))
        return callers.people


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    parser.add_argument("--calls", type=int, default=CALLS_A_SECOND, help="calls of the mix a second")
    parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds to wait for a quiet machine at most")
    asked = parser.parse_args()
    if not PACKAGES.exists():
        raise SystemExit("The baseline is not installed: run `make bench WHAT=edge` once.")
    console = Console(highlight=False)
    busy = machine.wait_until_quiet(asked.wait, console)
    with Path("/dev/null").open("w") as nowhere:
        configure_logging(human=False, stream=nowhere)
        figures, told = uvloop.run(measure(asked.seconds, asked.calls, console))
    report.keep(
        "long_mix" if asked.calls == CALLS_A_SECOND else "long_mix_easy", Part(machine.facts(), busy, figures, told)
    )


if __name__ == "__main__":
    main()
