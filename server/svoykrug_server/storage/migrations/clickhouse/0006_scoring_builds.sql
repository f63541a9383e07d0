-- Which attempt wrote a row of a scoring. `churn_scorings` in PostgreSQL says which build is the published one: rows of any other
-- are leftovers of an attempt that was stopped, seen by nobody. A scoring made before has one build, named as itself.
ALTER TABLE churn_scores
    ADD COLUMN IF NOT EXISTS build_id UUID DEFAULT scoring_id COMMENT 'the attempt that wrote the row' AFTER scoring_id;
