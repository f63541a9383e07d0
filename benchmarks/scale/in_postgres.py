"""The same figures in PostgreSQL's SQL, by the same definitions, over the table `bought`."""

# ruff: noqa: S608  statements are put together from texts of this module only; every value is bound

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks.scale import asked
from benchmarks.scale.circle import ZONE
from svoykrug_server.analytics.churn.features import RAW
from svoykrug_server.analytics.segments import NEW_DAYS, SEGMENT_BY_SCORES, Segment
from svoykrug_server.storage.postgres import Postgres

_SETTINGS = (
    "SET statement_timeout = 0",
    "SET work_mem = '1GB'",
    "SET hash_mem_multiplier = 2",
    "SET max_parallel_workers_per_gather = 2",
    "SET jit = off",
)
"""What its administrator would give it for such work; just-in-time compilation made every statement here slower."""

_RFM_TABLE = """
    CREATE UNLOGGED TABLE IF NOT EXISTS rfm (
        member_id bigint, segment int, recency_days int, purchase_count bigint, net_spend_minor bigint,
        recency_score int, frequency_score int, monetary_score int, first_time timestamptz, last_time timestamptz
    )
"""

# Which purchases were not wholly given back, as known at the cutoff, and what is left of them?
_KEPT = """
    corrections AS (
        SELECT purchase_id, sum(amount_minor) AS given_back_minor, bool_or(kind = 3) AS is_reversed
        FROM bought WHERE kind <> 1 AND sensitive = 0 AND purchase_time < $1 AND ingest_time <= $1
        GROUP BY purchase_id
    ),
    kept AS (
        SELECT member_id, purchase_time, amount_minor + coalesce(given_back_minor, 0) AS net_minor
        FROM bought LEFT JOIN corrections USING (purchase_id)
        WHERE kind = 1 AND sensitive = 0 AND purchase_time < $1 AND ingest_time <= $1
            AND NOT coalesce(is_reversed, false)
            AND (amount_minor = 0 OR amount_minor + coalesce(given_back_minor, 0) > 0)
    )
"""

# Who is in which segment?
_SNAPSHOT = f"""
    INSERT INTO rfm
    WITH {_KEPT}, members AS (
        SELECT member_id, min(purchase_time) AS first_time, max(purchase_time) AS last_time,
            count(*) FILTER (WHERE purchase_time >= $2) AS purchase_count,
            sum(net_minor) FILTER (WHERE purchase_time >= $2) AS net_spend_minor
        FROM kept GROUP BY member_id HAVING count(*) FILTER (WHERE purchase_time >= $2) > 0
    ), dated AS (
        SELECT *, ($1 AT TIME ZONE $3)::date - (last_time AT TIME ZONE $3)::date AS recency_days,
            ($1 AT TIME ZONE $3)::date - (first_time AT TIME ZONE $3)::date AS first_days
        FROM members
    ), scored AS (
        SELECT *,
            least(5, 1 + 5 * (rank() OVER (ORDER BY recency_days DESC) - 1) / count(*) OVER ())::int AS r,
            least(5, 1 + 5 * (rank() OVER (ORDER BY purchase_count) - 1) / count(*) OVER ())::int AS f,
            least(5, 1 + 5 * (rank() OVER (ORDER BY net_spend_minor) - 1) / count(*) OVER ())::int AS m
        FROM dated
    )
    SELECT member_id,
        CASE WHEN segment <> $6 OR first_days <= $7 THEN segment WHEN f > 1 THEN $8 ELSE $9 END,
        recency_days, purchase_count, net_spend_minor, r, f, m, first_time, last_time
    FROM scored JOIN unnest($4::int[], $5::int[]) AS cells (cell, segment) ON cell = 100 * r + 10 * f + m
"""

# What is known of each member at the cutoff?
_FEATURES = """
    WITH known AS MATERIALIZED (
        SELECT member_id, purchase_id, business_id, kind, amount_minor,
            ($1 AT TIME ZONE $2)::date - (purchase_time AT TIME ZONE $2)::date AS ago
        FROM bought WHERE sensitive = 0 AND purchase_time <= $1 AND ingest_time <= $1
    ), returned AS (
        SELECT purchase_id FROM known
        WHERE purchase_id IN (SELECT purchase_id FROM known WHERE kind <> 1)
        GROUP BY purchase_id HAVING sum(amount_minor) <= 0
    ), kept AS MATERIALIZED (
        SELECT * FROM known WHERE NOT EXISTS (SELECT FROM returned WHERE returned.purchase_id = known.purchase_id)
    ), bought AS (
        SELECT purchase_id FROM kept WHERE kind = 1 AND ago <= 365
    ), firsts AS (
        SELECT member_id, max(ago) AS tenure_days FROM kept WHERE kind = 1 GROUP BY member_id
    ), this_year AS MATERIALIZED (
        SELECT * FROM kept
        WHERE ago <= 365 AND (kind = 1 OR EXISTS (SELECT FROM bought WHERE bought.purchase_id = kept.purchase_id))
    ), sums AS (
        SELECT member_id, count(DISTINCT business_id) FILTER (WHERE kind = 1) AS business_count,
            count(DISTINCT business_id) FILTER (WHERE kind = 1 AND ago <= 2 * $3::int) AS recent_business_count,
            sum(amount_minor) AS spend_minor,
            coalesce(sum(amount_minor) FILTER (WHERE ago <= 4 * $3::int), 0) AS recent_spend_minor,
            coalesce(sum(amount_minor) FILTER (WHERE ago <= 365), 0) AS net_spend_minor
        FROM this_year GROUP BY member_id HAVING bool_or(kind = 1)
    ), days AS (
        SELECT DISTINCT member_id, ago FROM this_year WHERE kind = 1
    ), gaps AS (
        SELECT member_id, ago, lead(ago) OVER hers - ago AS gap, row_number() OVER hers AS place,
            min(ago) OVER (PARTITION BY member_id) AS recency
        FROM days WINDOW hers AS (PARTITION BY member_id ORDER BY ago)
    ), shapes AS (
        SELECT member_id, min(ago) AS recency_days, count(*) AS purchase_days,
            coalesce(avg(gap), 0) AS mean_gap_days, coalesce(stddev_pop(gap), 0) AS gap_deviation_days,
            coalesce(avg(gap) FILTER (WHERE place <= 5), 0) AS recent_gap_days,
            count(*) FILTER (WHERE gap > $3::int) AS long_gap_count,
            count(*) FILTER (WHERE gap > recency) AS outlasted_gap_count,
            count(*) FILTER (WHERE gap > recency + $3::int) AS outlasted_horizon_gap_count,
            count(*) FILTER (WHERE ago <= $3::int / 4.) AS days_in_quarter_horizon,
            count(*) FILTER (WHERE ago <= $3::int / 2.) AS days_in_half_horizon,
            count(*) FILTER (WHERE ago <= $3::int) AS days_in_horizon,
            count(*) FILTER (WHERE ago <= 2 * $3::int) AS days_in_two_horizons,
            count(*) FILTER (WHERE ago <= 4 * $3::int) AS days_in_four_horizons,
            sum(exp(-ago::float8 / $3::int)) AS recent_weight,
            sum(exp(-ago::float8 / (3 * $3::int))) AS lasting_weight,
            count(DISTINCT (greatest(ago, 1) - 1) / $3::int) AS active_period_count,
            count(DISTINCT floor((greatest(ago, 1) - 1) / ($3::int / 4.))) FILTER (WHERE ago <= 3 * $3::int)
                AS active_quarter_count,
            count(*) FILTER (WHERE ago <= 365 AND ago > 365 - $3::int) AS last_year_days
        FROM gaps GROUP BY member_id
    )
    SELECT {columns} FROM (
        SELECT *, active_period_count::float8 / ((least(greatest(tenure_days, 1), 365) - 1) / $3::int + 1)
            AS active_period_share
        FROM shapes JOIN sums USING (member_id) JOIN firsts USING (member_id)
    ) members
"""

# What was sold in the period and the one before, on each day?
_DAYS = """
    SELECT (purchase_time AT TIME ZONE $3)::date AS day, sum(amount_minor)::bigint,
        coalesce(sum(amount_minor) FILTER (WHERE kind = 1), 0)::bigint, count(*) FILTER (WHERE kind = 1),
        count(DISTINCT member_id) FILTER (WHERE kind = 1)
    FROM bought WHERE sensitive = 0 AND purchase_time >= $1 AND purchase_time < $2
    GROUP BY day
"""

# How many members are active, new, returning, lost and repeat in the period, and in the one before?
_BUYERS = """
    SELECT count(*) FILTER (WHERE here > 0), count(*) FILTER (WHERE here > 0 AND first_time >= $3),
        count(*) FILTER (WHERE here > 0 AND first_time < $3 AND previous = 0),
        count(*) FILTER (WHERE here = 0 AND previous > 0), count(*) FILTER (WHERE here > 1),
        count(*) FILTER (WHERE previous > 0), count(*) FILTER (WHERE previous > 0 AND first_time >= $2),
        count(*) FILTER (WHERE previous > 0 AND first_time < $2 AND before = 0),
        count(*) FILTER (WHERE previous = 0 AND before > 0), count(*) FILTER (WHERE previous > 1)
    FROM (
        SELECT min(purchase_time) AS first_time, count(*) FILTER (WHERE purchase_time >= $3) AS here,
            count(*) FILTER (WHERE purchase_time >= $2 AND purchase_time < $3) AS previous,
            count(*) FILTER (WHERE purchase_time >= $1 AND purchase_time < $2) AS before
        FROM bought WHERE sensitive = 0 AND kind = 1 AND purchase_time < $4 GROUP BY member_id
    ) members
"""

# Which purchases were wholly given back, as known now?
_RETURNED = """
    returned AS (
        SELECT purchase_id FROM bought
        WHERE sensitive = 0 AND purchase_id IN (SELECT purchase_id FROM bought WHERE sensitive = 0 AND kind <> 1)
        GROUP BY purchase_id HAVING sum(amount_minor) <= 0
    )
"""

# How many members of each cohort bought in each month, and what did they spend?
_COHORTS = f"""
    WITH {_RETURNED}, months AS (
        SELECT member_id, date_trunc('month', purchase_time AT TIME ZONE $1) AS month, bool_or(kind = 1) AS is_active,
            sum(amount_minor) AS net_minor
        FROM bought
        WHERE sensitive = 0 AND NOT EXISTS (SELECT FROM returned WHERE returned.purchase_id = bought.purchase_id)
        GROUP BY member_id, month
    ), founded AS (
        SELECT member_id, min(month) FILTER (WHERE is_active) AS cohort FROM months GROUP BY member_id
    )
    SELECT cohort::date, month::date, count(*) FILTER (WHERE is_active), sum(net_minor)::bigint
    FROM months JOIN founded USING (member_id)
    WHERE cohort BETWEEN $2 AND $3 AND month <= $4
    GROUP BY cohort, month
"""

# How many members went from which business to which within so many days?
_WAYS = f"""
    WITH {_RETURNED}, kept AS MATERIALIZED (
        SELECT member_id, business_id, purchase_time FROM bought
        WHERE sensitive = 0 AND kind = 1 AND purchase_time >= $1 AND purchase_time < $2
            AND NOT EXISTS (SELECT FROM returned WHERE returned.purchase_id = bought.purchase_id)
    )
    SELECT here, there, count(*) FROM (
        SELECT DISTINCT a.member_id, a.business_id AS here, b.business_id AS there
        FROM kept a JOIN kept b ON b.member_id = a.member_id AND b.business_id <> a.business_id
            AND b.purchase_time > a.purchase_time AND b.purchase_time <= a.purchase_time + $3
    ) gone GROUP BY here, there HAVING count(*) >= 5
"""


class InPostgres:
    """PostgreSQL at the same work, on one connection with settings for analytics.

    Args:
        connection: To a database with the table `bought`.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, postgres: Postgres) -> "InPostgres":
        """Connects."""
        connection = await postgres.dedicated()
        for setting in (*_SETTINGS, _RFM_TABLE):
            await connection.execute(setting)
        return cls(connection)

    async def close(self) -> None:
        """Hangs up."""
        await self._connection.close()

    async def snapshot(self) -> None:
        """Writes the members with their segments into a table."""
        window_start = (asked.CUTOFF.astimezone(ZONE) - timedelta(days=asked.WINDOW_DAYS)).astimezone(ZONE)
        cells, segments = list(SEGMENT_BY_SCORES), [int(segment) for segment in SEGMENT_BY_SCORES.values()]
        rules = (int(Segment.NEW), NEW_DAYS, int(Segment.POTENTIAL_LOYALIST), int(Segment.ABOUT_TO_SLEEP))
        await self._connection.execute("TRUNCATE rfm")
        await self._connection.execute(_SNAPSHOT, asked.CUTOFF, window_start, ZONE.key, cells, segments, *rules)

    async def snapshot_figures(self) -> asked.Places:
        """Returns the members that `snapshot` wrote."""
        rows = await self._connection.fetch("SELECT * FROM rfm")
        return {row["member_id"]: tuple(row)[1:8] for row in rows}

    async def features(self) -> None:
        """Computes every member's features, and returns none of them."""
        sums = ", ".join(f"sum({name})" for name in (*RAW, "net_spend_minor"))
        await self._connection.fetch(_FEATURES.format(columns=sums), asked.CUTOFF, ZONE.key, asked.HORIZON_DAYS)

    async def feature_figures(self) -> asked.Features:
        """Returns every member's features."""
        columns = ", ".join(f"{name}::float8" for name in (*RAW, "net_spend_minor"))
        sql = _FEATURES.format(columns=columns) + " ORDER BY member_id"
        rows = await self._connection.fetch(sql, asked.CUTOFF, ZONE.key, asked.HORIZON_DAYS)
        return np.array([tuple(row) for row in rows], np.float64)

    async def dashboard_figures(self) -> asked.Dashboard:
        """Returns a dashboard's figures."""
        length = asked.END_DAY - asked.FIRST_DAY
        before, previous, first, end = (
            _start(asked.FIRST_DAY - 2 * length), _start(asked.FIRST_DAY - length), _start(asked.FIRST_DAY),
            _start(asked.END_DAY),
        )  # fmt: skip
        days = await self._connection.fetch(_DAYS, previous, end, ZONE.key)
        buyers = tuple((await self._connection.fetch(_BUYERS, before, previous, first, end))[0])
        now = [row for row in days if row["day"] >= asked.FIRST_DAY]
        past = [row for row in days if row["day"] < asked.FIRST_DAY]
        by_day = {row[0]: (row[1], row[3], row[4]) for row in now}
        return (*_sums(now), *buyers[:5]), (*_sums(past), *buyers[5:]), by_day

    async def cohort_figures(self) -> asked.Cohorts:
        """Returns the cohorts' figures."""
        months = [datetime.combine(day, time()) for day in (asked.FIRST_MONTH, asked.LAST_MONTH, asked.PRESENT_MONTH)]
        rows = await self._connection.fetch(_COHORTS, ZONE.key, *months)
        return {(_month(row[0]), _month(row[1])): (row[2], row[3]) for row in rows}

    async def way_figures(self) -> asked.Ways:
        """Returns how many members went from where to where."""
        days = _start(asked.MATRIX_FIRST_DAY), _start(asked.MATRIX_END_DAY)
        rows = await self._connection.fetch(_WAYS, *days, timedelta(days=asked.WITHIN_DAYS))
        return {(UUID(str(row[0])).int, UUID(str(row[1])).int): row[2] for row in rows}


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), ZONE)


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1


def _sums(rows: list[Any]) -> tuple[int, int, int]:
    return sum(row[1] for row in rows), sum(row[2] for row in rows), sum(row[3] for row in rows)
