-- The members of RFM snapshots. `snapshots` in PostgreSQL says which build is the published one: rows of any other build are
-- leftovers of an attempt that was stopped, seen by nobody.
-- Ordered so that one member's row of one snapshot is in one granule.
CREATE TABLE IF NOT EXISTS snapshot_members (
    build_id UUID COMMENT 'the attempt that wrote the row',
    member_id Int64,
    recency_days UInt32 COMMENT 'days in the circle''s zone from the last purchase to the cutoff',
    purchase_count UInt32 COMMENT 'purchases in the window that were not fully refunded',
    net_spend_minor Int64 COMMENT 'their sum less refunds',
    recency_score UInt8 COMMENT '1 to 5; 5 is the latest',
    frequency_score UInt8,
    monetary_score UInt8,
    segment UInt8 COMMENT '1 to 11, the values of the API''s enum',
    first_purchase_time DateTime64(6, 'UTC'),
    last_purchase_time DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (build_id, member_id)
SETTINGS index_granularity = 2048;
