"""Tables that every feature writes: the audit trail and the answers kept for repeated requests."""

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import INET, JSONB

from svoykrug_server.storage.schema.base import INSTANT, metadata

audit_events = Table(
    "audit_events",
    metadata,
    Column("event_id", Uuid, primary_key=True, comment="UUID version 7: sorts by time"),
    Column("event_time", INSTANT, nullable=False),
    Column("action", Text, nullable=False, comment="What was done, for instance SESSION_COMPROMISED"),
    Column("result", Text, nullable=False, comment="done, or refused"),
    Column("actor_kind", Text, nullable=False, comment="user, service, operator (command line), or system"),
    Column("actor_id", Uuid, comment="Null for operator, system, and a caller who is not signed in"),
    Column("target_kind", Text, comment="What it was done to: user, session, business, ..."),
    Column("target_id", Text),
    Column("peer_address", INET, comment="Where the call came from"),
    Column("request_id", Text, comment="The call's x-request-id"),
    Column("details", JSONB, nullable=False, comment="Further facts; never a phone, name, e-mail, code or token"),
    CheckConstraint("result IN ('done', 'refused')", name="audit_events_result_check"),
    CheckConstraint("actor_kind IN ('user', 'service', 'operator', 'system')", name="audit_events_actor_kind_check"),
    Index(None, "event_time", "event_id"),
    Index(None, "actor_id", "event_time", "event_id"),
    Index(None, "target_id", "event_time", "event_id"),
    Index(None, "action", "event_time", "event_id"),
    comment="Append-only: a trigger refuses every change but taking away the address of a person who is erased",
)

idempotency_records = Table(
    "idempotency_records",
    metadata,
    Column("subject", Text, primary_key=True, comment="Who calls: a user id, a service account id, or a challenge id"),
    Column("method", Text, primary_key=True, comment="The full method name: a request id is unique per method"),
    Column("request_id", Uuid, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False, comment="SHA-256 of the request's body"),
    Column("answer", JSONB, comment="The first answer; null only inside the transaction that makes it"),
    Column("created_time", INSTANT, nullable=False),
    Index(None, "created_time"),
    comment="Answers of creates and of money calls, kept 7 days, so that a repeated call gets the first answer",
)
