"""What a call waits for: a member's insight, and the first page of members at risk.

The use cases are asked, not the network: the edge's steps cost about 35 us a call and are measured in edge_steps.py.
"""

from uuid import UUID, uuid4

from benchmarks.scale.measuring import percentile_ms
from benchmarks.scale.product import CALLER, Product
from svoykrug_server.analytics.churn.risk import AskedScores

MEMBERS = 500
CALLS = 500

# Which members are these, spread evenly over all?
_SOME_MEMBERS = """
    SELECT member_id FROM churn_scores GROUP BY member_id ORDER BY cityHash64(member_id) LIMIT {members:UInt32}
"""


async def call_times(product: Product) -> dict[str, tuple[float, float]]:
    """Returns median and 99th percentile of calls one after the other, in milliseconds."""
    user_ids, analytics = await _join(product), product.analytics

    async def insight(number: int) -> None:
        found = await analytics.insight.get(CALLER, None, user_ids[number % MEMBERS], None)
        if found.row is None and found.score is None:
            raise LookupError("she is in no snapshot and in no scoring")

    async def at_risk(_: int) -> None:
        page = await analytics.churn.risk.at_risk_page(CALLER, AskedScores(None), 0.5, 50, "")
        if len(page.members) != 50:
            raise LookupError("the first page is not full")

    return {
        "GetMemberInsight": await percentile_ms(insight, CALLS),
        "ListAtRiskMembers, first page of 50": await percentile_ms(at_risk, CALLS),
    }


async def _join(product: Product) -> list[UUID]:
    """Makes users behind some members; the others of the list at risk are shown without one."""
    rows = await product.warehouse.query(_SOME_MEMBERS, {"members": MEMBERS})
    links = [(row[0], uuid4()) for row in rows]
    async with product.postgres.transaction() as tx:
        connection = await tx.driver()
        await connection.executemany(
            "INSERT INTO users (id, status, create_time, update_time) VALUES ($1, 'unclaimed', now(), now())",
            [(user_id,) for _, user_id in links],
        )
        await connection.executemany("INSERT INTO member_links (member_id, user_id) VALUES ($1, $2)", links)
    return [user_id for _, user_id in links]
