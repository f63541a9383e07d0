-- What a scoring expects its members to buy within its horizon, beside their scores: one row answers for a member.
ALTER TABLE churn_scores
    ADD COLUMN IF NOT EXISTS expected_purchase_count Nullable(Float64) COMMENT 'days with a purchase; null in scorings made before it was computed',
    ADD COLUMN IF NOT EXISTS purchase_count_low UInt32 COMMENT 'the lower end of its 80 % interval',
    ADD COLUMN IF NOT EXISTS purchase_count_high UInt32 COMMENT 'the upper end',
    ADD COLUMN IF NOT EXISTS expected_spend_minor Int64,
    ADD COLUMN IF NOT EXISTS spend_low_minor Int64 COMMENT 'the lower end of its 80 % interval',
    ADD COLUMN IF NOT EXISTS spend_high_minor Int64 COMMENT 'the upper end';
