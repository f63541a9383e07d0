-- What models said of members. `churn_scorings` in PostgreSQL says which scorings are finished: rows of any other are seen by nobody.
-- Ordered so that one member's row of one scoring is in one granule. A block of a scoring is inserted whole under a token of its own,
-- so that an attempt that was stopped goes on where it was.
CREATE TABLE IF NOT EXISTS churn_scores (
    scoring_id UUID,
    member_id Int64,
    probability Float64 COMMENT 'of no purchase within the horizon',
    net_spend_minor Int64 COMMENT 'in the 365 days before the cutoff',
    reason_features Array(LowCardinality(String)) COMMENT 'what moves the probability most, the strongest first',
    reason_values Array(Float64) COMMENT 'hers',
    reason_typical_values Array(Float64) COMMENT 'those of a typical member of her segment',
    reason_effects Array(Float64) COMMENT 'by how much each moves the probability, positive towards leaving'
)
ENGINE = MergeTree
ORDER BY (scoring_id, member_id)
SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 10000;
