-- The ledger a second time in the order of businesses: what is asked of one business reads its rows, not the circle's. The engine keeps
-- it in every part, so it is exchanged, mutated and dropped with the rows.
-- A light deletion leaves its rows in such a copy (seen in engine 26.9, with `rebuild`), so with `drop` the copy of that part goes.
-- MATERIALIZE PROJECTION brings lightly deleted rows back into the copy, and merges make none: parts without it are merged to one without
-- it, and never with parts that have it (seen: "Parts have different projection sets"). So nothing but a rebuild makes it in parts that are
-- older than this file or of which rows were lightly deleted: there the rows themselves are read.
ALTER TABLE purchases MODIFY SETTING lightweight_mutation_projection_mode = 'drop';
ALTER TABLE purchases ADD PROJECTION IF NOT EXISTS by_business (
    SELECT business_id, kind, member_id, purchase_time, purchase_id, amount_minor, ingest_time, sensitive
    ORDER BY business_id, kind, member_id
);
