import asyncio
from uuid import UUID

import pytest

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.model import MemberRow, NewMember
from svoykrug_server.users.service import UsersService
from tests.callers import CallBy, service
from tests.users.people import join, new_phone

CALL = CallBy(service("users.write"))
REFUSED = MemberRow(None, error_reason="INVALID_FIELDS")


async def test_each_new_phone_becomes_an_unclaimed_member_with_a_member_id_of_her_own(
    postgres: Postgres, users: UsersService
) -> None:
    phones = [new_phone() for _ in range(1_000)]
    rows = await users.batch_create_users(CALL, [NewMember(phone, "Гостья") for phone in phones])
    assert all(row.created and row.user_id is not None for row in rows)
    ids = [row.user_id for row in rows if row.user_id is not None]
    async with postgres.read() as connection:
        stored = await connection.fetch(
            "SELECT id, phone, display_name, status, referral_code, member_id "
            "FROM users JOIN member_links ON user_id = id WHERE id = ANY($1)",
            ids,
        )
    assert {row["id"]: row["phone"] for row in stored} == dict(zip(ids, phones, strict=True))
    assert {(row["display_name"], row["status"], row["referral_code"]) for row in stored} == {
        ("Гостья", "unclaimed", None)
    }
    assert len({row["member_id"] for row in stored}) == 1_000


async def test_the_same_batch_again_returns_the_same_users_and_creates_none(
    postgres: Postgres, users: UsersService
) -> None:
    batch = [NewMember(new_phone(), "first") for _ in range(5)]
    first = await users.batch_create_users(CALL, batch)
    again = await users.batch_create_users(CALL, [NewMember(member.phone, "second") for member in batch])
    assert [row.user_id for row in again] == [row.user_id for row in first]
    assert not any(row.created for row in again)
    assert [await name_of(postgres, row.user_id) for row in again] == ["first"] * 5


async def test_spellings_of_one_phone_in_one_batch_are_one_member_created_once(
    postgres: Postgres, users: UsersService
) -> None:
    number = new_phone().removeprefix("+7")
    spellings = [f"8 ({number[:3]}) {number[3:6]}-{number[6:8]}-{number[8:]}", f"+7{number}", f"7{number}"]
    rows = await users.batch_create_users(
        CALL, [NewMember(phone, f"name {index}") for index, phone in enumerate(spellings)]
    )
    assert len({row.user_id for row in rows}) == 1
    assert [row.created for row in rows] == [True, False, False]
    assert await name_of(postgres, rows[0].user_id) == "name 0"


@pytest.mark.parametrize(
    "phone", ["", "abc", "123", "+7", "8999", "+" + "9" * 40, "\x00", "+7 999 123-45-6x-", "'; --"]
)
async def test_a_phone_that_cannot_be_read_is_refused_in_its_row_and_stops_no_other(
    users: UsersService, phone: str
) -> None:
    rows = await users.batch_create_users(CALL, [NewMember(new_phone()), NewMember(phone), NewMember(new_phone())])
    assert rows[1] == REFUSED
    assert [row.created for row in rows] == [True, False, True]


@pytest.mark.parametrize("name", ["a\x00b", "x" * 101, "line\nbreak"])
async def test_a_name_that_cannot_be_one_is_refused_in_its_row(users: UsersService, name: str) -> None:
    rows = await users.batch_create_users(CALL, [NewMember(new_phone(), name), NewMember(new_phone(), "Анна")])
    assert rows[0] == REFUSED
    assert rows[1].created


async def test_a_batch_without_one_readable_phone_writes_nothing(postgres: Postgres, users: UsersService) -> None:
    before = await audit_count(postgres)
    assert await users.batch_create_users(CALL, [NewMember("x"), NewMember("y")]) == [REFUSED, REFUSED]
    assert await audit_count(postgres) == before


async def test_a_known_member_is_returned_unchanged(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    phone = new_phone()
    user_id = await join(postgres, clock.now(), phone)
    before = await users.get_me(user_id)
    assert await users.batch_create_users(CALL, [NewMember(phone, "another name")]) == [MemberRow(user_id)]
    assert await users.get_me(user_id) == before
    assert before.status is AccountStatus.ACTIVE


async def test_parallel_batches_over_the_same_phones_in_opposite_order_agree_and_create_each_once(
    postgres: Postgres, users: UsersService
) -> None:
    phones = [new_phone() for _ in range(200)]
    forward = [NewMember(phone) for phone in phones]
    batches = [forward, forward[::-1], forward, forward[::-1]]
    answers = await asyncio.gather(*(users.batch_create_users(CALL, batch) for batch in batches))
    assert sum(row.created for rows in answers for row in rows) == 200
    ids = [[row.user_id for row in rows] for rows in answers]
    assert ids[0] == ids[1][::-1] == ids[2] == ids[3][::-1]


async def test_one_audit_event_names_the_created_users_and_no_phone(postgres: Postgres, users: UsersService) -> None:
    phone = new_phone()
    rows = await users.batch_create_users(CALL, [NewMember(phone, "Гостья")])
    async with postgres.read() as connection:
        event = await connection.fetchrow(
            "SELECT *, details::text AS text FROM audit_events WHERE action = 'USERS_CREATED' "
            "ORDER BY event_id DESC LIMIT 1"
        )
    assert event is not None
    assert event["actor_kind"] == "service"
    assert str(rows[0].user_id) in event["text"]
    assert phone[1:] not in event["text"]
    assert "Гостья" not in event["text"]


async def name_of(postgres: Postgres, user_id: UUID | None) -> str:
    async with postgres.read() as connection:
        name: str = await connection.fetchval("SELECT display_name FROM users WHERE id = $1", user_id)
    return name


async def audit_count(postgres: Postgres) -> int:
    async with postgres.read() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM audit_events WHERE action = 'USERS_CREATED'")
    return count
