"""The ClickHouse statements of churn.

What counts: a purchase that was not wholly given back. The circle never reads a sensitive purchase; a business reads
its own alone. What is known at a cutoff: what had happened by then and had been ingested by then; and of what happened
before a business began, which is when something of it was first ingested, also what it brought along later (why:
docs/decisions/churn-model.md, "What was known when"). What is read: the year before the cutoff, so that a member is
described alike at every cutoff and whatever is kept of older years; and since when she has been a member.
"""

# ruff: noqa: S608  statements are put together from texts of this module only; every value is bound

_SCOPE = "if({has_business:UInt8}, business_id = {business_id:UUID}, NOT sensitive)"
_BLOCK = "member_id BETWEEN {first_member_id:Int64} AND {last_member_id:Int64}"
_MICROSECONDS = "fromUnixTimestamp64Micro({{{name}:Int64}}, 'UTC')"
_CUTOFF, _HORIZON_END, _WATERMARK = (
    _MICROSECONDS.format(name=name) for name in ("cutoff_us", "horizon_end_us", "watermark_us")
)
_BEGAN_US = "transform(business_id, {begun_ids:Array(UUID)}, {begun_us:Array(Int64)}, toInt64(0))"
_IS_KNOWN = f"""
        purchase_time <= {_CUTOFF} AND ingest_time <= {_WATERMARK}
        AND (ingest_time <= {_CUTOFF} OR toUnixTimestamp64Micro(purchase_time) < {_BEGAN_US})
"""
_DAY = "toInt32(toDate({instant}, {{zone:String}}))"

LOOK_BACK_DAYS = 365

# Which purchases of a scope and a block of members are known at the cutoff, and how many days ago were they?
_KNOWN = f"""
    SELECT member_id, purchase_id, business_id, kind, amount_minor,
        {_DAY.format(instant=_CUTOFF)} - {_DAY.format(instant="purchase_time")} AS days_ago
    FROM purchases
    WHERE {_BLOCK} AND {_SCOPE} AND {_IS_KNOWN}
"""

# Which purchases of a source were wholly given back?
_RETURNED = """
    SELECT purchase_id FROM {source}
    WHERE purchase_id IN (SELECT purchase_id FROM {source} WHERE kind != 'purchase')
    GROUP BY purchase_id HAVING sum(amount_minor) <= 0
"""

# What was given back of each known purchase: in all, in the year that is read, and lately? It counts on its own day.
_CORRECTIONS = """
    SELECT purchase_id, count() AS correction_count, sum(amount_minor) AS returned_minor,
        sumIf(amount_minor, days_ago <= $look_back) AS read_returned_minor,
        sumIf(amount_minor, days_ago <= least($look_back, 4 * {horizon_days:Int32})) AS recent_returned_minor
    FROM known
    WHERE kind != 'purchase'
    GROUP BY purchase_id
"""

# What is known of each member at the cutoff: the days of the year she bought on, the latest first, her sums of it, and
# how many days ago she first bought what she kept? A visit is its day above 48 bits of its business's hash: one array
# says days and businesses, in half the time and a third of the memory of a set of each.
_MEMBERS = f"""
    SELECT member_id,
        groupArrayIf(
            bitShiftLeft(toUInt64(days_ago), 48) + bitShiftRight(cityHash64(business_id), 16), is_read
        ) AS visits,
        arraySort(arrayDistinct(arrayMap(visit -> toUInt16(bitShiftRight(visit, 48)), visits))) AS days,
        arrayMap(visit -> bitAnd(visit, {2**48 - 1}), visits) AS businesses,
        arrayUniq(businesses) AS business_count,
        arrayUniq(arrayFilter(
            (business, visit) -> bitShiftRight(visit, 48) <= 2 * {{horizon_days:Int32}}, businesses, visits
        )) AS recent_business_count,
        max(days_ago) AS first_days_ago,
        sumIf(amount_minor + read_returned_minor, is_read) AS spend_minor,
        sumIf(if(days_ago <= 4 * {{horizon_days:Int32}}, amount_minor, 0) + recent_returned_minor, is_read)
            AS recent_spend_minor,
        spend_minor AS net_spend_minor
    FROM (
        SELECT *, days_ago <= $look_back AS is_read
        FROM known LEFT ANY JOIN corrections USING (purchase_id)
        WHERE kind = 'purchase' AND (correction_count = 0 OR amount_minor + returned_minor > 0)
    )
    GROUP BY member_id
    HAVING notEmpty(days) AND ({{population_days:Int32}} = 0 OR days[1] <= {{population_days:Int32}})
"""

# The columns `features.RAW`: what do the days and sums of each member say?
_RAW = """
    toFloat64(days[1]) AS recency_days,
    toFloat64(first_days_ago) AS tenure_days,
    toFloat64(length(days)) AS purchase_days,
    if(empty(gaps), 0., arrayAvg(gaps)) AS mean_gap_days,
    if(empty(gaps), 0., sqrt(greatest(0., arrayAvg(gap -> toFloat64(gap) * gap, gaps) - mean_gap_days * mean_gap_days)))
        AS gap_deviation_days,
    if(empty(gaps), 0., arrayAvg(arraySlice(gaps, 1, 5))) AS recent_gap_days,
    toFloat64(arrayCount(gap -> gap > horizon, gaps)) AS long_gap_count,
    toFloat64(arrayCount(gap -> gap > recency_days, gaps)) AS outlasted_gap_count,
    toFloat64(arrayCount(gap -> gap > recency_days + horizon, gaps)) AS outlasted_horizon_gap_count,
    toFloat64(arrayCount(day -> day <= horizon / 4, days)) AS days_in_quarter_horizon,
    toFloat64(arrayCount(day -> day <= horizon / 2, days)) AS days_in_half_horizon,
    toFloat64(arrayCount(day -> day <= horizon, days)) AS days_in_horizon,
    toFloat64(arrayCount(day -> day <= 2 * horizon, days)) AS days_in_two_horizons,
    toFloat64(arrayCount(day -> day <= 4 * horizon, days)) AS days_in_four_horizons,
    arraySum(day -> exp(-day / horizon), days) AS recent_weight,
    arraySum(day -> exp(-day / (3 * horizon)), days) AS lasting_weight,
    arrayUniq(arrayMap(day -> intDiv(greatest(day, 1) - 1, horizon), days))
        / (intDiv(least(greatest(tenure_days, 1), $look_back) - 1, horizon) + 1) AS active_period_share,
    toFloat64(arrayUniq(arrayMap(
        day -> floor((greatest(day, 1) - 1) / (horizon / 4)), arrayFilter(day -> day <= 3 * horizon, days)
    ))) AS active_quarter_count,
    toFloat64(business_count) AS business_count,
    toFloat64(recent_business_count) AS recent_business_count,
    toFloat64(spend_minor) AS spend_minor,
    toFloat64(recent_spend_minor) AS recent_spend_minor,
    toFloat64(arrayCount(day -> day <= 365 AND day > 365 - horizon, days)) AS last_year_days
"""

# Corrections are what is held in memory, never purchases: the engine would guess which are fewer.
_HOLD_CORRECTIONS = "SETTINGS query_plan_join_swap_table = 'false'"

# What do the models read of each member of a block?
_FEATURES = f"""
    WITH {{horizon_days:Int32}} AS horizon,
        known AS ({_KNOWN}),
        corrections AS ({_CORRECTIONS}),
        members AS ({_MEMBERS})
    SELECT member_id, {_RAW}, net_spend_minor, $extra
    FROM (
        SELECT *, arrayMap(
            (later, earlier) -> toInt32(earlier) - toInt32(later), arrayPopBack(days), arrayPopFront(days)
        ) AS gaps FROM members
    ) AS members
""".replace("$look_back", str(LOOK_BACK_DAYS))

# Which purchases of a scope and a block fell into the window after the cutoff, as known now?
_AFTER = f"""
    SELECT member_id, purchase_id, kind, amount_minor, purchase_time
    FROM purchases
    WHERE {_BLOCK} AND purchase_time > {_CUTOFF} AND ingest_time <= {_WATERMARK} AND {_SCOPE}
"""

# Who bought in the window after the cutoff?
_BUYERS = f"""
    SELECT member_id FROM ({_AFTER})
    WHERE kind = 'purchase' AND purchase_time <= {_HORIZON_END}
        AND purchase_id NOT IN ({_RETURNED.format(source=f"({_AFTER})")})
"""

# On how many days did each member buy in the window after the cutoff, and how much did she spend there?
_LATER = f"""
    SELECT member_id, uniqExactIf({_DAY.format(instant="purchase_time")}, kind = 'purchase') AS bought_days,
        sum(amount_minor) AS bought_minor
    FROM ({_AFTER})
    WHERE purchase_time <= {_HORIZON_END}
        AND purchase_id NOT IN ({_RETURNED.format(source=f"({_AFTER})")})
    GROUP BY member_id
"""

_LATER_COLUMNS = """
    toFloat64(bought_days = 0) AS churned, toFloat64(bought_days) AS later_days,
    toFloat64(bought_minor) AS later_spend_minor
"""

# What was known of each member at a cutoff, did she stay away in the window after it, and what did she buy in it?
WINDOW = f"""
    {_FEATURES.replace("$extra", _LATER_COLUMNS)}
    LEFT JOIN ({_LATER}) AS later USING (member_id)
    ORDER BY member_id
    {_HOLD_CORRECTIONS}
"""

# What is known of each member of a block at a cutoff, and which segment was she in?
SCORING_BLOCK = f"""
    {_FEATURES.replace("$extra", "toInt64(segments.segment) AS segment")}
    LEFT JOIN (
        SELECT member_id, segment FROM snapshot_members WHERE build_id = {{build_id:UUID}} AND {_BLOCK}
    ) AS segments USING (member_id)
    ORDER BY member_id
    {_HOLD_CORRECTIONS}
"""

# How many members bought in a scope in the year before a cutoff?
COUNT = f"""
    SELECT uniq(member_id) FROM purchases
    WHERE purchase_time > {_CUTOFF} - INTERVAL {LOOK_BACK_DAYS} DAY AND kind = 'purchase' AND {_SCOPE} AND {_IS_KNOWN}
"""

# When did each business of a scope begin?
BEGUN = f"SELECT business_id, min(ingest_time) FROM purchases WHERE {_SCOPE} GROUP BY business_id"

# What is the gap between purchase days that nine of ten repeat members stay below on average?
USUAL_GAP = f"""
    SELECT count(), quantileExact(0.9)(mean_gap) FROM (
        SELECT member_id, (max(day) - min(day)) / (uniqExact(day) - 1) AS mean_gap FROM (
            SELECT member_id, {_DAY.format(instant="purchase_time")} AS day FROM purchases
            WHERE purchase_time <= {_CUTOFF} AND purchase_time > {_CUTOFF} - INTERVAL {LOOK_BACK_DAYS} DAY
                AND ingest_time <= {_WATERMARK} AND kind = 'purchase' AND {_SCOPE}
        ) GROUP BY member_id HAVING uniqExact(day) > 1
    )
"""

_BUILD = "scoring_id = {scoring_id:UUID} AND build_id = {build_id:UUID}"

# What does a build of a scoring hold? (what is expected of a member was not always computed)
CONTENTS = f"""
    SELECT count(), sum(cityHash64(
        member_id, probability, net_spend_minor, reason_features, reason_values, reason_typical_values, reason_effects,
        ifNull(expected_purchase_count, -1), purchase_count_low, purchase_count_high, expected_spend_minor,
        spend_low_minor, spend_high_minor
    ))
    FROM churn_scores WHERE {_BUILD}
"""

# Which attempts of a scoring have rows?
BUILDS = "SELECT DISTINCT build_id FROM churn_scores WHERE scoring_id = {scoring_id:UUID}"

# Remove what an attempt that was stopped had written.
CLEAR = f"DELETE FROM churn_scores WHERE {_BUILD}"

_SCORE_COLUMNS = """
    member_id, probability, net_spend_minor, reason_features, reason_values, reason_typical_values, reason_effects
"""

# Which members of a scoring are the likeliest to leave, after a position in the list? A build is of one scoring, so the
# scoring need only say where to look; the engine reads the reasons of the page alone, when it has found who is on it.
AT_RISK = f"""
    SELECT {_SCORE_COLUMNS} FROM churn_scores
    WHERE indexHint(scoring_id = {{scoring_id:UUID}}) AND build_id = {{build_id:UUID}}
        AND probability >= {{min_probability:Float64}}
        AND (
            NOT {{has_position:UInt8}}
            OR (-probability, member_id) > (-reinterpretAsFloat64({{after_bits:UInt64}}), {{after_member_id:Int64}})
        )
    ORDER BY probability DESC, member_id LIMIT {{limit:UInt32}}
"""

_VALUE_COLUMNS = """
    expected_purchase_count, purchase_count_low, purchase_count_high, expected_spend_minor, spend_low_minor,
    spend_high_minor
"""

# What did a scoring say of one member, and what did it expect her to buy?
ONE = f"""
    SELECT {_SCORE_COLUMNS}, {_VALUE_COLUMNS} FROM churn_scores
    WHERE {_BUILD} AND member_id = {{member_id:Int64}}
"""

# What did a scoring say of each member of a block, and did she stay away in the window after its cutoff?
GRADED_BLOCK = f"""
    SELECT probability, toFloat64(member_id NOT IN ({_BUYERS})) AS churned FROM churn_scores
    WHERE {_BUILD} AND {_BLOCK}
"""
