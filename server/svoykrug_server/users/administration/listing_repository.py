"""All SQL that finds users.

Users are listed the newest first, and every statement is quick whatever is asked for, at a million users and more:

- Without a search, an index holds the users of each state and tier in the order of the list: the heads of these lists
  are merged until the page is full.
- A phone, and a role that few have, leave so few users that all of them are found by index and sorted.
- A name that many have fills the page from the newest users alone; one that few have is found by the trigrams of its
  words. `newest` does the first, and `found` the second.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from svoykrug_server.storage.postgres import ReadConnection
from svoykrug_server.users.administration.model import NameWord, Position, Search
from svoykrug_server.users.model import User
from svoykrug_server.users.repository import COLUMNS, user_from_row

MOST_ALIKE = 3
ALMOST_AS_LIKE = 0.8
"""Words much less like the query's than the best one are not what was meant."""
_AFTER_ALL_LETTERS = "\U0010ffff"

# How is this name written in Latin letters?
_SPELLINGS = "SELECT name_spelling($1), loose_spelling(name_spelling($1))"

# Which words that names have are most like each of these, where no name has a word that begins with it?
_ALIKE = """
    SELECT query.spelling, alike.word, alike.likeness
    FROM unnest($1::text[], $2::text[]) AS query (spelling, loose)
    CROSS JOIN LATERAL (
        SELECT word, greatest(similarity(word, query.spelling), similarity(word, query.loose)) AS likeness
        FROM name_words WHERE word % query.spelling OR word % query.loose
        ORDER BY likeness DESC, word LIMIT $3
    ) alike
    WHERE NOT EXISTS (SELECT FROM name_words WHERE word >= query.spelling AND word < query.spelling || $4)
        AND NOT EXISTS (SELECT FROM name_words WHERE word >= query.loose AND word < query.loose || $4)
    ORDER BY alike.likeness DESC, alike.word
"""

# Who of the newest users of these states and tiers has such a name?
_NEWEST = """
    SELECT {columns} FROM (
        SELECT * FROM ({lists}) lists ORDER BY create_time DESC, id DESC LIMIT {window}
    ) u
    WHERE {names} ORDER BY u.create_time DESC, u.id DESC LIMIT {limit}
"""
_LIST = """
    (SELECT * FROM users WHERE status = {state} AND tier = {tier}
        AND (create_time, id) < ({before_time}, {before_id}) AND create_time >= {since}
    ORDER BY create_time DESC, id DESC LIMIT {window})
"""

# Who has such a name, phone or role, of those with these states and tiers?
_FOUND = """
    WITH found AS MATERIALIZED (SELECT * FROM users WHERE {search})
    SELECT {columns} FROM found u
    WHERE u.status = ANY({states}::text[]) AND u.tier = ANY({tiers}::text[])
        AND (u.create_time, u.id) < ({before_time}, {before_id}) AND u.create_time >= {since}
    ORDER BY u.create_time DESC, u.id DESC LIMIT {limit}
"""
_ELEVATED = "(roles <> '{{member}}'::text[] AND roles && {}::text[])"
_PHONE = "(phone = {} OR reverse(phone) ~>=~ {} AND reverse(phone) ~<~ {})"


class _Values:
    """The values of a statement; each is named by its place when it is bound."""

    def __init__(self) -> None:
        self.bound: list[object] = []

    def bind(self, value: object) -> str:
        """Binds a value and returns how the statement names it."""
        self.bound.append(value)
        return f"${len(self.bound)}"

    def bind_order(self, search: Search, before: Position) -> dict[str, str]:
        """Binds what part of the list is looked at."""
        before_time, before_id = before
        return {
            "before_time": f"{self.bind(before_time)}::timestamptz",
            "before_id": f"{self.bind(before_id)}::uuid",
            "since": f"{self.bind(search.since)}::timestamptz",
        }


async def spellings(connection: ReadConnection, name: str) -> tuple[str, str]:
    """Returns a name in Latin letters: letter by letter, and what its usual spellings have in common."""
    row = await connection.fetchrow(_SPELLINGS, name)
    if row is None:
        raise LookupError("a statement without a table has one row")
    return row[0], row[1]


async def with_alike(connection: ReadConnection, words: Sequence[NameWord]) -> list[NameWord]:
    """Returns the words, each that no name begins with together with the words of names that are most like it."""
    queries = [word.spelling for word in words], [word.loose for word in words]
    best: dict[str, float] = {}
    alike: dict[str, list[str]] = {}
    for spelling, word, likeness in await connection.fetch(_ALIKE, *queries, MOST_ALIKE, _AFTER_ALL_LETTERS):
        if likeness >= ALMOST_AS_LIKE * best.setdefault(spelling, likeness):
            alike.setdefault(spelling, []).append(word)
    return [replace(word, alike=tuple(alike.get(word.spelling, ()))) for word in words]


async def newest(
    connection: ReadConnection, search: Search, before: Position, limit: int, *, window: int
) -> list[User]:
    """Returns the next users of a list, as many as there are among the newest ones.

    Args:
        connection: A connection of the hot pool.
        search: Without phone and roles.
        before: Where the page before ended.
        limit: The most to return.
        window: How many users of the search's states and tiers are looked through for its words.
    """
    values = _Values()
    order = values.bind_order(search, before)
    states = [values.bind(state.value) for state in search.states]
    tiers = [values.bind(tier.value) for tier in search.tiers]
    most = values.bind(window)
    lists = [_LIST.format(state=state, tier=tier, window=most, **order) for state, tier in product(states, tiers)]
    statement = _NEWEST.format(
        columns=COLUMNS,
        lists=" UNION ALL ".join(lists),
        window=most,
        names=" AND ".join(_named(values, search)) or "true",
        limit=values.bind(limit),
    )
    return [user_from_row(row) for row in await connection.fetch(statement, *values.bound)]


async def found(connection: ReadConnection, search: Search, before: Position, limit: int) -> list[User]:
    """Returns the next users of a list.

    Args:
        connection: A connection of the hot pool.
        search: With a phone, roles or words.
        before: Where the page before ended.
        limit: The most to return.
    """
    values = _Values()
    statement = _FOUND.format(
        columns=COLUMNS,
        search=" AND ".join((*_identified(values, search), *_named(values, search))),
        states=values.bind([state.value for state in search.states]),
        tiers=values.bind([tier.value for tier in search.tiers]),
        limit=values.bind(limit),
        **values.bind_order(search, before),
    )
    return [user_from_row(row) for row in await connection.fetch(statement, *values.bound)]


def _identified(values: _Values, search: Search) -> list[str]:
    conditions = []
    if search.phone is not None:
        ending = search.phone.ending[::-1]
        # A colon is the character after 9.
        conditions.append(
            _PHONE.format(values.bind(search.phone.whole), values.bind(ending), values.bind(ending + ":"))
        )
    if search.roles:
        conditions.append(_ELEVATED.format(values.bind([role.value for role in search.roles])))
    return conditions


def _named(values: _Values, search: Search) -> list[str]:
    """Returns one condition a word: some word of the name begins with it, or is one of those like it.

    Spellings hold letters and digits alone, so that nothing in them is a wildcard.
    """
    conditions = []
    for word in search.words:
        beginnings = dict.fromkeys((f"% {word.spelling}%", f"% {word.loose}%"))
        patterns = [*beginnings, *(f"% {alike} %" for alike in word.alike)]
        conditions.append("(" + " OR ".join(f"search_name LIKE {values.bind(pattern)}" for pattern in patterns) + ")")
    return conditions
