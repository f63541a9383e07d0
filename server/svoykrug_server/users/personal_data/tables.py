"""What users keep about a person, and what becomes of it when she is erased."""

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

DECLARED = Declared(
    personal=(
        PersonalRows(
            "wallet_codes",
            Purpose("Codes that you showed at businesses", "Коды, которые вы показывали у партнёров"),
            "kept.user_id = :user_id",
            Delete(),
            secrets=frozenset({"code_hash"}),
        ),
        PersonalRows(
            "wallet_guesses",
            Purpose("Wrong codes that you entered at work", "Неверные коды, введённые вами на работе"),
            "kept.caller_id = :user_id",
            Delete(),
        ),
        PersonalRows(
            "user_consents", Purpose("What you consented to", "Ваши согласия"), "kept.user_id = :user_id", Delete()
        ),
        PersonalRows(
            "users",
            Purpose("Members whom you brought", "Участницы, которых вы пригласили"),
            "kept.referrer_id = :user_id",
            Change("referrer_id = NULL"),
            columns=("join_time",),
        ),
        PersonalRows(
            "erasures",
            Purpose("Your wish to be erased", "Ваша просьба об удалении данных"),
            "kept.user_id = :user_id",
            Stay("It is the receipt, and forgets whose it was as it is written."),
        ),
        PersonalRows(
            "number_bans",
            Purpose("A ban of your number", "Блокировка вашего номера"),
            "kept.user_id = :user_id",
            Stay("The number is a keyed hash; it keeps a banned person out for some months, and then it goes."),
            secrets=frozenset({"number_hash"}),
        ),
        PersonalRows(
            "member_links",
            Purpose("The number by which purchases know you", "Номер, по которому вас знают покупки"),
            "kept.user_id = :user_id",
            Delete(),
        ),
        PersonalRows("users", Purpose("Your profile", "Ваш профиль"), "kept.id = :user_id", Delete()),
    ),
    impersonal=(
        Impersonal(Store.POSTGRES, "name_words", "words of names; a word goes with the last person who is called so"),
        Impersonal(Store.POSTGRES, "tier_due", "numbers of transactions"),
        Impersonal(Store.POSTGRES, "tier_state", "how far the computation of tiers is"),
    ),
)
