"""Tables of the auth feature: challenges, sessions, revocations, signing keys, service accounts and the SMS queue.

No secret stands in them: codes and refresh tokens are derived from keys that live outside Postgres, and private keys
are encrypted.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from svoykrug_server.storage.schema.base import INSTANT, metadata

auth_challenges = sa.Table(
    "auth_challenges",
    metadata,
    sa.Column("challenge_id", sa.Uuid, primary_key=True, comment="128 random bits"),
    sa.Column("phone", sa.Text, nullable=False, comment="E.164"),
    sa.Column("pepper_kid", sa.Text, nullable=False, comment="the pepper its code is derived with"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("expire_time", INSTANT, nullable=False),
    sa.Column("wrong_guess_count", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("consume_time", INSTANT, comment="when its code was used; a code is good once"),
    sa.Column("consume_request_id", sa.Uuid, comment="the request that may be repeated"),
    sa.Column("session_id", sa.Uuid, comment="the session it opened; null when the sign-in was refused after the code"),
    sa.Column("new_user", sa.Boolean, comment="whether that sign-in created or claimed the user"),
    sa.Column("purpose", sa.Text, nullable=False, server_default="sign_in", comment="its code is good for that"),
    sa.Column("user_id", sa.Uuid, comment="who changes her phone; null for a sign-in"),
    sa.Column("revoked_count", sa.Integer, comment="how many sessions a phone change ended"),
    sa.Column("demo", sa.Boolean, nullable=False, server_default=sa.false(), comment="its code is its phone's own"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.CheckConstraint("wrong_guess_count >= 0", name="auth_challenges_wrong_guess_count_check"),
    sa.CheckConstraint("purpose IN ('sign_in', 'phone_change')", name="auth_challenges_purpose_check"),
    sa.CheckConstraint("(purpose = 'phone_change') = (user_id IS NOT NULL)", name="auth_challenges_user_check"),
    sa.Index(None, "expire_time"),
    sa.Index(None, "user_id", postgresql_where=sa.text("user_id IS NOT NULL")),
    sa.Index(None, "phone"),
    sa.Index(None, "session_id", postgresql_where=sa.text("session_id IS NOT NULL")),
)

auth_code_sends = sa.Table(
    "auth_code_sends",
    metadata,
    sa.Column("send_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("challenge_id", sa.Uuid, nullable=False),
    sa.Column("phone", sa.Text, nullable=False, comment="E.164"),
    sa.Column("address", sa.Text, nullable=False, comment="IPv4 address or IPv6 /64 network that asked"),
    sa.Column("send_time", INSTANT, nullable=False),
    sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.false(), comment="its code came back right"),
    sa.Column(
        "prefix",
        sa.Text,
        nullable=False,
        server_default="",
        comment="the country's calling code; empty for a demo phone",
    ),
    sa.Index(None, "phone", "send_time"),
    sa.Index(None, "address", "send_time"),
    sa.Index(None, "prefix", "send_time"),
    sa.Index(None, "challenge_id"),
    sa.Index(None, "send_time"),
)

auth_prefixes = sa.Table(
    "auth_prefixes",
    metadata,
    sa.Column("prefix", sa.Text, primary_key=True, comment="a country's calling code, such as 7"),
    sa.Column("breaker_open", sa.Boolean, nullable=False, server_default=sa.false(), comment="only probes pass"),
    sa.Column("change_time", INSTANT, nullable=False, comment="when the breaker opened or closed last"),
    sa.Column("judge_time", INSTANT, nullable=False, comment="when its sends were last looked at"),
)

auth_prefix_minutes = sa.Table(
    "auth_prefix_minutes",
    metadata,
    sa.Column("prefix", sa.Text, primary_key=True),
    sa.Column("minute_time", INSTANT, primary_key=True, comment="when the minute began"),
    sa.Column("send_count", sa.Integer, nullable=False),
    sa.Column("probe_count", sa.Integer, nullable=False, comment="how many of them passed an open breaker"),
    sa.CheckConstraint("probe_count BETWEEN 0 AND send_count", name="auth_prefix_minutes_probe_count_check"),
    sa.Index(None, "minute_time"),
)

auth_demo_phones = sa.Table(
    "auth_demo_phones",
    metadata,
    sa.Column("phone", sa.Text, primary_key=True, comment="E.164"),
    sa.Column("code_hash", sa.LargeBinary, nullable=False, comment="HMAC-SHA-256 of phone and code"),
    sa.Column("code_kid", sa.Text, nullable=False, comment="the pepper it is made with"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("expire_time", INSTANT, nullable=False, comment="when its code stops working"),
    sa.CheckConstraint("octet_length(code_hash) = 32", name="auth_demo_phones_code_hash_check"),
)

auth_wrong_guesses = sa.Table(
    "auth_wrong_guesses",
    metadata,
    sa.Column("guess_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("phone", sa.Text, nullable=False, comment="E.164"),
    sa.Column("guess_time", INSTANT, nullable=False),
    sa.Index(None, "phone", "guess_time"),
    sa.Index(None, "guess_time"),
)

auth_last_seen = sa.Table(
    "auth_last_seen",
    metadata,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("seen_time", INSTANT, nullable=False, comment="a sign-in, or a refresh; exact to a day"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
)

auth_wrong_birth_dates = sa.Table(
    "auth_wrong_birth_dates",
    metadata,
    sa.Column("guess_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("guess_time", INSTANT, nullable=False),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.Index(None, "user_id", "guess_time"),
    sa.Index(None, "guess_time"),
)

auth_sessions = sa.Table(
    "auth_sessions",
    metadata,
    sa.Column("session_id", sa.Uuid, primary_key=True, comment="UUID version 7"),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("device_name", sa.Text, nullable=False),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("current_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of the refresh token's secret"),
    sa.Column("previous_hash", sa.LargeBinary, comment="SHA-256 of the one before; null until the first rotation"),
    sa.Column("salt", sa.LargeBinary, nullable=False, comment="what the current token was derived with"),
    sa.Column("rotation_kid", sa.Text, nullable=False, comment="the rotation key it was derived with"),
    sa.Column("rotation_request_id", sa.Uuid, nullable=False, comment="the request that may be repeated"),
    sa.Column(
        "rotate_time", INSTANT, nullable=False, comment="when the current token was made: the idle limit's start"
    ),
    sa.Column(
        "access_epoch", sa.Integer, nullable=False, server_default="1", comment="access tokens of lower ones are dead"
    ),
    sa.Column("revoke_time", INSTANT),
    sa.Column("revoke_reason", sa.Text),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.CheckConstraint("octet_length(current_hash) = 32", name="auth_sessions_current_hash_check"),
    sa.CheckConstraint("char_length(device_name) BETWEEN 1 AND 100", name="auth_sessions_device_name_check"),
    sa.CheckConstraint("(revoke_time IS NULL) = (revoke_reason IS NULL)", name="auth_sessions_revoke_check"),
    sa.Index(None, "user_id", "rotate_time"),
)

auth_revocations = sa.Table(
    "auth_revocations",
    metadata,
    sa.Column("revocation_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("grant_id", sa.Uuid, nullable=False, comment="a session, or a service account"),
    sa.Column("ended", sa.Boolean, nullable=False, comment="true: sign in again; false: refresh"),
    sa.Column("access_epoch", sa.Integer, nullable=False, comment="access tokens of lower epochs are dead"),
    sa.Column("revoke_time", INSTANT, nullable=False),
    sa.Column("until_time", INSTANT, nullable=False, comment="when every token it kills would be dead anyway"),
    sa.Index(None, "until_time"),
)

auth_signing_keys = sa.Table(
    "auth_signing_keys",
    metadata,
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False, comment="DER, SubjectPublicKeyInfo"),
    sa.Column("sealed_private_key", sa.LargeBinary, nullable=False, comment="nonce, then PKCS#8 under AES-256-GCM"),
    sa.Column("encryption_kid", sa.Text, nullable=False, comment="the key encryption key it is sealed with"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("activate_time", INSTANT),
    sa.Column("retire_time", INSTANT),
    sa.Column("verify_until_time", INSTANT, comment="until when tokens of a retired key are taken"),
    sa.CheckConstraint("algorithm IN ('ES256', 'RS256')", name="auth_signing_keys_algorithm_check"),
    sa.CheckConstraint("state IN ('next', 'active', 'retired')", name="auth_signing_keys_state_check"),
    sa.CheckConstraint(
        "(state = 'retired') = (retire_time IS NOT NULL AND verify_until_time IS NOT NULL)",
        name="auth_signing_keys_retired_check",
    ),
    sa.Index("auth_signing_keys_one_active_key", "state", unique=True, postgresql_where=sa.text("state = 'active'")),
)

auth_service_accounts = sa.Table(
    "auth_service_accounts",
    metadata,
    sa.Column("service_account_id", sa.Uuid, primary_key=True, comment="UUID version 7"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", pg.ARRAY(sa.Text), nullable=False),
    sa.Column(
        "access_epoch", sa.Integer, nullable=False, server_default="1", comment="access tokens of lower ones are dead"
    ),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("disable_time", INSTANT),
    sa.UniqueConstraint("name"),
    sa.CheckConstraint("name ~ '^[a-z][a-z0-9-]{1,62}$'", name="auth_service_accounts_name_check"),
)

auth_service_keys = sa.Table(
    "auth_service_keys",
    metadata,
    sa.Column("service_account_id", sa.Uuid, primary_key=True),
    sa.Column("kid", sa.Text, primary_key=True, comment="the RFC 7638 thumbprint of the public key"),
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False, comment="DER, SubjectPublicKeyInfo"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.ForeignKeyConstraint(["service_account_id"], ["auth_service_accounts.service_account_id"], ondelete="CASCADE"),
    sa.CheckConstraint("algorithm IN ('ES256', 'RS256')", name="auth_service_keys_algorithm_check"),
)

auth_used_assertions = sa.Table(
    "auth_used_assertions",
    metadata,
    sa.Column("service_account_id", sa.Uuid, primary_key=True),
    sa.Column("jti_hash", sa.LargeBinary, primary_key=True, comment="SHA-256 of the assertion's jti: good once"),
    sa.Column("expire_time", INSTANT, nullable=False, comment="when the assertion would be refused anyway"),
    sa.Index(None, "expire_time"),
)

sms_messages = sa.Table(
    "sms_messages",
    metadata,
    sa.Column("message_id", sa.Uuid, primary_key=True, comment="UUID version 7"),
    sa.Column("idempotency_key", sa.Text, nullable=False, comment="what it tells of: one message for each"),
    sa.Column("phone", sa.Text, nullable=False, comment="E.164"),
    sa.Column("template", sa.Text, nullable=False),
    sa.Column("challenge_id", sa.Uuid, comment="whose code it carries; the code itself is derived when it is sent"),
    sa.Column("locale", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt_count", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column(
        "next_attempt_time", INSTANT, nullable=False, comment="also the end of the lease of an attempt under way"
    ),
    sa.Column("expire_time", INSTANT, nullable=False, comment="after it the message is worth nothing and is not sent"),
    sa.Column("end_time", INSTANT, comment="when it was sent or given up"),
    sa.Column("provider", sa.Text, comment="who took it"),
    sa.Column("provider_message_id", sa.Text),
    sa.Column("failure", sa.Text, comment="what kind of failure the last attempt was"),
    sa.Column(
        "doubt_count",
        sa.SmallInteger,
        nullable=False,
        server_default="0",
        comment="attempts that may have reached her although nobody said so",
    ),
    sa.Column("delivery_state", sa.Text, comment="null: nothing is known, or the provider says nothing"),
    sa.Column("delivery_failure", sa.Text, comment="why it did not arrive"),
    sa.Column("delivery_time", INSTANT, comment="when the provider said so last"),
    sa.Column("next_status_time", INSTANT, comment="when the provider is asked; null: no more"),
    sa.Column("status_check_count", sa.SmallInteger, nullable=False, server_default="0"),
    sa.UniqueConstraint("idempotency_key"),
    sa.CheckConstraint(
        "template IN ('sign_in_code', 'phone_change_code', 'phone_changed', 'session_compromised')",
        name="sms_messages_template_check",
    ),
    sa.CheckConstraint(
        "(template IN ('sign_in_code', 'phone_change_code')) = (challenge_id IS NOT NULL)",
        name="sms_messages_challenge_check",
    ),
    sa.CheckConstraint("state IN ('queued', 'sent', 'failed', 'expired')", name="sms_messages_state_check"),
    sa.CheckConstraint("locale IN ('ru', 'en')", name="sms_messages_locale_check"),
    sa.CheckConstraint(
        "delivery_state IN ('queued', 'sent', 'delivered', 'undeliverable', 'expired', 'unknown')",
        name="sms_messages_delivery_state_check",
    ),
    sa.CheckConstraint(
        "(delivery_state IS NOT DISTINCT FROM 'undeliverable') = (delivery_failure IS NOT NULL)",
        name="sms_messages_delivery_failure_check",
    ),
    sa.Index(None, "next_attempt_time", postgresql_where=sa.text("state = 'queued'")),
    sa.Index(None, "next_status_time", postgresql_where=sa.text("next_status_time IS NOT NULL")),
    sa.Index(None, "phone", "create_time"),
    sa.Index(None, "create_time"),
    sa.Index(None, "challenge_id", postgresql_where=sa.text("challenge_id IS NOT NULL")),
)

sms_attempts = sa.Table(
    "sms_attempts",
    metadata,
    sa.Column("attempt_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("message_id", sa.Uuid, nullable=False),
    sa.Column("provider", sa.Text, nullable=False, comment="who was asked"),
    sa.Column("attempt_time", INSTANT, nullable=False, comment="when it ended"),
    sa.Column("outcome", sa.Text, nullable=False, comment="taken, or the kind of its failure"),
    sa.ForeignKeyConstraint(["message_id"], ["sms_messages.message_id"], ondelete="CASCADE"),
    sa.Index(None, "message_id"),
)
