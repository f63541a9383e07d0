"""What auth keeps about a person, and what becomes of it when she is erased."""

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

# Lists of ids and numbers are arrays, made once: so both sides of an OR are searched by an index.
_HER_SESSIONS = "ARRAY(SELECT session_id FROM auth_sessions WHERE auth_sessions.user_id = :user_id)"
# Whatever phone she had: the one of today, the one of a sign-in that opened a session of hers, the one she changes to.
_CHALLENGE_IS_HERS = (
    f"(challenge.phone = :phone OR challenge.user_id = :user_id OR challenge.session_id = ANY({_HER_SESSIONS}))"
)
_HER_CHALLENGES = f"ARRAY(SELECT challenge_id FROM auth_challenges AS challenge WHERE {_CHALLENGE_IS_HERS})"  # noqa: S608 - constants only
# The numbers that her codes came to, and those that were told of a change of hers, unless somebody has them now.
_HER_PHONES = f"""ARRAY(
    SELECT :phone UNION SELECT phone FROM (
        SELECT proof.phone FROM auth_challenges AS proof WHERE proof.session_id = ANY({_HER_SESSIONS})
        UNION ALL SELECT notice.phone FROM sms_messages AS notice JOIN auth_challenges AS change
            ON notice.idempotency_key = 'phone-changed-' || change.challenge_id WHERE change.user_id = :user_id
    ) AS former WHERE NOT EXISTS (SELECT FROM users WHERE users.phone = former.phone)
)"""  # noqa: S608 - constants only
_UNUSED = "kept.user_id IS NULL AND kept.session_id IS NULL"
_SENT_TO_HER = f"(kept.phone = ANY({_HER_PHONES}) OR kept.challenge_id = ANY({_HER_CHALLENGES}))"
_TRIED_ON_HER = f"""
    kept.actor_id IS NULL AND kept.target_kind IN ('session', 'challenge')
        AND kept.target_id = ANY(CAST({_HER_SESSIONS} || {_HER_CHALLENGES} AS text[]))
"""
_HER_MESSAGES = f"ARRAY(SELECT message_id FROM sms_messages AS kept WHERE {_SENT_TO_HER})"  # noqa: S608 - constants only

# Her numbers are read from the notices and the challenges that she proved: those go last.
PERSONAL = (
    PersonalRows(
        "audit_events",
        Purpose("What was tried with your tokens and codes", "Что пробовали с вашими токенами и кодами"),
        _TRIED_ON_HER,
        Change("peer_address = NULL"),
        columns=("event_id", "event_time", "action", "result", "peer_address"),
    ),
    PersonalRows(
        "sms_attempts",
        Purpose("Attempts to send you SMS", "Попытки отправить вам SMS"),
        f"kept.message_id = ANY({_HER_MESSAGES})",
        Delete(),
    ),
    PersonalRows(
        "auth_code_sends",
        Purpose("Codes sent to you, for the limits", "Отправки кодов, для лимитов"),
        _SENT_TO_HER,
        Delete(),
    ),
    PersonalRows(
        "auth_wrong_guesses",
        Purpose("Wrong codes typed for your phone", "Неверно введённые коды для вашего телефона"),
        f"kept.phone = ANY({_HER_PHONES})",
        Delete(),
    ),
    PersonalRows(
        "auth_challenges",
        Purpose("Sign-ins that were begun and not completed", "Начатые и не завершённые входы"),
        f"kept.phone = ANY({_HER_PHONES}) AND {_UNUSED}",
        Delete(),
    ),
    PersonalRows("sms_messages", Purpose("SMS sent to you", "Отправленные вам SMS"), _SENT_TO_HER, Delete()),
    PersonalRows(
        "auth_wrong_birth_dates",
        Purpose("Wrong birth dates told for your account", "Неверно названные даты рождения"),
        "kept.user_id = :user_id",
        Delete(),
    ),
    PersonalRows(
        "auth_demo_phones",
        Purpose("Phones for reviewers of the app", "Телефоны для проверки приложения"),
        "kept.phone = :phone",
        Delete(),
        secrets=frozenset({"code_hash"}),
    ),
    PersonalRows(
        "auth_challenges",
        Purpose("Sign-ins and changes of phone", "Входы и смены телефона"),
        f"{_CHALLENGE_IS_HERS.replace('challenge.', 'kept.')} AND NOT ({_UNUSED})",
        Delete(),
    ),
    PersonalRows(
        "auth_revocations",
        Purpose("Access that was ended early", "Досрочно закрытые доступы"),
        f"kept.grant_id = ANY({_HER_SESSIONS})",
        Stay("Every server must know for some minutes that the access ended; then the rows go."),
    ),
    PersonalRows(
        "auth_last_seen", Purpose("When you were here last", "Последний визит"), "kept.user_id = :user_id", Delete()
    ),
    PersonalRows(
        "auth_sessions",
        Purpose("Devices on which you signed in", "Устройства, на которых вы входили"),
        "kept.user_id = :user_id",
        Delete(),
        secrets=frozenset({"current_hash", "previous_hash", "salt"}),
    ),
)

IMPERSONAL = (
    Impersonal(Store.POSTGRES, "auth_prefixes", "counts by country"),
    Impersonal(Store.POSTGRES, "auth_prefix_minutes", "counts by country and minute"),
    Impersonal(Store.POSTGRES, "auth_signing_keys", "the server's own keys"),
    Impersonal(Store.POSTGRES, "auth_service_accounts", "programs, not people"),
    Impersonal(Store.POSTGRES, "auth_service_keys", "keys of programs"),
    Impersonal(Store.POSTGRES, "auth_used_assertions", "hashes of what programs showed"),
)

DECLARED = Declared(personal=PERSONAL, impersonal=IMPERSONAL)
