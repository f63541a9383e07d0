"""Why a member's segment changed in words, Russian and English: what an owner reads."""

from collections.abc import Callable, Mapping

from svoykrug_server.analytics.churn.words import Locale
from svoykrug_server.analytics.history import Cause, Change

_SCORES = {"en": ("recency", "frequency", "monetary"), "ru": ("давность", "частота", "сумма")}

_ENGLISH: Mapping[Cause, Callable[[Change], str]] = {
    Cause.BOUGHT: lambda change: f"bought {change.purchase_count} time{'' if change.purchase_count == 1 else 's'}",
    Cause.GAVE_BACK: lambda _: "gave purchases back",
    Cause.SILENT: lambda change: f"no purchase for {change.days} day{'' if change.days == 1 else 's'}",
    Cause.AGED: lambda change: f"purchases older than {change.days} days no longer count",
    Cause.NO_LONGER_NEW: lambda _: "her first purchase is over 90 days ago",
    Cause.OTHERS_ROSE: lambda _: "others bought more",
    Cause.OTHERS_FELL: lambda _: "others bought less",
    Cause.RULES_CHANGED: lambda _: "the rules of segments changed",
}

_RUSSIAN: Mapping[Cause, Callable[[Change], str]] = {
    Cause.BOUGHT: lambda change: f"новых покупок: {change.purchase_count}",
    Cause.GAVE_BACK: lambda _: "вернула покупки",
    Cause.SILENT: lambda change: f"дней без покупок: {change.days}",
    Cause.AGED: lambda change: f"покупки старше {change.days} дней больше не учитываются",
    Cause.NO_LONGER_NEW: lambda _: "первая покупка была больше 90 дней назад",
    Cause.OTHERS_ROSE: lambda _: "другие покупали больше",
    Cause.OTHERS_FELL: lambda _: "другие покупали меньше",
    Cause.RULES_CHANGED: lambda _: "изменились правила сегментов",
}


def change_text(change: Change, locale: Locale) -> str:
    """Returns why a segment changed, and which scores moved: `no purchase for 41 days (recency 4 → 2)`.

    Args:
        change: The change.
        locale: The language.
    """
    text = (_RUSSIAN if locale == "ru" else _ENGLISH)[change.cause](change)
    moved = [
        f"{name} {before} → {after}"
        for name, before, after in zip(_SCORES[locale], change.before, change.after, strict=True)
        if before and after and before != after
    ]
    return f"{text} ({', '.join(moved)})" if moved else text
