"""What auth keeps about a person, and what becomes of it when she is erased."""

from svoykrug_server.storage.personal_data import (
    Declared,
    Delete,
    Impersonal,
    PersonalRows,
    Purpose,
    Stay,
    Store,
)

# Whatever phone she had: the one of today, the one of a sign-in that opened a session of hers, the one she changes to.
_CHALLENGE_IS_HERS = """
    (challenge.phone = :phone OR challenge.user_id = :user_id OR challenge.session_id IN (
        SELECT session_id FROM auth_sessions WHERE auth_sessions.user_id = :user_id
    ))
"""
_HER_CHALLENGES = f"SELECT challenge_id FROM auth_challenges AS challenge WHERE {_CHALLENGE_IS_HERS}"  # noqa: S608 - constants only
_SENT_TO_HER = f"(kept.phone = :phone OR kept.challenge_id IN ({_HER_CHALLENGES}))"
_HER_MESSAGES = f"SELECT message_id FROM sms_messages AS kept WHERE {_SENT_TO_HER}"  # noqa: S608 - constants only

PERSONAL = (
    PersonalRows(
        "sms_attempts",
        Purpose("Attempts to send you SMS", "Попытки отправить вам SMS"),
        f"kept.message_id IN ({_HER_MESSAGES})",
        Delete(),
    ),
    PersonalRows("sms_messages", Purpose("SMS sent to you", "Отправленные вам SMS"), _SENT_TO_HER, Delete()),
    PersonalRows(
        "auth_code_sends",
        Purpose("Codes sent to you, for the limits", "Отправки кодов, для лимитов"),
        _SENT_TO_HER,
        Delete(),
    ),
    PersonalRows(
        "auth_wrong_guesses",
        Purpose("Wrong codes typed for your phone", "Неверно введённые коды для вашего телефона"),
        "kept.phone = :phone",
        Delete(),
    ),
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
        Purpose("Sign-ins and changes of phone that were begun", "Начатые входы и смены телефона"),
        _CHALLENGE_IS_HERS.replace("challenge.", "kept."),
        Delete(),
    ),
    PersonalRows(
        "auth_revocations",
        Purpose("Access that was ended early", "Досрочно закрытые доступы"),
        "kept.grant_id IN (SELECT session_id FROM auth_sessions WHERE auth_sessions.user_id = :user_id)",
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
