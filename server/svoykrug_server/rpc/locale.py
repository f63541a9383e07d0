"""Step: the language in which a person is told what went wrong."""

from functools import lru_cache

from svoykrug_server.rpc.context import Locale

HEADER = "accept-language"
_LOCALES: dict[str, Locale] = {"ru": "ru", "en": "en"}


@lru_cache(maxsize=256)
def locale_from(accepted: str | None, default: Locale) -> Locale:
    """Chooses between Russian and English by an `accept-language` header (RFC 9110, section 12.5.4).

    Args:
        accepted: The header's value, such as `ru-RU,ru;q=0.9,en;q=0.8`.
        default: The answer when the header is absent or names neither language.
    """
    best: tuple[float, Locale] = (0.0, default)
    for part in (accepted or "")[:256].split(","):
        tag, _, parameter = part.partition(";")
        locale = _LOCALES.get(tag.strip().lower().partition("-")[0])
        weight = _weight(parameter)
        if locale is not None and weight > best[0]:
            best = (weight, locale)
    return best[1]


def _weight(parameter: str) -> float:
    """Reads `q=0.8`; absent is 1, malformed is 0."""
    name, _, value = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
