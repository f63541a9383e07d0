"""The ClickHouse statements of dashboards, cohorts and the cross-business matrix.

The circle never reads a sensitive purchase here, except for the one sum of `SENSITIVE`; a business reads its own alone.
A refund or a reversal counts on its own day in revenue. In dashboards it lowers no receipt and makes nobody inactive.
In cohorts and the matrix a purchase that was wholly given back, as known now, counts nowhere.
"""

# ruff: noqa: S608  statements are put together from texts of this module only; every value is bound

CIRCLE = "sensitive = 0"
BUSINESS = "business_id = {business_id:UUID}"

_MICROSECONDS = "fromUnixTimestamp64Micro({{{name}:Int64}}, 'UTC')"
_START, _PREVIOUS, _BEFORE_PREVIOUS, _END, _KNOWN = (
    _MICROSECONDS.format(name=name) for name in ("start_us", "previous_us", "before_us", "end_us", "known_us")
)
_BLOCK = "member_id BETWEEN {first_member_id:Int64} AND {last_member_id:Int64}"

# How many entries has the ledger? Told without reading any.
ENTRIES = "SELECT count() FROM purchases"

# How many entries has a business?
ENTRIES_OF_BUSINESS = f"{ENTRIES} WHERE {BUSINESS}"

# How many of them are of a block of members?
ENTRIES_OF_BLOCK = f"{ENTRIES_OF_BUSINESS} AND {_BLOCK}"

# What was sold in the period and the one before, and to how many members on each day of the period?
DAYS = f"""
    SELECT toDate(purchase_time, {{zone:String}}) AS day,
        sum(amount_minor),
        sumIf(amount_minor, kind = 'purchase'),
        countIf(kind = 'purchase'),
        uniqExactIf(member_id, kind = 'purchase' AND purchase_time >= {_START})
    FROM purchases
    WHERE __SCOPE__ AND purchase_time >= {_PREVIOUS} AND purchase_time < {_END}
    GROUP BY day
    ORDER BY day
"""

# How many members of a block are active, new, returning, lost and repeat in the period, and in the one before? Who has
# more purchases than those since a period began bought before it: counting costs less than finding the first.
BUYERS = f"""
    SELECT
        countIf(now_count > 0),
        countIf(now_count > 0 AND all_count = now_count),
        countIf(now_count > 0 AND all_count > now_count AND previous_count = 0),
        countIf(now_count = 0 AND previous_count > 0),
        countIf(now_count > 1),
        countIf(previous_count > 0),
        countIf(previous_count > 0 AND all_count = now_count + previous_count),
        countIf(previous_count > 0 AND all_count > now_count + previous_count AND before_count = 0),
        countIf(previous_count = 0 AND before_count > 0),
        countIf(previous_count > 1)
    FROM (
        SELECT
            count() AS all_count,
            countIf(purchase_time >= {_START}) AS now_count,
            countIf(purchase_time >= {_PREVIOUS}) - now_count AS previous_count,
            countIf(purchase_time >= {_BEFORE_PREVIOUS}) - now_count - previous_count AS before_count
        FROM purchases
        WHERE {_BLOCK} AND __SCOPE__ AND kind = 'purchase' AND purchase_time < {_END}
        GROUP BY member_id
    )
"""

# What did sensitive businesses sell in these weeks, and in those of the period before, as one sum? Of each week that is
# counted up to the last batch by which at least so many further members had bought: two answers never differ by fewer.
SENSITIVE = f"""
    WITH
        sold AS (
            SELECT toMonday(toDate(purchase_time, {{zone:String}})) AS week, ingest_time, member_id, kind, amount_minor
            FROM purchases
            WHERE sensitive = 1 AND (
                purchase_time >= {_START} AND purchase_time < {_END}
                OR purchase_time >= {_PREVIOUS} AND purchase_time < {_BEFORE_PREVIOUS}
            )
        ),
        batches AS (
            SELECT week, ingest_time, groupUniqArrayIf({{floor:UInt8}})(member_id, kind = 'purchase') AS members
            FROM sold GROUP BY week, ingest_time
        ),
        shown AS (
            SELECT week, arrayFold(
                (counted, batch) -> if(
                    length(arrayDistinct(arrayConcat(counted.1, batch.2))) >= {{floor:UInt8}},
                    (emptyArrayInt64(), batch.1),
                    (arrayDistinct(arrayConcat(counted.1, batch.2)), counted.2)
                ),
                arraySort(groupArray((ingest_time, members))),
                (emptyArrayInt64(), fromUnixTimestamp64Micro(toInt64(0), 'UTC'))
            ).2 AS last_time
            FROM batches GROUP BY week
        )
    SELECT week >= toDate({_START}, {{zone:String}}) AS is_now,
        sum(amount_minor), sumIf(amount_minor, kind = 'purchase'), countIf(kind = 'purchase')
    FROM sold INNER JOIN shown USING (week)
    WHERE ingest_time <= last_time
    GROUP BY is_now
"""

# How many members does each of these scorings hold, and what did those spend whom it gives 50 % or more to leave?
AT_RISK = """
    SELECT scoring_id, count(), sumIf(net_spend_minor, probability >= 0.5)
    FROM churn_scores
    WHERE scoring_id IN {scoring_ids:Array(UUID)} AND build_id IN {build_ids:Array(UUID)}
    GROUP BY scoring_id
"""

_RETURNED = """
    SELECT purchase_id FROM purchases
    WHERE __SCOPE__ AND __KNOWN__
        AND purchase_id IN (SELECT purchase_id FROM purchases WHERE __SCOPE__ AND __KNOWN__ AND kind != 'purchase')
    GROUP BY purchase_id HAVING sum(amount_minor) <= 0
"""

# How many members of each cohort and a block bought in each month from the first on, and what did they spend in it? A
# refund bears its purchase's member.
COHORTS = f"""
    WITH
        months AS (
            SELECT member_id,
                toRelativeMonthNum(purchase_time, {{zone:String}}) - 1 AS month,
                countIf(kind = 'purchase') > 0 AS bought,
                sum(amount_minor) AS net_minor
            FROM purchases
            WHERE {_BLOCK} AND __SCOPE__ AND purchase_id NOT IN ({_RETURNED.replace("__KNOWN__", _BLOCK)})
            GROUP BY member_id, month
        ),
        members AS (
            SELECT minIf(month, bought) AS cohort, groupArray((month, bought, net_minor)) AS spent
            FROM months
            GROUP BY member_id
            HAVING cohort BETWEEN {{first_month:UInt32}} AND {{last_month:UInt32}}
        )
    SELECT cohort, in_month.1 AS month, countIf(in_month.2), sum(in_month.3)
    FROM members ARRAY JOIN spent AS in_month
    WHERE month <= {{present_month:UInt32}}
    GROUP BY cohort, month
    ORDER BY cohort, month
"""

_KNOWN_TIME = f"ingest_time < {_KNOWN}"
_AT_OPEN_BUSINESSES = f"""
    FROM purchases
    WHERE kind = 'purchase' AND sensitive = 0 AND purchase_time >= {_START} AND purchase_time < {_END} AND __KNOWN__
        AND purchase_id NOT IN ({_RETURNED.replace("__SCOPE__", CIRCLE)})
"""

# Which businesses sold anything, how often, to how many members, and what is the hash of who bought what?
MATRIX_BUSINESSES = f"""
    SELECT business_id, count(), uniqExact(member_id), sum(sipHash64(purchase_id, member_id, purchase_time))
    {_AT_OPEN_BUSINESSES.replace("__KNOWN__", _KNOWN_TIME)}
    GROUP BY business_id
    ORDER BY business_id
"""

# What did each member of a block buy where and when, her earliest purchase first? A refund bears its purchase's member.
MATRIX_BLOCK = f"""
    SELECT member_id, toUnixTimestamp64Micro(purchase_time) AS time_us,
        toUInt16(indexOf({{business_ids:Array(UUID)}}, business_id) - 1) AS business
    {_AT_OPEN_BUSINESSES.replace("__KNOWN__", f"{_KNOWN_TIME} AND {_BLOCK}")}
    ORDER BY member_id, time_us, business
"""
