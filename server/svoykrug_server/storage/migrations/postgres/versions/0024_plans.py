"""Indexes for what read whole tables, found by reading the plan of every statement at a million members."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

# The words of a name are bytes (COLLATE "C") and names are not: without the collation of names their index cannot be
# asked for a word, and the whole table is read for every name that changes.
FORGET_NAME_WORDS = """
CREATE OR REPLACE FUNCTION forget_name_words() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- Which words of the new name are new?
        INSERT INTO name_words
        SELECT word FROM string_to_table(trim(NEW.search_name), ' ') AS word WHERE word <> '' ORDER BY word
        ON CONFLICT DO NOTHING;
    END IF;
    -- Does nobody else leave these words at the same moment, and count on us? (in their order, against circles)
    PERFORM pg_advisory_xact_lock(hashtextextended('name_words ' || word, 0))
    FROM (SELECT word FROM string_to_table(trim(OLD.search_name), ' ') AS word ORDER BY word) words;
    -- Which words of the old name has nobody any more?
    DELETE FROM name_words w
    WHERE w.word = ANY(string_to_array(trim(OLD.search_name), ' '))
        AND NOT EXISTS (SELECT FROM users u WHERE u.search_name LIKE '% ' || w.word COLLATE "default" || ' %');
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    """Adds the indexes, and lets the trigger of names and the schedule use theirs."""
    op.execute(FORGET_NAME_WORDS)
    op.create_index(None, "auth_challenges", ["phone"])
    for table, column in (
        ("auth_challenges", "session_id"),
        ("sms_messages", "challenge_id"),
        ("rejected_rows", "user_id"),
        ("rejected_rows", "phone"),
    ):
        is_there = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"{table}_{column}_idx", table, [column], postgresql_where=is_there)
    op.create_index("csv_imports_business_id_idx", "csv_imports", ["business_id", "create_time"])
    # Periods are compared by their bytes: now their key is sorted so.
    op.alter_column(
        "scheduled_runs",
        "period",
        type_=sa.Text(collation="C"),
        comment="2026-11-22, 2026-W47 or 2026-11",
        existing_comment="2026-11-22, 2026-W47 or 2026-11, sorted by bytes",
    )
