"""A change of a name asks only about the words that it leaves."""

from alembic import op

revision = "0025"
down_revision = "0024"

# A first name that stays was looked for among all users, and whoever kept the same one at that moment waited.
FORGET_NAME_WORDS = """
CREATE OR REPLACE FUNCTION forget_name_words() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    left_words text[] := string_to_array(trim(OLD.search_name), ' ');
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- Which words of the new name are new?
        INSERT INTO name_words
        SELECT word FROM string_to_table(trim(NEW.search_name), ' ') AS word WHERE word <> '' ORDER BY word
        ON CONFLICT DO NOTHING;
        -- Which words of the old name has the new one not? (the others stay hers, whatever anybody else does)
        left_words := ARRAY(
            SELECT word FROM unnest(left_words) AS word
            WHERE word <> ALL (string_to_array(trim(NEW.search_name), ' '))
        );
    END IF;
    -- Does nobody else leave these words at the same moment, and count on us? (in their order, against circles)
    PERFORM pg_advisory_xact_lock(hashtextextended('name_words ' || word, 0))
    FROM (SELECT word FROM unnest(left_words) AS word ORDER BY word) words;
    -- Which of these words has nobody any more?
    DELETE FROM name_words w
    WHERE w.word = ANY(left_words)
        AND NOT EXISTS (SELECT FROM users u WHERE u.search_name LIKE '% ' || w.word COLLATE "default" || ' %');
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    """Replaces the body of the trigger that forgets the words of names."""
    op.execute(FORGET_NAME_WORDS)
