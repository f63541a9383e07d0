-- Which entries outlive their month, while a month is being let go: each member's first purchase at each business, and what
-- took it back. Empty at all other times.
CREATE TABLE IF NOT EXISTS kept_entries (
    entry_id UUID COMMENT 'the row of purchases that stays'
)
ENGINE = MergeTree
ORDER BY entry_id;
