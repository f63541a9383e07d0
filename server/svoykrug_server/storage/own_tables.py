"""What the tables that every feature writes keep about a person, and what becomes of it when she is erased."""

from svoykrug_server.storage.personal_data import (
    Change,
    Declared,
    Delete,
    Impersonal,
    PersonalRows,
    Purpose,
    Stay,
    Store,
)

_KEPT_EVENTS = "The trail of what was done cannot be changed. It names her by her id alone, which leads nowhere then."

DECLARED = Declared(
    personal=(
        PersonalRows(
            "idempotency_records",
            Purpose("Answers kept for repeated requests", "Ответы, сохранённые для повторных запросов"),
            "kept.subject = CAST(:user_id AS text)",
            Delete(),
            secrets=frozenset({"request_hash"}),
        ),
        PersonalRows(
            "audit_events",
            Purpose("What you did", "Что вы делали"),
            "kept.actor_id = :user_id",
            Change("peer_address = NULL"),
        ),
        PersonalRows(
            "audit_events",
            Purpose("What others did to your account", "Что делали с вашим аккаунтом другие"),
            "kept.target_kind = 'user' AND kept.target_id = CAST(:user_id AS text) AND kept.actor_id <> :user_id",
            Stay(_KEPT_EVENTS),
            columns=("event_id", "event_time", "action", "result", "actor_kind"),
        ),
        PersonalRows(
            "audit_events",
            Purpose("What was tried at your account without a sign-in", "Что пробовали с вашим аккаунтом без входа"),
            "kept.target_kind = 'user' AND kept.target_id = CAST(:user_id AS text) AND kept.actor_id IS NULL",
            Change("peer_address = NULL"),
            columns=("event_id", "event_time", "action", "result", "peer_address"),
        ),
    ),
    impersonal=(
        Impersonal(Store.POSTGRES, "alembic_version", "which migrations were applied"),
        Impersonal(Store.CLICKHOUSE, "schema_migrations", "which migrations were applied"),
    ),
)
