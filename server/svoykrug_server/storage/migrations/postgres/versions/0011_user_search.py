"""User search: by name, by the end of a phone, and by what filters users and audit events."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

NAME_SPELLING = r"""
CREATE FUNCTION name_spelling(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN
trim(regexp_replace(
    replace(replace(replace(replace(replace(replace(replace(replace(
        translate(
            lower(translate(
                regexp_replace(normalize(name, NFKD), '[\u0300-\u036f]', '', 'g'),
                'АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯІЄҐӘҒҚҢӨҰҮҺ', 'абвгдежзиклмнопрстуфхцчшщъыьэюяієґәғқңөұүһ'
            )),
            'абвгдезиклмнопрстуфыэієґәғқңөұүһьъ''’ʼ`', 'abvgdeziklmnoprstufyeieagqnouuh'
        ),
    'ж', 'zh'), 'х', 'kh'), 'ц', 'ts'), 'ч', 'ch'), 'ш', 'sh'), 'щ', 'shch'), 'ю', 'yu'), 'я', 'ya'),
    '[^[:alnum:]]+', ' ', 'g'
))
"""
"""A name's words in small Latin letters with one space between. Letter by letter, so that the beginning of a name has
the beginning of its spelling; without combining marks, which makes ё an е and й an и."""

LOOSE_SPELLING = """
CREATE FUNCTION loose_spelling(spelling text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN
regexp_replace(
    translate(
        regexp_replace(
            regexp_replace(
                replace(replace(replace(replace(replace(replace(replace(replace(spelling,
                    'shch', 'sh'), 'sch', 'sh'), 'tch', 'ch'), 'kh', 'h'), 'tz', 'ts'), 'ck', 'k'), 'ph', 'f'),
                    'x', 'ks'),
                '[yj]e|(?<![aeiou])[yj]o', 'e', 'g'
            ),
            'c(?!h)', 'k', 'g'
        ),
        'yjwq', 'iivk'
    ),
    'i+', 'i', 'g'
)
"""
"""What the usual ways to write a Russian name in Latin letters have in common: Yuliya, Iuliia and Julia are `iulia`."""

SEARCHED_NAME = """
CREATE FUNCTION searched_name(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN
' ' || concat_ws(' ', name_spelling(name), nullif(loose_spelling(name_spelling(name)), name_spelling(name))) || ' '
"""
"""What a name is found by: the words of both spellings, each between two spaces."""

KEEP_NAME_WORDS = """
CREATE FUNCTION keep_name_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Which words are new? (in their order, so that two statements never wait for each other in a circle)
    INSERT INTO name_words
    SELECT DISTINCT word FROM added, string_to_table(trim(search_name), ' ') AS word WHERE word <> '' ORDER BY word
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""
"""The body of the trigger that learns the words of new names."""

FORGET_NAME_WORDS = """
CREATE FUNCTION forget_name_words() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
        AND NOT EXISTS (SELECT FROM users u WHERE u.search_name LIKE '% ' || w.word || ' %');
    RETURN NULL;
END
$$
"""
"""The body of the trigger that forgets the words of a name that was changed or erased, unless others have them too."""


def upgrade() -> None:
    """Creates what lists of users and of audit events are searched by."""
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    for function in (NAME_SPELLING, LOOSE_SPELLING, SEARCHED_NAME, KEEP_NAME_WORDS, FORGET_NAME_WORDS):
        op.execute(function)
    make_users_searchable()
    learn_name_words()
    index_audit_events()


def make_users_searchable() -> None:
    """Adds the spellings of a name, and the indexes that users are listed and found by."""
    spellings = sa.Computed("searched_name(display_name)", persisted=True)
    op.add_column("users", sa.Column("search_name", sa.Text, spellings, comment="the words of its spellings"))
    op.create_index(
        None,
        "users",
        ["search_name"],
        postgresql_using="gin",
        postgresql_ops={"search_name": "gin_trgm_ops"},
        postgresql_with={"fastupdate": "off"},
    )
    op.create_index(None, "users", ["status", "tier", "create_time", "id"])
    op.create_index(
        "users_elevated_idx", "users", ["create_time", "id"], postgresql_where=sa.text("roles <> '{member}'::text[]")
    )
    op.create_index(
        "users_phone_end_idx",
        "users",
        [sa.func.reverse(sa.text("phone")).label("phone_end")],
        postgresql_ops={"phone_end": "text_pattern_ops"},
    )
    op.create_check_constraint("users_everyone_is_member_check", "users", "roles @> '{member}'::text[]")


def learn_name_words() -> None:
    """Creates the words of all names, and what keeps them."""
    op.create_table(
        "name_words",
        sa.Column("word", sa.Text(collation="C"), primary_key=True),
        comment="Every word of a searched name, once, whoever has it: what a word with a typo is compared with",
    )
    # Which words have the names of today?
    op.execute(
        """
        INSERT INTO name_words
        SELECT DISTINCT word FROM users, string_to_table(trim(search_name), ' ') AS word WHERE word <> ''
        """
    )
    op.create_index(
        None,
        "name_words",
        ["word"],
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
        postgresql_with={"fastupdate": "off"},
    )
    op.execute(
        "CREATE TRIGGER keep_name_words AFTER INSERT ON users REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION keep_name_words()"
    )
    op.execute(
        "CREATE TRIGGER change_name_words AFTER UPDATE OF display_name ON users FOR EACH ROW "
        "WHEN (OLD.display_name <> NEW.display_name) EXECUTE FUNCTION forget_name_words()"
    )
    op.execute(
        "CREATE TRIGGER forget_name_words AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION forget_name_words()"
    )


def index_audit_events() -> None:
    """Gives every filter of audit events an index that also holds their order."""
    op.drop_index("audit_events_target_kind_target_id_event_time_idx")
    op.drop_index("audit_events_actor_id_event_time_idx")
    for filters in ([], ["actor_id"], ["target_id"], ["action"]):
        op.create_index(None, "audit_events", [*filters, "event_time", "event_id"])
