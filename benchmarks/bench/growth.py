"""Growth: what a call costs as the circle grows, one call after the other; `long_growth.py` has a million members.

The growth of analytics with the number of purchases is measured by `analytics_scale.py`, whose figures the chart shows.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from math import log

import asyncpg
from rich.console import Console

from benchmarks import million_users
from benchmarks.bench.figures import Figure, Measured, Series
from benchmarks.bench.mix import PEOPLE, Seen, cast_of
from benchmarks.bench.mix_callers import SHARES, Callers, over_grpc
from benchmarks.bench.stage import Stage, own_stores, served
from benchmarks.scale import report as scale
from benchmarks.scale.measuring import percentile_ms
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.users.administration.model import UserFilter
from svoykrug_server.users.composition import compose_users
from tests.callers import admin
from tests.revocations import RecordedRevocations
from tests.users.people import number_bans

MEMBERS = (10_000, 100_000)
CALLS, WARM_UP = 200, 20
PURCHASES_EACH = 10
SHOPS = 12
AT, LISTS = ", members ", "ListUsers, "
WORST, WORST_LIST = "the call of the mix that grew most: times", "the question to ListUsers that grew most: times"
WORST_PURCHASE = "the analytics whose cost of a purchase grew most with the last tenfold: times"
OF_PURCHASES = (
    "snapshot, one thread",
    "snapshot, all cores",
    "churn: features of all",
    "churn: scoring all",
    "dashboard, cold",
    "cohorts",
    "matrix",
)
"""The figures of `analytics_scale.py` that read every purchase."""
LISTED = ("first page", "page 100 and after", "phone tail, 4 digits", "name, whole", "name with a typo")
"""The questions of `million_users.py` that are asked here."""

# Which other businesses are there?
_SHOPS = """
    INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)
    SELECT lpad(n::text, 32, '0')::uuid, 'x' || n, 'beauty', false, now(), now() FROM generate_series(2, $1::int) AS n
"""

# Everybody is known to purchases.
_LINKS = """
    INSERT INTO member_links (user_id, member_id)
    SELECT id, hashtextextended(id::text, 0) & 9223372036854775807 FROM users
"""

# What did everybody buy at the other businesses over two years?
_PURCHASES = """
    INSERT INTO purchase_entries (
        entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor, purchase_time, kind, sensitive,
        currency_code, external_id
    )
    SELECT id, id, lpad((2 + n % ($2 - 1))::text, 32, '0')::uuid, member_id, 0, 100 + n % 100000,
        now() - make_interval(mins => (n % 1000000)::int), 1, false, 'RUB', n::text
    FROM (
        SELECT member_id, row_number() OVER () AS n, lpad(to_hex(row_number() OVER ()), 32, '0')::uuid AS id
        FROM member_links CROSS JOIN generate_series(1, $1::int)
    ) AS bought
"""


async def measure(rounds: int, console: Console) -> Measured:
    """Measures the sizes that fit into a bench."""
    return await measure_sizes(MEMBERS, rounds, console)


async def measure_sizes(sizes: Sequence[int], rounds: int, console: Console) -> Measured:
    """Measures every call at every size in turn, all of them running, and by how much each grew."""
    seen: Seen = defaultdict(list)
    async with AsyncExitStack() as closing:
        running = {members: await _running(closing, members, console) for members in sizes}
        for number in range(rounds):
            for method in SHARES:
                for members, (product, callers) in running.items():
                    await _note(seen, f"{method}{AT}{members:,}", method, product, callers)
            console.print(f"growth, round {number + 1} of {rounds}", style="dim")
        for members, (product, _) in running.items():
            for question, median_ms in (await _lists(product.url, members)).items():
                seen[f"{LISTS}{question}{AT}{members:,}: p50 ms"].append(median_ms)
    grown = _grown(seen, min(sizes), max(sizes))
    worst = max((times for name, times in grown.items() if LISTS not in name), key=lambda times: times.median)
    worst_list = max((times for name, times in grown.items() if LISTS in name), key=lambda times: times.median)
    figures = {name: Figure.of(values) for name, values in seen.items()}
    bought = purchase_lines()
    told = (
        f"Each call alone, one after the other, among so many members with {PURCHASES_EACH} purchases each in"
        f" PostgreSQL, the sizes in turn; {PEOPLE} of them call, and the business that they bought at is the same at"
        f" every size. From {min(sizes):,} members to {max(sizes):,} log n grows"
        f" {log(max(sizes)) / log(min(sizes)):.2f} times: so much may a call grow.{_told_of_purchases(bought)}"
        " ListUsers is asked as a use case, not over the network; the more members, the more have a name."
    )
    tenfold = _tenfolds(bought)
    worst_purchase = {WORST_PURCHASE: Figure.of([max(tenfold)])} if tenfold else {}
    return {**figures, **grown, WORST: worst, WORST_LIST: worst_list, **worst_purchase}, told


async def _running(closing: AsyncExitStack, members: int, console: Console) -> tuple[Stage, Callers]:
    """Runs the product among so many members until `closing` ends, and those who call it."""
    stores = closing.enter_context(own_stores())
    product = await closing.enter_async_context(served(stores))
    console.print(f"growth, making {members:,} members", style="dim")
    await _fill(product.url, members)
    cast, _ = await cast_of(product)
    return product, await closing.enter_async_context(over_grpc(cast))


def _grown(seen: Mapping[str, Sequence[float]], least: int, most: int) -> dict[str, Figure]:
    """Returns how many times longer each call took among most members than among least, in each round."""
    grown: dict[str, Figure] = {}
    for name, small in seen.items():
        method, found, _ = name.partition(f"{AT}{least:,}: p50 ms")
        if found:
            large = seen[f"{method}{AT}{most:,}: p50 ms"]
            grown[f"{method}, grown: times"] = Figure.of([b / a for a, b in zip(small, large, strict=True)])
    return grown


def _told_of_purchases(lines: Series) -> str:
    """Returns how many times more a purchase may cost analytics when nothing is worse than n log n."""
    if not lines:
        return ""
    least, most = (at([at(line)[0] for line in lines.values()]) for at in (min, max))
    told = (
        f" What a purchase costs analytics is taken from `analytics_scale.py`: from {least:,.0f} to {most:,.0f}"
        f" purchases log n grows {log(most) / log(least):.2f} times."
    )
    if tenfold := _tenfolds(lines):
        told += (
            f" From {most / 10:,.0f} on, where what is the same at every size no longer counts, log n grows"
            f" {log(most) / log(most / 10):.2f} times, and a purchase's cost {max(tenfold):.2f} times at most."
        )
    return told


def _tenfolds(lines: Series) -> list[float]:
    """Returns by how much each line that has both grew from a tenth of the largest size of all to the largest."""
    costs = [dict(line) for line in lines.values()]
    most = max((size for cost in costs for size in cost), default=0.0)
    return [cost[most] / cost[most / 10] for cost in costs if {most, most / 10} <= cost.keys()]


def lines_of(figures: Mapping[str, Figure]) -> Series:
    """Returns the time of each call by the number of members."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, figure in figures.items():
        what, _, unit = name.rpartition(": ")
        method, _, members = what.rpartition(AT)
        if unit == "p50 ms":
            lines[method].append((float(members.replace(",", "")), figure.median))
    return lines


def purchase_lines() -> Series:
    """Returns the processor time of a purchase in each analytics figure, in microseconds, by how many there are."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for size in scale.read(scale.KEPT).values():
        for line in size.lines:
            if line.what in OF_PURCHASES and line.cpu_seconds is not None:
                lines[line.what].append((size.purchases, 1e6 * line.cpu_seconds / size.purchases))
    return lines


async def _fill(url: str, members: int) -> None:
    """Makes members with the names that people have, and what they bought."""
    postgres = await Postgres.connect(PostgresOptions(url))
    await million_users.fill(postgres, members)
    await postgres.close()
    connection = await asyncpg.connect(url)
    await connection.execute(_SHOPS, SHOPS)
    await connection.execute(_LINKS)
    await connection.execute(_PURCHASES, PURCHASES_EACH, SHOPS)
    await connection.execute("VACUUM ANALYZE users, member_links, purchase_entries")
    await connection.execute("CHECKPOINT")  # nothing of this is written any more while calls are measured
    await connection.close()


async def _note(seen: Seen, name: str, method: str, product: Stage, callers: Callers) -> None:
    cpu_seconds = product.server.cpu_seconds()
    median_ms, p99_ms = await percentile_ms(lambda number: callers.of(method, number % PEOPLE), CALLS, warm_up=WARM_UP)
    used = product.server.cpu_seconds() - cpu_seconds
    seen[f"{name}: p50 ms"].append(median_ms)
    seen[f"{name}: p99 ms"].append(p99_ms)
    seen[f"{name}: server CPU us"].append(1e6 * used / (CALLS + WARM_UP))


async def _lists(url: str, members: int) -> dict[str, float]:
    """Returns the median of some questions to ListUsers."""
    postgres = await Postgres.connect(PostgresOptions(url))
    tokens, clock = PageTokens(b"k" * 32), SystemClock()
    listing = compose_users(postgres, RecordedRevocations(), number_bans(), tokens, clock).administration.listing
    asked = await million_users.all_questions(postgres, listing, members)

    async def ask(wanted: UserFilter, token: str) -> object:
        return await listing.page(admin(), wanted, size=50, token=token)

    medians = {question: (await million_users.measure(ask, asked[question]))[0] for question in LISTED}
    await postgres.close()
    return medians
