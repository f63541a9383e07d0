"""Lists and searches of users."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import InvalidFields, PermissionDenied
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users import repository
from svoykrug_server.users.administration import listing as use_case
from svoykrug_server.users.administration.listing import UserListing
from svoykrug_server.users.administration.model import UserFilter
from svoykrug_server.users.administration.servicer import AdministrationUseCases
from svoykrug_server.users.model import NewMember, Tier
from svoykrug_server.users.service import UsersService
from tests.callers import CallBy, admin, service
from tests.users.administration.crowd import BEGAN, Known, Somebody, expected, found, write
from tests.users.people import new_phone

FIRST = ("Анна", "Алёна", "Юлия", "Елена", "Эльвира", "Ольга", "Наталья", "Ксения", "Мария-Луиза", "Виолетта", "Яна")
LAST = (
    "Хохлова",
    "Цветкова",
    "Семёнова",
    "Чайковская",
    "Майорова",
    "Рыжих",
    "Шубина",
    "Юдина",
    "Жукова",
    "Йошкина",
    "",
)
WORDS = [word for name in (*FIRST, *LAST) for word in name.split("-") if word]
STATES = tuple(AccountStatus)


@pytest.fixture
def listing(administration: AdministrationUseCases) -> UserListing:
    return administration.listing


def people() -> list[Somebody]:
    """Returns a few hundred users of all kinds, the same ones every time; some were created at the same instant."""
    rng = random.Random(3)
    return [
        Somebody(
            name=f"{first} {last}".strip(),
            tier=rng.choice(tuple(Tier)),
            roles=(Role.MEMBER, *rng.choice([()] * 6 + [(Role.ADMIN,), (Role.ADMIN, Role.SUPERADMIN)])),
            state=rng.choice(STATES),
            created=BEGAN + timedelta(hours=rng.randrange(50)),
        )
        for first, last in [*product(FIRST, LAST)] * 3
    ]


@pytest.fixture
async def crowd(postgres: Postgres) -> list[Known]:
    return await write(postgres, people())


def beginnings() -> st.SearchStrategy[str]:
    """Returns beginnings of words of the crowd's names, in any case, with or without the dots of ё."""
    words = st.sampled_from(WORDS).flatmap(lambda word: st.integers(2, len(word)).map(lambda end: word[:end]))
    cases = st.sampled_from([str.lower, str.upper, str.title, lambda text: text.replace("ё", "е")])
    return st.lists(st.builds(lambda word, case: case(word), words, cases), max_size=2).map(" ".join)


def chosen(values: Sequence[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.sets(st.sampled_from(range(len(values))), max_size=2).map(
        lambda chosen: tuple(values[place] for place in sorted(chosen))
    )


FILTERS = st.builds(
    UserFilter,
    name=beginnings(),
    tiers=chosen(tuple(Tier)),
    roles=chosen(tuple(Role)),
    states=chosen(STATES),
    created_from=st.none() | st.integers(0, 50).map(lambda hours: BEGAN + timedelta(hours=hours)),
    created_until=st.none() | st.integers(0, 50).map(lambda hours: BEGAN + timedelta(hours=hours)),
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(wanted=FILTERS, size=st.integers(1, 60), window=st.sampled_from([1, 3, 500]))
async def test_a_list_holds_exactly_whom_a_plain_reading_of_its_filters_names_whatever_the_page(
    listing: UserListing,
    crowd: list[Known],
    monkeypatch: pytest.MonkeyPatch,
    wanted: UserFilter,
    size: int,
    window: int,
) -> None:
    for name in ("FIRST_WINDOW_PAGES", "LEAST_WINDOW", "WINDOW_PAGES"):
        monkeypatch.setattr(use_case, name, window)
    users = await found(listing, wanted, size)
    assert [user.id for user in users] == expected(crowd, wanted)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    place=st.integers(0, 300), length=st.integers(4, 11), marks=st.lists(st.sampled_from("  -().+\u00a0"), max_size=11)
)
async def test_a_phone_is_found_by_any_spelling_of_its_end(
    listing: UserListing, crowd: list[Known], place: int, length: int, marks: list[str]
) -> None:
    digits = crowd[place].somebody.phone[-length:]
    text = "".join(mark + digit for digit, mark in zip(digits, [*marks, *[""] * length], strict=False))
    wanted = UserFilter(phone=text, states=STATES)
    users = await found(listing, wanted)
    assert crowd[place].id in [user.id for user in users]
    assert [user.id for user in users] == expected(crowd, wanted)


@pytest.mark.parametrize(
    "spelling", ["+7 (912) 345-67-89", "8 912 345 67 89", "79123456789", "9123456789", "67.89", "6789"]
)
async def test_a_whole_phone_is_found_by_every_spelling_of_it(
    postgres: Postgres, listing: UserListing, spelling: str
) -> None:
    [anna, _] = await write(postgres, [Somebody(phone="+79123456789"), Somebody(phone="+79123456780")])
    assert [user.id for user in await found(listing, UserFilter(phone=spelling))] == [anna.id]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("Юлия Щербакова", "Yuliya Shcherbakova"),
        ("Юлия Щербакова", "julia scherbakova"),
        ("Юлия Щербакова", "IULIIA SHERBAK"),
        ("Julia Sherbakova", "Юлия Щербакова"),
        ("Александра Хохлова", "alexandra khokhl"),
        ("Aleksandra Hohlova", "александра хох"),
        ("Виктория Фёдорова", "victoria fyodorova"),
        ("Viktoriya Fedorova", "Виктория Федорова"),
        ("Наталья Майорова", "nataliya mayorova"),
        ("Елена Чайковская", "yelena tchaikovsky"[:17]),
        ("Алёна", "АЛЕНА"),
        ("Алена", "алё"),
        ("Мария-Луиза д’Арк", "луиза дарк"),
        ("Ｆｕｌｌ Width", "full"),
        ("Ирина и\u0306", "ирина й"),
    ],
)
async def test_a_name_is_found_in_the_other_letters_and_in_other_marks(
    postgres: Postgres, listing: UserListing, name: str, query: str
) -> None:
    [she, _] = await write(postgres, [Somebody(name), Somebody("Борис Зверев")])
    assert [user.id for user in await found(listing, UserFilter(name=query))] == [she.id]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("Екатерина Иванова", "Екатирина"),
        ("Екатерина Иванова", "Катерина"),
        ("Екатерина Иванова", "екатерина ивонова"),
        ("Екатерина Иванова", "Ekaterrina"),
        ("Анна Щербаченко", "Щербачеко анна"),
        ("Анна Щербаченко", "Аннна"),
        ("Svetlana", "Светлона"),
    ],
)
async def test_a_name_with_a_typo_is_found_by_the_names_most_like_it(
    postgres: Postgres, listing: UserListing, name: str, query: str
) -> None:
    [she, _] = await write(postgres, [Somebody(name), Somebody("Борис Зверев")])
    assert [user.id for user in await found(listing, UserFilter(name=query))] == [she.id]


async def test_what_is_like_no_name_finds_nobody(listing: UserListing, crowd: list[Known]) -> None:
    assert await found(listing, UserFilter(name="Qwzx")) == []


async def test_a_word_that_a_name_begins_with_is_taken_for_no_typo(postgres: Postgres, listing: UserListing) -> None:
    [maria, _] = await write(postgres, [Somebody("Мария"), Somebody("Марина")])
    assert [user.id for user in await found(listing, UserFilter(name="Мария"))] == [maria.id]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("Ан%", ["Анна Петрова"]),
        ("Ан_а", ["Анна Петрова"]),
        ("Анна\\", ["Анна Петрова"]),
        ("А%а", ["Алла", "Анна Петрова"]),
        ("'; DROP TABLE users; --", []),
        ("Анна' OR '1'='1", []),
    ],
)
async def test_wildcards_and_quotes_in_a_name_are_no_commands(
    postgres: Postgres, listing: UserListing, query: str, names: list[str]
) -> None:
    await write(postgres, [Somebody("Анна Петрова"), Somebody("Алла"), Somebody("Борис")])
    assert sorted(user.display_name for user in await found(listing, UserFilter(name=query))) == names


@pytest.mark.parametrize("name", [" ", "А", "%", "%_", "--", "\u0301\u0301", "аб вг де жз ик лм но пр ст"])
async def test_a_name_that_cannot_be_searched_is_refused(listing: UserListing, name: str) -> None:
    with pytest.raises(InvalidFields) as refusal:
        await listing.page(admin(), UserFilter(name=name), size=0, token="")
    assert [violation.path for violation in refusal.value.violations] == ["name"]


@pytest.mark.parametrize("phone", [" ", "123", "12-3", "+7", "12345a", "Анна", "%%%%", "____"])
async def test_a_phone_that_cannot_be_searched_is_refused(listing: UserListing, phone: str) -> None:
    with pytest.raises(InvalidFields) as refusal:
        await listing.page(admin(), UserFilter(phone=phone), size=0, token="")
    assert [violation.path for violation in refusal.value.violations] == ["phone"]


async def test_a_token_is_good_for_its_own_filter_only(listing: UserListing, crowd: list[Known]) -> None:
    page = await listing.page(admin(), UserFilter(name="Анна"), size=2, token="")
    assert page.next_page_token
    for other in (UserFilter(), UserFilter(name="Анн"), UserFilter(name="Анна", tiers=(Tier.VIP,))):
        with pytest.raises(InvalidFields) as refusal:
            await listing.page(admin(), other, size=2, token=page.next_page_token)
        assert refusal.value.reason == "INVALID_PAGE_TOKEN"


async def test_a_user_who_joins_meanwhile_moves_nobody_to_another_page(
    postgres: Postgres, listing: UserListing, crowd: list[Known]
) -> None:
    first = await listing.page(admin(), UserFilter(), size=10, token="")
    await write(postgres, [Somebody("Новая", created=BEGAN + timedelta(days=9))])
    second = await listing.page(admin(), UserFilter(), size=10, token=first.next_page_token)
    assert [user.id for user in (*first.users, *second.users)] == expected(crowd, UserFilter())[:20]


async def test_a_service_sees_masked_phones_and_may_not_search_by_them(
    listing: UserListing, crowd: list[Known]
) -> None:
    page = await listing.page(service("users.read"), UserFilter(), size=5, token="")
    assert all(user.phone is not None and "*****" in user.phone for user in page.users)
    with pytest.raises(PermissionDenied):
        await listing.page(service("users.read"), UserFilter(phone="1234"), size=5, token="")


async def test_a_service_that_may_read_phones_searches_by_them(listing: UserListing, crowd: list[Known]) -> None:
    she = next(each for each in crowd if each.somebody.state is AccountStatus.ACTIVE)
    reader = service("users.read", "users.read_phone")
    page = await listing.page(reader, UserFilter(phone=she.somebody.phone), size=5, token="")
    assert [(user.id, user.phone) for user in page.users] == [(she.id, she.somebody.phone)]


async def test_deleted_users_are_shown_to_people_who_ask_for_them_and_to_no_service(
    listing: UserListing, crowd: list[Known]
) -> None:
    deleted = UserFilter(states=(AccountStatus.DELETED,))
    assert {user.status for user in await found(listing, deleted)} == {AccountStatus.DELETED}
    assert AccountStatus.DELETED not in {user.status for user in await found(listing, UserFilter())}
    with pytest.raises(PermissionDenied):
        await listing.page(service("users.read", "users.read_phone"), deleted, size=5, token="")


async def test_the_words_of_a_name_are_forgotten_with_the_last_who_has_them(postgres: Postgres) -> None:
    [anna, other] = await write(postgres, [Somebody("Анна Редкая"), Somebody("Анна Щука")])
    connection = await postgres.dedicated()
    assert await words(postgres) == {"anna", "redkaya", "redkaia", "shchuka", "shuka"}
    await connection.execute("UPDATE users SET display_name = 'Жанна' WHERE id = $1", anna.id)
    assert await words(postgres) == {"anna", "zhanna", "shchuka", "shuka"}
    await connection.execute("DELETE FROM users WHERE id = $1", other.id)
    assert await words(postgres) == {"zhanna"}
    await connection.execute("UPDATE users SET display_name = '' WHERE id = $1", anna.id)
    await connection.close()
    assert await words(postgres) == set()


async def test_two_who_give_up_a_word_at_once_leave_none_of_it(postgres: Postgres, clock: ManualClock) -> None:
    for number in range(10):
        sisters = await write(postgres, [Somebody(f"Анна Редкая{'аеиоу'[number % 5]}") for _ in range(2)])

        async def rename(user_id: UUID) -> None:
            async with postgres.transaction() as tx:
                await repository.change(tx, user_id, {"display_name": ""}, clock.now())

        await asyncio.gather(*(rename(sister.id) for sister in sisters))
        assert await words(postgres) == set()


async def test_who_keeps_a_word_of_her_name_waits_for_nobody_who_keeps_it_too(
    postgres: Postgres, clock: ManualClock
) -> None:
    anna, namesake, last = await write(postgres, [Somebody(f"Анна {word}") for word in ("Редкая", "Щука", "Щука")])
    async with asyncio.timeout(30), postgres.transaction() as open_still:
        await repository.change(open_still, anna.id, {"display_name": "Анна Новая"}, clock.now())
        async with postgres.transaction() as tx:
            await repository.change(tx, namesake.id, {"display_name": "Анна Старая"}, clock.now())
    assert await words(postgres) == {"anna", "novaya", "novaia", "staraya", "staraia", "shchuka", "shuka"}
    async with postgres.transaction() as tx:
        await repository.change(tx, last.id, {"display_name": "Щука Щука"}, clock.now())
        await repository.change(tx, last.id, {"display_name": "Анна Анна"}, clock.now())
    assert await words(postgres) == {"anna", "novaya", "novaia", "staraya", "staraia"}


async def test_batches_with_the_same_new_names_at_once_do_not_wait_in_a_circle(
    postgres: Postgres, users: UsersService
) -> None:
    names = [f"{first} {last}" for first, last in product(FIRST, LAST)]
    orders = [random.Random(number).sample(names, len(names)) for number in range(6)]
    call = CallBy(service("users.write"))
    batches = [[NewMember(new_phone(), name) for name in order] for order in orders]
    await asyncio.gather(*(users.batch_create_users(call, batch) for batch in batches))
    async with postgres.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM users") == 6 * len(names)
    assert {"anna", "tsvetkova", "shubina"} <= await words(postgres)


async def words(postgres: Postgres) -> set[str]:
    async with postgres.read() as connection:
        return {row[0] for row in await connection.fetch("SELECT word FROM name_words")}
