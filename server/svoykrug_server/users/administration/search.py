"""What a person types to find somebody, read as a search: no SQL, no protobuf."""

import unicodedata
from collections.abc import Sequence

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.users.administration.model import BEGINNING, NameWord, PhoneQuery, Search, UserFilter
from svoykrug_server.users.model import Tier

FEWEST_DIGITS = 4
FEWEST_LETTERS = 2
MOST_WORDS = 8
SHOWN_STATES = tuple(state for state in AccountStatus if state is not AccountStatus.DELETED)
"""Who is listed when no states are asked for."""


def read_phone(text: str) -> PhoneQuery:
    """Reads a phone in any spelling, or its end.

    Args:
        text: Digits and whatever is written between them: spaces, brackets, dashes, dots.

    Raises:
        InvalidFields: It holds letters, or fewer than 4 digits.
    """
    digits = "".join(str(unicodedata.decimal(character)) for character in text if character.isdecimal())
    if len(digits) < FEWEST_DIGITS or any(character.isalpha() for character in text):
        raise InvalidFields.of("phone", "must be a phone number or at least its last 4 digits")
    return PhoneQuery(parse_phone(text), digits)


def check_name(text: str) -> None:
    """Refuses a name that too many have, or that is no name.

    Raises:
        InvalidFields: It has fewer than 2 letters and digits.
    """
    if sum(character.isalnum() for character in text) < FEWEST_LETTERS:
        raise InvalidFields.of("name", "must have at least 2 letters")


def read_words(spelling: str, loose: str) -> tuple[NameWord, ...]:
    """Returns the words of a name, longest first: what few have is looked for first.

    Args:
        spelling: The name's spelling letter by letter.
        loose: Its loose spelling, word for word.

    Raises:
        InvalidFields: There are no letters that are searched, or more than 8 words.
    """
    words = {NameWord(*pair) for pair in zip(spelling.split(), loose.split(), strict=True)}
    if not 1 <= len(words) <= MOST_WORDS:
        raise InvalidFields.of("name", "must have 1 to 8 words")
    return tuple(sorted(words, key=lambda word: (-len(word.spelling), word.spelling)))


def search_of(wanted: UserFilter, words: Sequence[NameWord]) -> Search:
    """Returns what the database is asked for a filter, whose name was read as these words."""
    return Search(
        states=wanted.states or SHOWN_STATES,
        tiers=wanted.tiers or tuple(Tier),
        since=wanted.created_from or BEGINNING,
        # Everyone is a member.
        roles=() if Role.MEMBER in wanted.roles else wanted.roles,
        phone=read_phone(wanted.phone) if wanted.phone else None,
        words=tuple(words),
    )
