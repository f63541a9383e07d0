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
    sa.CheckConstraint("wrong_guess_count >= 0", name="auth_challenges_wrong_guess_count_check"),
    sa.Index(None, "expire_time"),
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
    sa.Index(None, "phone", "send_time"),
    sa.Index(None, "address", "send_time"),
    sa.Index(None, "challenge_id"),
    sa.Index(None, "send_time"),
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
    sa.Column("idempotency_key", sa.Text, nullable=False, comment="what a provider drops repeats by"),
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
    sa.UniqueConstraint("idempotency_key"),
    sa.CheckConstraint("template IN ('sign_in_code', 'session_compromised')", name="sms_messages_template_check"),
    sa.CheckConstraint("(template = 'sign_in_code') = (challenge_id IS NOT NULL)", name="sms_messages_challenge_check"),
    sa.CheckConstraint("state IN ('queued', 'sent', 'failed', 'expired')", name="sms_messages_state_check"),
    sa.CheckConstraint("locale IN ('ru', 'en')", name="sms_messages_locale_check"),
    sa.Index(None, "next_attempt_time", postgresql_where=sa.text("state = 'queued'")),
    sa.Index(None, "create_time"),
)
