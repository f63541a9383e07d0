"""A circle with many members in PostgreSQL, written by a few dozen statements and not by calls.

The users are those of `benchmarks/million_users.py`. Everything that goes with them is spread as a circle some years
old spreads it: sessions and consents of almost everybody, purchases of most, hundreds of businesses with a snapshot for
every day, queues that are nearly empty, and trails that are long.
"""

import json

from benchmarks import million_users
from svoykrug_server.analytics.churn.card import card_document
from svoykrug_server.analytics.churn.model import Difference, Estimate, Measurement, ModelCard
from svoykrug_server.analytics.churn.promotion import BASELINES
from svoykrug_server.storage.postgres import Postgres

MOST_PURCHASES = 1_000_000

# Whose rows are written? (of everybody who has none yet: those who signed in before have theirs)
_PEOPLE = """
    CREATE TEMPORARY TABLE people AS
    SELECT row_number() OVER (ORDER BY id)::int AS n, id, phone, status, create_time AS since,
        ('x' || left(md5(id::text), 15))::bit(60)::bigint + 1 AS member_id
    FROM users WHERE id NOT IN (SELECT user_id FROM member_links)
"""
_SHOPS = """
    CREATE TEMPORARY TABLE shops AS
    SELECT row_number() OVER (ORDER BY id)::int - 1 AS n, id, sensitive FROM businesses WHERE status = 'active'
"""
_INDEXES = ("CREATE UNIQUE INDEX ON people (n)", "CREATE UNIQUE INDEX ON shops (n)", "ANALYZE people", "ANALYZE shops")

# Which partners are there, beside those that were there before?
_BUSINESSES = """
    INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)
    SELECT gen_random_uuid(), 'Дом ' || n, (ARRAY['beauty', 'gastronomy', 'optics', 'dental'])[1 + n % 4], n % 4 = 3,
        now() - interval '800 days', now()
    FROM generate_series(1, $1::int) AS n
"""

# What belongs to a person? By table; every statement reads `people` and no statement has parameters.
_OF_PEOPLE = {
    "member_links": "INSERT INTO member_links SELECT id, member_id FROM people",
    "users": """
        UPDATE users SET referrer_id = brought.id, join_time = people.since, birth_date = '1990-01-01'
        FROM people JOIN people AS brought ON brought.n = people.n / 7 + 1
        WHERE users.id = people.id AND people.n % 20 = 0
    """,
    "auth_sessions": """
        INSERT INTO auth_sessions (
            session_id, user_id, device_name, create_time, current_hash, salt, rotation_kid, rotation_request_id,
            rotate_time, revoke_time, revoke_reason
        )
        SELECT gen_random_uuid(), id, 'Телефон', since, sha256(id::text::bytea), '\\x00', 'kid', gen_random_uuid(),
            now() - n % 90 * interval '1 day', CASE WHEN n % 9 = 0 THEN since END,
            CASE WHEN n % 9 = 0 THEN 'signed_out' END
        FROM people CROSS JOIN generate_series(0, n % 3) WHERE status <> 'unclaimed'
    """,
    "auth_last_seen": """
        INSERT INTO auth_last_seen
        SELECT id, now() - n % 900 * interval '1 day' FROM people WHERE status <> 'unclaimed'
    """,
    "auth_wrong_birth_dates": """
        INSERT INTO auth_wrong_birth_dates (user_id, guess_time)
        SELECT id, now() - n % 1000 * interval '1 hour' FROM people WHERE n % 20 = 3
    """,
    "auth_challenges": """
        INSERT INTO auth_challenges (
            challenge_id, phone, pepper_kid, create_time, expire_time, consume_time, consume_request_id, session_id,
            purpose, user_id
        )
        SELECT gen_random_uuid(), phone, 'kid', asked, asked + interval '5 minutes', asked, gen_random_uuid(),
            gen_random_uuid(), CASE WHEN n % 90 = 0 THEN 'phone_change' ELSE 'sign_in' END,
            CASE WHEN n % 90 = 0 THEN id END
        FROM (SELECT *, now() - n * interval '1 second' AS asked FROM people WHERE n % 3 = 0) AS signing_in
    """,
    "auth_code_sends": """
        INSERT INTO auth_code_sends (challenge_id, phone, address, prefix, send_time, verified)
        SELECT gen_random_uuid(), phone, '10.' || n % 200 || '.' || n / 200 % 250 || '.' || n / 50000, '7',
            now() - n * interval '1 second', n % 30 <> 0
        FROM people WHERE n % 3 = 0
    """,
    "auth_prefixes": """
        UPDATE auth_prefixes
        SET breaker_open = true, change_time = now() - interval '1 day', judge_time = now() - interval '1 day'
    """,
    "auth_wrong_guesses": """
        INSERT INTO auth_wrong_guesses (phone, guess_time)
        SELECT phone, now() - n * interval '1 second' FROM people WHERE n % 10 = 0
    """,
    "sms_messages": """
        INSERT INTO sms_messages (
            message_id, idempotency_key, phone, template, challenge_id, locale, state, create_time, next_attempt_time,
            expire_time, end_time, provider, delivery_state
        )
        SELECT gen_random_uuid(), 'filled-' || n, phone, 'sign_in_code', gen_random_uuid(), 'ru', 'sent', asked, asked,
            asked, asked, 'smsc', 'delivered'
        FROM (SELECT *, now() - n * interval '1 second' AS asked FROM people WHERE n % 3 = 0) AS signing_in
    """,
    "sms_attempts": """
        INSERT INTO sms_attempts (message_id, provider, attempt_time, outcome)
        SELECT message_id, 'smsc', create_time, 'taken' FROM sms_messages
    """,
    "user_consents": """
        INSERT INTO user_consents (user_id, kind, document_version, granted, consent_time)
        SELECT id, kind, '2026-11', true, since
        FROM people CROSS JOIN unnest(ARRAY['terms', 'personal_data', 'marketing']) AS kind
    """,
    "number_bans": """
        INSERT INTO number_bans SELECT id, sha256(phone::bytea), now() + interval '1 year' FROM people WHERE n % 50 = 0
    """,
    "erasures": """
        INSERT INTO erasures (id, state, request_time, erase_time, next_attempt_time, done_time, tables)
        SELECT gen_random_uuid(), 'done', since, since, since, since, '[]' FROM people WHERE n % 20 = 0
    """,
    "wallet_codes": """
        INSERT INTO wallet_codes
        SELECT sha256(id::text::bytea), id, now() + interval '1 minute', CASE WHEN n % 2 = 0 THEN now() END
        FROM people WHERE n % 10 = 0
    """,
    "wallet_guesses": """
        INSERT INTO wallet_guesses (caller_id, guess_time) SELECT id, now() FROM people WHERE n % 20 = 0
    """,
    "audit_events": """
        INSERT INTO audit_events (
            event_id, event_time, action, result, actor_kind, actor_id, target_kind, target_id, peer_address,
            request_id, details
        )
        SELECT gen_random_uuid(), now() - (n + place) * interval '40 seconds',
            (ARRAY['SIGNED_IN', 'SESSION_REVOKED', 'USER_UPDATED'])[1 + place], 'done', 'user', id, 'session',
            gen_random_uuid()::text, '10.0.0.1', gen_random_uuid()::text, '{}'
        FROM people CROSS JOIN generate_series(0, 2) AS place
    """,
    "idempotency_records": """
        INSERT INTO idempotency_records
        SELECT id::text, '/svoykrug.users.v1.UsersService/UpdateMe', gen_random_uuid(), '\\x00', '{}',
            now() - n % 600000 * interval '1 second'
        FROM people WHERE n % 5 = 0
    """,
    "business_staff": """
        INSERT INTO business_staff
        SELECT shops.id, people.id, CASE WHEN people.n % 9 = 0 THEN 'owner' ELSE 'staff' END, now(), now()
        FROM people JOIN shops ON shops.n = people.n % (SELECT count(*) FROM shops) WHERE people.n <= 6000
    """,
    "auth_revocations": """
        INSERT INTO auth_revocations (grant_id, ended, access_epoch, revoke_time, until_time)
        SELECT gen_random_uuid(), true, 1, now(), now() + interval '10 minutes' FROM people WHERE n <= 500
    """,
    "auth_used_assertions": """
        INSERT INTO auth_used_assertions
        SELECT gen_random_uuid(), sha256(id::text::bytea), now() FROM people WHERE n % 20 = 1
    """,
}

# What did members buy? (one purchase in fifty is given back in part, one in twenty is of somebody who was erased; of
# the last days the warehouse knows everything)
_PURCHASES = """
    INSERT INTO purchase_entries (
        entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor, purchase_time, kind, sensitive,
        currency_code, external_id, external_id_hash
    )
    SELECT CASE kind WHEN 1 THEN purchase_id ELSE gen_random_uuid() END, purchase_id, business_id, member_id, outbox_id,
        CASE kind WHEN 1 THEN 10000 ELSE -500 END, bought, kind, sensitive, 'RUB',
        CASE WHEN number % 20 <> 7 THEN kind || '-' || number END,
        CASE WHEN number % 20 = 7 THEN sha256((kind || '-' || number)::bytea) END
    FROM (
        SELECT number, gen_random_uuid() AS purchase_id, shops.id AS business_id, shops.sensitive, people.member_id,
            1000 + number / 10 AS outbox_id,
            now() - interval '3 days' - (number::bigint * 7919 % 63072000) * interval '1 second' AS bought
        FROM generate_series(1, $1::int) AS number
        JOIN people ON people.n = 1 + number::bigint * 15485863 % (SELECT count(*) FROM people)
        JOIN shops ON shops.n = abs(hashint4(number)) % (SELECT count(*) FROM shops)
    ) AS sold
    CROSS JOIN generate_series(1, CASE WHEN number % 50 = 0 THEN 2 ELSE 1 END) AS kind
"""

# Which models were trained, each for another horizon, so that none is compared with another?
_MODELS = """
    INSERT INTO churn_models (
        id, business_id, horizon_days, population_days, test_cutoff_time, training_cutoff_times, watermark, algorithm,
        features, card, document, create_time
    )
    SELECT gen_random_uuid(), scope.id, 90 - place, 0, now() - interval '90 days',
        ARRAY[now() - interval '180 days', now() - interval '270 days'], now(), 'logistic', '{}',
        $1::text::jsonb, '{}', now()
    FROM (SELECT id FROM shops UNION ALL SELECT NULL) AS scope CROSS JOIN generate_series(1, 50) AS place
"""
_SURE = Estimate(0.5, 0.4, 0.6)
_CARD = ModelCard(
    test_member_count=1000,
    test_base_rate=0.2,
    metrics=(Measurement("model", {"brier_skill": _SURE}, 1.0),),
    metrics_everyone=(),
    calibration=(),
    differences=tuple(Difference(name, "roc_auc", _SURE, 1.0) for name in BASELINES),
    training_member_counts=(1000, 1000),
    training_base_rates=(0.2, 0.2),
)

# What follows purchases and businesses; the queues among these tables are empty but for what was just written.
_OF_BUSINESSES = {
    "outbox": """
        INSERT INTO outbox
        SELECT outbox_id, (array_agg(business_id))[1], count(*), now() - interval '1 day', outbox_id / 10
        FROM purchase_entries WHERE outbox_id >= 1000 GROUP BY outbox_id
    """,
    "sealed_batches": """
        INSERT INTO sealed_batches
        SELECT batch_id, now() - interval '1 day' + batch_id * interval '1 millisecond', count(*), '\\x00', now()
        FROM outbox WHERE batch_id IS NOT NULL AND batch_id NOT IN (SELECT batch_id FROM sealed_batches)
        GROUP BY batch_id
    """,
    "proven_days": """
        INSERT INTO proven_days (business_id, day, touched_batch_id, proven_batch_id, proven_time)
        SELECT id, current_date - day, 0, 0, now() FROM shops CROSS JOIN generate_series(1, 730) AS day
        ON CONFLICT DO NOTHING
    """,
    "rejected_rows": """
        INSERT INTO rejected_rows
        SELECT shops.id, 'kept-' || people.n, NULL, people.phone, 100, 'RUB', now(), now() - people.n * interval '1 s'
        FROM people JOIN shops ON shops.n = people.n % (SELECT count(*) FROM shops) WHERE people.n % 5 = 0
    """,
    "csv_imports": """
        INSERT INTO csv_imports (
            id, business_id, state, told_format, operation_id, run_id, row_count, rejected_count, create_time
        )
        SELECT gen_random_uuid(), shops.id, CASE n.n WHEN 1 THEN 'tried' ELSE 'written' END,
            '{"delimiter": ";"}', gen_random_uuid(), gen_random_uuid(), 3, 3, now() - n.n * interval '7 days'
        FROM shops CROSS JOIN generate_series(1, 100) AS n
    """,
    "import_reports": """
        INSERT INTO import_reports
        SELECT id, CASE WHEN state = 'tried' THEN id END, business_id, 1, false FROM csv_imports
    """,
    "import_rejections": """
        INSERT INTO import_rejections
        SELECT import_id, row_number, business_id, NULL, people.phone, 'r-' || row_number, 'MEMBER_UNKNOWN', 'phone'
        FROM (SELECT *, row_number() OVER ()::int AS n FROM import_reports WHERE csv_import_id IS NULL) AS report
        JOIN people USING (n) CROSS JOIN generate_series(0, 4) AS row_number
    """,
    "csv_rows": """
        INSERT INTO csv_rows
        SELECT report.id, line, 'rejected', people.phone, 'r-' || line, 100, now(), 'MEMBER_UNKNOWN', 'phone', NULL
        FROM (SELECT *, row_number() OVER ()::int AS n FROM csv_imports) AS report
        JOIN people USING (n) CROSS JOIN generate_series(2, 4) AS line
    """,
    "operations": """
        INSERT INTO operations (
            id, kind, parameters, starter_id, state, result, percent, due_time, create_time, start_time, end_time
        )
        SELECT gen_random_uuid(), 'create_snapshot', '{}', people.id, 'succeeded', '{}', 100, now(), now(), now(), now()
        FROM people WHERE n % 10 = 0
    """,
    "scheduled_runs": """
        INSERT INTO scheduled_runs (job, period, state, create_time, end_time)
        SELECT job, to_char(current_date - day, 'YYYY-MM-DD'), 'done', now(), now()
        FROM unnest(ARRAY['snapshots', 'scoring', 'forecast_receipts', 'tiers', 'retention']) AS job
        CROSS JOIN generate_series(1, 1500) AS day
        ON CONFLICT DO NOTHING
    """,
    "snapshots": """
        INSERT INTO snapshots (
            id, business_id, cutoff_time, window_days, watermark, rules_version, build_id, member_count, content_hash,
            create_time, publish_time
        )
        SELECT gen_random_uuid(), scope.id, cutoff, 365, cutoff, '1', gen_random_uuid(), 0, 0, cutoff, cutoff
        FROM (SELECT id FROM shops UNION ALL SELECT NULL) AS scope
        CROSS JOIN LATERAL (
            SELECT now() - day * interval '1 day' AS cutoff FROM generate_series(30, 330) AS day
        ) AS days
    """,
    "churn_scorings": """
        INSERT INTO churn_scorings (
            id, model_id, business_id, cutoff_time, watermark, scored_count, create_time, build_id, backtest
        )
        SELECT gen_random_uuid(), model.id, business_id, cutoff, cutoff, 0, cutoff, gen_random_uuid(), false
        FROM (SELECT DISTINCT ON (business_id) id, business_id FROM churn_models ORDER BY business_id, id) AS model
        CROSS JOIN LATERAL (
            SELECT now() - day * interval '1 day' AS cutoff FROM generate_series(30, 330) AS day
        ) AS days
    """,
    "churn_receipts": """
        INSERT INTO churn_receipts
        SELECT id, 1000, 0.2, 0.2, '{"roc_auc": 0.7, "brier": 0.1, "ece": 0.1}', '[]', now(), now()
        FROM churn_scorings WHERE cutoff_time < now() - interval '90 d'
    """,
}


async def fill(postgres: Postgres, members: int) -> None:
    """Writes so many members and what goes with them, and lets the database learn its statistics."""
    await million_users.fill(postgres, members)
    connection = await postgres.dedicated()
    # Foreign keys and triggers are asked row by row; nothing here breaks them.
    await connection.execute("SET session_replication_role = replica; SET statement_timeout = 0; SET work_mem = '64MB'")
    await connection.execute(_BUSINESSES, 100 + members // 5_000)
    for statement in (_PEOPLE, _SHOPS, *_INDEXES, *_OF_PEOPLE.values()):
        await connection.execute(statement)
    await connection.execute(_PURCHASES, min(3 * members, MOST_PURCHASES))
    await connection.execute(_MODELS, json.dumps(card_document(_CARD)))
    for statement in _OF_BUSINESSES.values():
        await connection.execute(statement)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
