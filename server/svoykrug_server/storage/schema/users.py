"""Tables of the users feature: people, their consents, and the link to the number the warehouse knows them by.

Values that a rule of the circle restricts (tier, role, status, consent kind) are text with a check instead of a
Postgres enum type, because a check can be widened inside a transaction.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from svoykrug_server.storage.schema.base import INSTANT, metadata

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True, comment="UUID version 7, made by the server"),
    sa.Column("phone", sa.Text, comment="E.164; null once erased"),
    sa.Column("display_name", sa.Text, nullable=False, server_default=""),
    sa.Column("email", sa.Text, nullable=False, server_default=""),
    sa.Column("birth_date", sa.Date),
    sa.Column("locale", sa.Text, nullable=False, server_default="ru"),
    sa.Column("tier", sa.Text, nullable=False, server_default="insider"),
    sa.Column(
        "tier_pinned",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="an admin set the tier: it does not follow purchases",
    ),
    sa.Column("roles", pg.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{member}'::text[]")),
    sa.Column("status", sa.Text, nullable=False, comment="unclaimed until the first sign-in with the phone"),
    sa.Column(
        "version", sa.BigInteger, nullable=False, server_default="1", comment="grows by one at each write: the etag"
    ),
    sa.Column("referral_code", sa.Text, comment="given at the first sign-in"),
    sa.Column(
        "demo", sa.Boolean, nullable=False, server_default=sa.false(), comment="signs in by a demo phone: no purchases"
    ),
    sa.Column("referrer_id", sa.Uuid, comment="who invited her; named once, at the first sign-in"),
    sa.Column("join_time", INSTANT, comment="her first sign-in; null while unclaimed"),
    sa.Column("create_time", INSTANT, nullable=False),
    sa.Column("update_time", INSTANT, nullable=False),
    sa.UniqueConstraint("phone"),
    sa.UniqueConstraint("referral_code"),
    sa.ForeignKeyConstraint(["referrer_id"], ["users.id"], ondelete="SET NULL"),
    sa.CheckConstraint("phone ~ '^\\+[1-9][0-9]{6,14}$'", name="users_phone_check"),
    sa.CheckConstraint("char_length(display_name) <= 100", name="users_display_name_check"),
    sa.CheckConstraint("char_length(email) <= 254", name="users_email_check"),
    sa.CheckConstraint("locale IN ('ru', 'en')", name="users_locale_check"),
    sa.CheckConstraint("tier IN ('insider', 'vip', 'elite', 'inner_circle')", name="users_tier_check"),
    sa.CheckConstraint("roles <@ '{member,admin,superadmin}'::text[]", name="users_roles_check"),
    sa.CheckConstraint("NOT demo OR roles <@ '{member}'::text[]", name="users_demo_has_no_role_check"),
    sa.CheckConstraint("status IN ('unclaimed', 'active', 'banned', 'deleted')", name="users_status_check"),
    sa.CheckConstraint("referral_code ~ '^[A-Z0-9]{6,10}$'", name="users_referral_code_check"),
    sa.CheckConstraint("status <> 'active' OR referral_code IS NOT NULL", name="users_active_has_code_check"),
    sa.CheckConstraint("referrer_id <> id", name="users_referrer_is_another_check"),
    sa.Index("users_superadmins_idx", "id", postgresql_where=sa.text("'superadmin' = ANY (roles)")),
    sa.Index(None, "referrer_id", "join_time", "id", postgresql_where=sa.text("referrer_id IS NOT NULL")),
    sa.Column(
        "search_name",
        sa.Text,
        sa.Computed("searched_name(display_name)", persisted=True),
        comment="the words of its spellings",
    ),
    sa.CheckConstraint("roles @> '{member}'::text[]", name="users_everyone_is_member_check"),
    sa.Index(
        None,
        "search_name",
        postgresql_using="gin",
        postgresql_ops={"search_name": "gin_trgm_ops"},
        postgresql_with={"fastupdate": "off"},
    ),
    sa.Index(None, "status", "tier", "create_time", "id"),
    sa.Index("users_elevated_idx", "create_time", "id", postgresql_where=sa.text("roles <> '{member}'::text[]")),
    sa.Index(
        "users_phone_end_idx",
        sa.func.reverse(sa.text("phone")).label("phone_end"),
        postgresql_ops={"phone_end": "text_pattern_ops"},
    ),
)

name_words = sa.Table(
    "name_words",
    metadata,
    sa.Column("word", sa.Text(collation="C"), primary_key=True),
    sa.Index(
        None,
        "word",
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
        postgresql_with={"fastupdate": "off"},
    ),
    comment="Every word of a searched name, once, whoever has it: what a word with a typo is compared with",
)

member_links = sa.Table(
    "member_links",
    metadata,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column(
        "member_id", sa.BigInteger, nullable=False, comment="63 random bits; all that purchases and the warehouse know"
    ),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.UniqueConstraint("member_id"),
    sa.CheckConstraint("member_id > 0", name="member_links_member_id_check"),
)

user_consents = sa.Table(
    "user_consents",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("document_version", sa.Text, nullable=False, comment="the text she was shown"),
    sa.Column("granted", sa.Boolean, nullable=False, comment="false withdraws an earlier grant"),
    sa.Column("consent_time", INSTANT, nullable=False),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.CheckConstraint("kind IN ('terms', 'personal_data', 'marketing', 'profiling')", name="user_consents_kind_check"),
    sa.CheckConstraint("char_length(document_version) BETWEEN 1 AND 32", name="user_consents_document_version_check"),
    sa.Index(None, "user_id", "kind", "id"),
)

number_bans = sa.Table(
    "number_bans",
    metadata,
    sa.Column("user_id", sa.Uuid, primary_key=True, comment="who was banned; she may be erased since"),
    sa.Column("number_hash", sa.LargeBinary, nullable=False, comment="HMAC-SHA-256 of her number, 32 bytes"),
    sa.Column("expire_time", INSTANT, nullable=False, comment="when the number may have a new owner"),
    sa.CheckConstraint("octet_length(number_hash) = 32", name="number_bans_number_hash_check"),
    sa.Index(None, "number_hash"),
    comment="Numbers that nobody joins or comes back with, because a ban outlives a deleted account",
)
