import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.account import ConsentGrant
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields, PermissionDenied
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.consent_texts import ANY_TEXT, ConsentTexts
from svoykrug_server.users.membership.consents import Consents
from tests.callers import CallBy, person
from tests.users.people import audited, join

TERMS = ConsentGrant("terms", "2026-11", granted=True)
PERSONAL_DATA = ConsentGrant("personal_data", "2026-11", granted=True)
MARKETING = ConsentGrant("marketing", "2026-11", granted=True)
NO_MARKETING = ConsentGrant("marketing", "2026-11", granted=False)


@pytest.fixture
def consents(postgres: Postgres, clock: ManualClock) -> Consents:
    return Consents(postgres, clock, ANY_TEXT)


@pytest.fixture
async def anna(postgres: Postgres, clock: ManualClock) -> UUID:
    return await join(postgres, clock.now())


async def kept(postgres: Postgres, user_id: UUID) -> list[tuple[str, str, bool]]:
    """Returns every row that is kept of what she said, the oldest first."""
    async with postgres.read() as connection:
        rows = await connection.fetch(
            "SELECT kind, document_version, granted FROM user_consents WHERE user_id = $1 ORDER BY id", user_id
        )
    return [tuple(row) for row in rows]


async def test_what_she_said_at_sign_up_stands_in_the_order_of_kinds(consents: Consents, anna: UUID) -> None:
    assert [(consent.kind.value, consent.granted) for consent in await consents.get(anna)] == [
        ("terms", True),
        ("personal_data", True),
    ]


async def test_giving_and_taking_back_are_both_kept_with_their_time_and_the_last_stands(
    consents: Consents, postgres: Postgres, clock: ManualClock, anna: UUID
) -> None:
    call = CallBy(person(anna))
    await consents.set(call, [MARKETING])
    clock.advance(timedelta(days=1))
    stands = await consents.set(call, [NO_MARKETING])

    marketing = stands[-1]
    assert (marketing.kind.value, marketing.granted, marketing.consent_time) == ("marketing", False, clock.now())
    assert await consents.get(anna) == stands
    assert (await kept(postgres, anna))[-2:] == [("marketing", "2026-11", True), ("marketing", "2026-11", False)]
    assert [event for event in await audited(postgres, anna) if event[0] == "CONSENTS_SET"] == [
        ("CONSENTS_SET", {"consents": {"marketing": True}}),
        ("CONSENTS_SET", {"consents": {"marketing": False}}),
    ]


async def test_what_stands_already_is_not_written_again_and_makes_no_event(
    consents: Consents, postgres: Postgres, anna: UUID
) -> None:
    before = await kept(postgres, anna)
    stands = await consents.set(CallBy(person(anna)), [TERMS, PERSONAL_DATA])
    assert await kept(postgres, anna) == before
    assert len(stands) == 2
    assert "CONSENTS_SET" not in [action for action, _ in await audited(postgres, anna)]


async def test_a_new_text_is_consented_to_anew(consents: Consents, postgres: Postgres, anna: UUID) -> None:
    stands = await consents.set(CallBy(person(anna)), [ConsentGrant("terms", "2027-01", granted=True)])
    assert stands[0].document_version == "2027-01"
    assert (await kept(postgres, anna))[-1] == ("terms", "2027-01", True)


async def test_a_required_consent_cannot_be_taken_back_and_nothing_beside_it_is_written(
    consents: Consents, postgres: Postgres, anna: UUID
) -> None:
    before = await kept(postgres, anna)
    taken_back = [ConsentGrant(kind, "2026-11", granted=False) for kind in ("terms", "personal_data")]
    with pytest.raises(FailedPrecondition, match="CONSENT_REQUIRED") as refusal:
        await consents.set(CallBy(person(anna)), [MARKETING, *taken_back])
    assert refusal.value.metadata == {"missing": "terms,personal_data"}
    assert await kept(postgres, anna) == before


async def test_a_kind_named_twice_is_refused_by_its_path(consents: Consents, anna: UUID) -> None:
    with pytest.raises(InvalidFields) as refusal:
        await consents.set(CallBy(person(anna)), [MARKETING, TERMS, NO_MARKETING])
    assert [violation.path for violation in refusal.value.violations] == ["consents[2].kind"]


async def test_the_same_said_eight_times_at_once_is_kept_once(
    consents: Consents, postgres: Postgres, anna: UUID
) -> None:
    call = CallBy(person(anna))
    await asyncio.gather(*(consents.set(call, [MARKETING]) for _ in range(8)))
    assert (await kept(postgres, anna)).count(("marketing", "2026-11", True)) == 1


async def test_nobody_says_anything_for_who_is_erased_or_deleted(
    consents: Consents, postgres: Postgres, anna: UUID
) -> None:
    async with postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = 'deleted' WHERE id = $1", anna)
    for user_id in (anna, uuid4()):
        with pytest.raises(PermissionDenied):
            await consents.set(CallBy(person(user_id)), [MARKETING])


async def test_a_text_that_there_is_not_is_named_and_only_taken_back(
    postgres: Postgres, clock: ManualClock, anna: UUID
) -> None:
    consents = Consents(postgres, clock, ConsentTexts(frozenset({"2026-12"})))
    before = await consents.get(anna)
    with pytest.raises(InvalidFields) as refusal:
        await consents.set(CallBy(person(anna)), [replace(TERMS, document_version="2026-12"), MARKETING])
    assert [violation.path for violation in refusal.value.violations] == ["consents[1].version"]
    assert await consents.get(anna) == before
    taken_back = (await consents.set(CallBy(person(anna)), [NO_MARKETING]))[-1]
    assert (taken_back.kind.value, taken_back.granted) == ("marketing", False)
