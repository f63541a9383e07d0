"""Texts by which people are shown to people: nothing in them may hide, or turn around what stands beside them.

Besides control characters these are the format characters of Unicode (category Cf: the bidirectional overrides of
CVE-2021-42574, zero-width characters, tags) and its line and paragraph separators. The API's patterns say the same.
"""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp"})


def has_hidden_characters(text: str) -> bool:
    """Tells whether a text holds a character that is not seen and changes what is."""
    return not text.isprintable() and any(unicodedata.category(character) in _HIDDEN for character in text)


def without_hidden_characters(text: str) -> str:
    """Returns a text without them."""
    return "".join(character for character in text if unicodedata.category(character) not in _HIDDEN)
