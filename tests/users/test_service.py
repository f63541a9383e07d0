import asyncio
from dataclasses import replace
from datetime import date, timedelta
from uuid import uuid4

import pytest

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Caller, Role
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import Conflict, DomainError, InvalidFields, NotFound, PermissionDenied, Unauthenticated
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users import repository
from svoykrug_server.users.model import Locale, ProfileChange, ProfileField, Tier, User
from svoykrug_server.users.service import UsersService
from tests.callers import CallBy, admin, person, service
from tests.users.people import audited, join, new_phone


def naming(display_name: str) -> ProfileChange:
    return ProfileChange(frozenset({ProfileField.DISPLAY_NAME}), display_name=display_name)


async def test_a_person_reads_her_own_profile(postgres: Postgres, users: UsersService, clock: ManualClock) -> None:
    phone = new_phone()
    user_id = await join(postgres, clock.now(), phone)
    user = await users.get_me(user_id)
    assert (user.id, user.phone, user.display_name, user.email, user.birth_date) == (user_id, phone, "", "", None)
    assert (user.locale, user.tier, user.status) == (Locale.RU, Tier.INSIDER, AccountStatus.ACTIVE)
    assert user.roles == {Role.MEMBER}
    assert user.staff == ()
    assert (user.create_time, user.update_time) == (clock.now(), clock.now())
    assert len(user.referral_code) == 8


async def test_a_person_who_does_not_exist_any_more_is_denied(users: UsersService) -> None:
    with pytest.raises(PermissionDenied):
        await users.get_me(uuid4())


async def test_people_who_ask_at_one_time_each_read_their_own_profile(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    phones = {await join(postgres, clock.now(), phone): phone for phone in (new_phone() for _ in range(30))}
    nobody = uuid4()
    asked = [*phones, nobody, *phones]
    answers = await asyncio.gather(*map(users.get_me, asked), return_exceptions=True)
    for user_id, answer in zip(asked, answers, strict=True):
        if user_id == nobody:
            assert isinstance(answer, PermissionDenied)
        else:
            assert isinstance(answer, User)
            assert (answer.id, answer.phone) == (user_id, phones[user_id])


async def test_a_change_writes_exactly_the_named_fields_and_leaves_an_audit_event_without_values(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    user_id = await join(postgres, clock.now())
    before = await users.get_me(user_id)
    clock.advance(timedelta(hours=1))
    change = ProfileChange(
        frozenset({ProfileField.DISPLAY_NAME, ProfileField.BIRTH_DATE}),
        display_name="Анна",
        email="ignored@example.org",
        birth_date=date(1985, 2, 28),
        locale=Locale.EN,
    )
    answer = await users.update_me(CallBy(person(user_id)), change, before.etag)
    assert answer == await users.get_me(user_id)
    assert answer == replace(
        before, display_name="Анна", birth_date=date(1985, 2, 28), version=before.version + 1, update_time=clock.now()
    )
    assert (await audited(postgres, user_id))[-1] == ("USER_UPDATED", {"fields": ["birth_date", "display_name"]})


async def test_named_fields_that_are_empty_are_emptied(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    call = CallBy(person(await join(postgres, clock.now())))
    clock.advance(timedelta(minutes=1))
    everything = ProfileChange(frozenset(ProfileField), "Анна", "anna@example.org", date(1985, 2, 28), Locale.EN)
    await users.update_me(call, everything, "")
    emptied = await users.update_me(call, ProfileChange(frozenset(ProfileField)), "")
    assert (emptied.display_name, emptied.email, emptied.birth_date, emptied.locale) == ("", "", None, Locale.RU)


async def test_the_same_change_again_with_the_same_etag_gives_the_same_profile_and_writes_nothing(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    user_id = await join(postgres, clock.now())
    etag = (await users.get_me(user_id)).etag
    first = await users.update_me(CallBy(person(user_id)), naming("Анна"), etag)
    events = await audited(postgres, user_id)
    clock.advance(timedelta(minutes=1))
    assert await users.update_me(CallBy(person(user_id)), naming("Анна"), etag) == first
    assert await audited(postgres, user_id) == events


@pytest.mark.parametrize("etag", ["0", "2", "x", "1 ", "-1"])
async def test_a_change_with_another_etag_is_stale_and_writes_nothing(
    postgres: Postgres, users: UsersService, clock: ManualClock, etag: str
) -> None:
    user_id = await join(postgres, clock.now())
    before = await users.get_me(user_id)
    with pytest.raises(Conflict) as refusal:
        await users.update_me(CallBy(person(user_id)), naming("Анна"), etag)
    assert refusal.value.reason == "STALE_ETAG"
    assert await users.get_me(user_id) == before


async def test_of_two_parallel_changes_with_one_etag_exactly_one_wins(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    user_id = await join(postgres, clock.now())
    etag = (await users.get_me(user_id)).etag
    names = [f"Анна {number}" for number in range(8)]
    outcomes = await asyncio.gather(
        *(users.update_me(CallBy(person(user_id)), naming(name), etag) for name in names), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert (len(won), len(lost)) == (1, 7)
    assert await users.get_me(user_id) == won[0]
    assert won[0].version == 2


async def test_parallel_changes_without_an_etag_all_win_one_after_the_other(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    user_id = await join(postgres, clock.now())
    await asyncio.gather(
        *(users.update_me(CallBy(person(user_id)), naming(f"Анна {number}"), "") for number in range(5))
    )
    assert (await users.get_me(user_id)).version == 6


@pytest.mark.parametrize("birth_date", [date(1899, 12, 31), date(2026, 6, 2), date(1, 1, 1), date(9999, 12, 31)])
async def test_a_birth_date_of_long_ago_or_to_come_is_refused_by_path(
    postgres: Postgres, users: UsersService, clock: ManualClock, birth_date: date
) -> None:
    user_id = await join(postgres, clock.now())
    change = ProfileChange(frozenset({ProfileField.BIRTH_DATE}), birth_date=birth_date)
    with pytest.raises(InvalidFields) as refusal:
        await users.update_me(CallBy(person(user_id)), change, "")
    assert [violation.path for violation in refusal.value.violations] == ["user.birth_date"]
    assert (await users.get_me(user_id)).birth_date is None


@pytest.mark.parametrize("birth_date", [date(1900, 1, 1), date(2026, 6, 1)])
async def test_a_birth_date_at_the_edge_of_what_can_be_is_taken(
    postgres: Postgres, users: UsersService, clock: ManualClock, birth_date: date
) -> None:
    call = CallBy(person(await join(postgres, clock.now())))
    change = ProfileChange(frozenset({ProfileField.BIRTH_DATE}), birth_date=birth_date)
    assert (await users.update_me(call, change, "")).birth_date == birth_date


async def test_a_deleted_person_changes_nothing(postgres: Postgres, users: UsersService, clock: ManualClock) -> None:
    user_id = await join(postgres, clock.now())
    async with postgres.transaction() as tx:
        await repository.change(tx, user_id, {"status": "deleted"}, clock.now())
    with pytest.raises(PermissionDenied):
        await users.update_me(CallBy(person(user_id)), naming("Анна"), "")
    with pytest.raises(PermissionDenied):
        await users.update_me(CallBy(person()), naming("Анна"), "")


async def test_a_change_by_nobody_is_unauthenticated(users: UsersService) -> None:
    with pytest.raises(Unauthenticated):
        await users.update_me(CallBy(None), naming("Анна"), "")


@pytest.mark.parametrize(
    ("caller", "existing", "missing"),
    [
        (admin(), "phone", NotFound),
        (person(None, Role.SUPERADMIN), "phone", NotFound),
        (service("users.read"), "masked", NotFound),
        (service("users.read", "users.read_phone"), "phone", NotFound),
        (person(), PermissionDenied, PermissionDenied),
    ],
    ids=["admin", "superadmin", "service", "service that may read phones", "another member"],
)
async def test_who_may_see_a_user(
    postgres: Postgres,
    users: UsersService,
    clock: ManualClock,
    caller: Caller,
    existing: str | type[DomainError],
    missing: type[DomainError],
) -> None:
    phone = new_phone()
    user_id = await join(postgres, clock.now(), phone)
    if isinstance(existing, str):
        seen = (await users.get_user(caller, user_id)).phone
        assert seen == (phone if existing == "phone" else f"{phone[:2]}********{phone[-2:]}")
    else:
        with pytest.raises(existing):
            await users.get_user(caller, user_id)
    with pytest.raises(missing):
        await users.get_user(caller, uuid4())


async def test_a_person_may_see_herself(postgres: Postgres, users: UsersService, clock: ManualClock) -> None:
    user_id = await join(postgres, clock.now())
    assert (await users.get_user(person(user_id), user_id)).id == user_id
    stranger = uuid4()
    with pytest.raises(PermissionDenied):
        await users.get_user(person(stranger), stranger)


async def test_a_service_is_not_told_of_a_deleted_user_and_an_admin_is(
    postgres: Postgres, users: UsersService, clock: ManualClock
) -> None:
    user_id = await join(postgres, clock.now())
    async with postgres.transaction() as tx:
        await repository.change(tx, user_id, {"status": "deleted"}, clock.now())
    assert (await users.get_user(admin(), user_id)).status is AccountStatus.DELETED
    with pytest.raises(NotFound):
        await users.get_user(service("users.read", "users.read_phone"), user_id)
