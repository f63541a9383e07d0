-- The warehouse's copy of the ledger: append-only signed rows, one insert a sealed batch.
-- Partitioned by the month of sealing: it never changes, and all rows of a batch share it, so a batch is one part and atomic.
-- The deduplication window makes an insert repeated under the same token do nothing; without it the token is ignored.
CREATE TABLE IF NOT EXISTS purchases (
    entry_id UUID COMMENT 'the ledger row',
    purchase_id UUID COMMENT 'the purchase that the row is, gives back or reverses',
    business_id UUID,
    member_id Int64,
    kind Enum8('purchase' = 1, 'refund' = 2, 'reversal' = 3),
    amount_minor Int64 COMMENT 'signed: a refund takes away',
    currency LowCardinality(String),
    purchase_time DateTime64(6, 'UTC') COMMENT 'when it happened: of a refund, when it was given',
    ingest_time DateTime64(6, 'UTC') COMMENT 'when its batch was sealed: from then on analytics may know it',
    sensitive UInt8 COMMENT '1 when the business keeps its purchases secret',
    batch_id Int64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingest_time)
ORDER BY (member_id, purchase_time, entry_id)
SETTINGS non_replicated_deduplication_window = 10000;
