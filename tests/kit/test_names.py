import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.kit.names import has_hidden_characters, without_hidden_characters


@pytest.mark.parametrize("name", ["Анна-Мария О'Нил", "José Ñandú", "王小明", "עדי", "Zoë 🌸", "И\u0306ван", ""])
def test_names_of_people_hide_nothing(name: str) -> None:
    assert not has_hidden_characters(name)
    assert without_hidden_characters(name) == name


@pytest.mark.parametrize(
    "character",
    ["\u202e", "\u2066", "\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u2028", "\u2029", "\x00", "\U000e0041"],
)
def test_what_is_not_seen_is_found_and_left_out(character: str) -> None:
    assert has_hidden_characters(f"Ан{character}на")
    assert without_hidden_characters(f"Ан{character}на") == "Анна"


@given(st.text())
def test_what_is_left_hides_nothing_and_is_as_it_was(text: str) -> None:
    left = without_hidden_characters(text)
    assert not has_hidden_characters(left)
    assert left == "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp"})
