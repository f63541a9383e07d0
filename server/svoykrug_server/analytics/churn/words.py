"""Reasons, rules and loans in words, Russian and English: what a marketer reads."""

from collections.abc import Callable
from typing import Literal

from svoykrug_server.analytics.churn.loan import Borrowed
from svoykrug_server.analytics.churn.model import Reason

Locale = Literal["ru", "en"]
Text = Callable[[float, float, int], str]
"""Says a value and a typical value, given the horizon in days."""


def reason_text(reason: Reason, horizon_days: int, locale: Locale) -> str:
    """Returns a reason as a sentence.

    Args:
        reason: The reason.
        horizon_days: The horizon of the model that gave it.
        locale: The language.
    """
    texts = _RUSSIAN if locale == "ru" else _ENGLISH
    return texts[reason.feature](reason.value, reason.typical_value, horizon_days)


def obstacle_text(obstacle: str, locale: Locale) -> str:
    """Returns a rule that a model breaks as a sentence.

    Args:
        obstacle: A name of `promotion.obstacles`.
        locale: The language.
    """
    english, russian = _OBSTACLES[obstacle]
    return russian if locale == "ru" else english


def borrowed_text(borrowed: Borrowed, locale: Locale) -> str:
    """Returns what a model was borrowed from and what the scope lacked, as two sentences.

    Args:
        borrowed: What was borrowed.
        locale: The language.
    """
    return _borrowed_ru(borrowed) if locale == "ru" else _borrowed_en(borrowed)


def _borrowed_en(borrowed: Borrowed) -> str:
    lenders = f"{borrowed.lender_count} business{'' if borrowed.lender_count == 1 else 'es'}"
    window = "test" if borrowed.window == "test" else f"training ({borrowed.window[:10]})"
    return (
        f"Pooled from models of the category {borrowed.category}: {lenders}. Its own {window} window has"
        f" {borrowed.member_count} members of {borrowed.needed_member_count} needed; {borrowed.churned_count} left and"
        f" {borrowed.stayed_count} stayed, {borrowed.needed_event_count} of each needed."
    )


def _borrowed_ru(borrowed: Borrowed) -> str:
    lenders = f"{borrowed.lender_count} {_plural(borrowed.lender_count, 'партнёр', 'партнёра', 'партнёров')}"
    window = "проверочном окне" if borrowed.window == "test" else f"учебном окне ({borrowed.window[:10]})"
    return (
        f"Сложена из моделей категории «{_CATEGORIES[borrowed.category]}»: {lenders}. В своём {window} участниц"
        f" {borrowed.member_count} из {borrowed.needed_member_count} нужных; ушли {borrowed.churned_count}, остались"
        f" {borrowed.stayed_count}, нужно хотя бы по {borrowed.needed_event_count}."
    )


def _number(value: float) -> str:
    """Returns a count or a number of days, with one decimal where it has any."""
    return f"{value:.1f}".removesuffix(".0")


def _ru(value: float) -> str:
    return _number(value).replace(".", ",")


def _money(value: float, locale: Locale) -> str:
    text = f"{value / 100:,.2f}"
    return text if locale == "en" else text.replace(",", " ").replace(".", ",")


def _plural(value: float, one: str, few: str, many: str) -> str:
    """Returns a Russian noun in the form its number asks for."""
    if value != int(value):
        return few
    last, last_two = int(value) % 10, int(value) % 100
    if last == 1 and last_two != 11:
        return one
    return few if 2 <= last <= 4 and not 12 <= last_two <= 14 else many


def _days(value: float) -> str:
    return f"{_ru(value)} {_plural(value, 'день', 'дня', 'дней')}"


def _en_days(value: float) -> str:
    return f"{_number(value)} day{'' if value == 1 else 's'}"


_ENGLISH: dict[str, Text] = {
    "recency_days": lambda hers, typical, _: f"Last purchase {_en_days(hers)} ago; typically {_number(typical)}.",
    "days_in_horizon": lambda hers, typical, horizon: (
        f"Bought on {_en_days(hers)} of the last {horizon}; typically on {_number(typical)}."
    ),
    "days_in_four_horizons": lambda hers, typical, horizon: (
        f"Bought on {_en_days(hers)} of the last {4 * horizon}; typically on {_number(typical)}."
    ),
    "mean_gap_days": lambda hers, typical, _: (
        f"Buys every {_en_days(hers)} on average; typically every {_number(typical)}."
        if hers
        else f"Bought on one day only; typically every {_en_days(typical)}."
    ),
    "long_gap_count": lambda hers, typical, horizon: (
        f"Stayed away for more than {horizon} days {_number(hers)} times; typically {_number(typical)}."
    ),
    "active_period_share": lambda hers, typical, horizon: (
        f"Bought in {hers:.0%} of her {horizon}-day periods; typically in {typical:.0%}."
    ),
    "tenure_days": lambda hers, typical, _: f"First purchase {_en_days(hers)} ago; typically {_number(typical)}.",
    "recent_business_count": lambda hers, typical, horizon: (
        f"Bought at {_number(hers)} businesses in the last {2 * horizon} days; typically at {_number(typical)}."
    ),
    "recent_spend_minor": lambda hers, typical, horizon: (
        f"Spent {_money(hers, 'en')} in the last {4 * horizon} days; typically {_money(typical, 'en')}."
    ),
    "last_year_days": lambda hers, typical, horizon: (
        f"Bought on {_en_days(hers)} in the same {horizon} days of last year; typically on {_number(typical)}."
    ),
}

_RUSSIAN: dict[str, Text] = {
    "recency_days": lambda hers, typical, _: f"Последняя покупка {_days(hers)} назад; обычно — {_ru(typical)}.",
    "days_in_horizon": lambda hers, typical, horizon: (
        f"Дней с покупками за последние {horizon}: {_ru(hers)}; обычно — {_ru(typical)}."
    ),
    "days_in_four_horizons": lambda hers, typical, horizon: (
        f"Дней с покупками за последние {4 * horizon}: {_ru(hers)}; обычно — {_ru(typical)}."
    ),
    "mean_gap_days": lambda hers, typical, _: (
        f"Между покупками в среднем {_days(hers)}; обычно — {_ru(typical)}."
        if hers
        else f"Покупала только в один день; обычно между покупками {_days(typical)}."
    ),
    "long_gap_count": lambda hers, typical, horizon: (
        f"Перерывов дольше {_plural_of(horizon)}: {_ru(hers)}; обычно — {_ru(typical)}."
    ),
    "active_period_share": lambda hers, typical, horizon: (
        f"Покупала в {hers:.0%} периодов по {_days(horizon)}; обычно — в {typical:.0%}."
    ),
    "tenure_days": lambda hers, typical, _: f"Первая покупка {_days(hers)} назад; обычно — {_ru(typical)}.",
    "recent_business_count": lambda hers, typical, horizon: (
        f"Партнёров с покупками за {_days(2 * horizon)}: {_ru(hers)}; обычно — {_ru(typical)}."
    ),
    "recent_spend_minor": lambda hers, typical, horizon: (
        f"Потратила за {_days(4 * horizon)}: {_money(hers, 'ru')}; обычно — {_money(typical, 'ru')}."
    ),
    "last_year_days": lambda hers, typical, horizon: (
        f"Дней с покупками в те же {_days(horizon)} год назад: {_ru(hers)}; обычно — {_ru(typical)}."
    ),
}


def _plural_of(days: int) -> str:
    """Returns a number of days in the genitive."""
    return f"{days} {'дня' if days % 10 == 1 and days % 100 != 11 else 'дней'}"


_OBSTACLES: dict[str, tuple[str, str]] = {
    "not_better_than_recency": (
        "It does not rank members better than the days since their last purchase.",
        "Она упорядочивает участниц не лучше, чем давность последней покупки.",
    ),
    "not_better_than_rfm_sum": (
        "It does not rank members better than the sum of their RFM scores.",
        "Она упорядочивает участниц не лучше, чем сумма баллов RFM.",
    ),
    "not_better_than_bg_nbd": (
        "It does not rank members better than the BG/NBD model.",
        "Она упорядочивает участниц не лучше, чем модель BG/NBD.",
    ),
    "no_skill": (
        "Its probabilities are no better than the base rate for everyone.",
        "Её вероятности не лучше, чем средняя доля для всех.",
    ),
    "fewer_training_windows": (
        "It learned from a single window, so its probabilities are not calibrated.",
        "Она обучена на одном окне, поэтому её вероятности не откалиброваны.",
    ),
    "worse_than_serving_roc_auc": (
        "It ranks members worse than the serving model.",
        "Она упорядочивает участниц хуже действующей модели.",
    ),
    "worse_than_serving_brier": (
        "Its probabilities are worse than those of the serving model.",
        "Её вероятности хуже, чем у действующей модели.",
    ),
}

_CATEGORIES: dict[str, str] = {
    "beauty": "красота",
    "cosmetology": "косметология",
    "dental": "стоматология",
    "medical": "медицина",
    "gastronomy": "гастрономия",
    "floristry": "флористика",
    "optics": "оптика",
    "textile": "текстиль",
    "legal": "право",
}
"""The categories of businesses."""
