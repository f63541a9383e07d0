"""The answers kept for repeated requests."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.storage import idempotency
from svoykrug_server.storage.idempotency import RequestKey, hash_of
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.upkeep import Upkeep

REQUEST_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def key_of(body: str = "first") -> RequestKey:
    return RequestKey("user-1", "/svoykrug.test.v1.Test/Create", REQUEST_ID, hash_of({"body": body}))


async def answer_once(postgres: Postgres, clock: ManualClock, answer: int) -> idempotency.Answer:
    async with postgres.transaction() as tx:
        replay = await idempotency.claim(tx, key_of(), clock.now())
        if replay is None:
            replay = {"answer": answer}
            await idempotency.remember(tx, key_of(), replay)
        return replay


async def fail_after_claiming(postgres: Postgres, clock: ManualClock) -> None:
    async with postgres.transaction() as tx:
        await idempotency.claim(tx, key_of(), clock.now())
        raise ZeroDivisionError


async def test_the_same_id_again_gets_the_first_answer(postgres: Postgres, clock: ManualClock) -> None:
    assert await answer_once(postgres, clock, 1) == {"answer": 1}
    assert await answer_once(postgres, clock, 2) == {"answer": 1}


async def test_the_same_id_with_another_body_is_refused(postgres: Postgres, clock: ManualClock) -> None:
    await answer_once(postgres, clock, 1)
    async with postgres.transaction() as tx:
        with pytest.raises(InvalidFields) as refusal:
            await idempotency.claim(tx, key_of("second"), clock.now())
    assert refusal.value.reason == "REQUEST_ID_REUSED"
    assert refusal.value.violations[0].path == "request_id"


async def test_of_eight_at_once_one_does_the_work_and_all_get_its_answer(
    postgres: Postgres, clock: ManualClock
) -> None:
    answers = await asyncio.gather(*(answer_once(postgres, clock, number) for number in range(8)))
    assert len({answer["answer"] for answer in answers}) == 1


async def test_a_rolled_back_first_try_leaves_the_id_free(postgres: Postgres, clock: ManualClock) -> None:
    with pytest.raises(ZeroDivisionError):
        await fail_after_claiming(postgres, clock)
    assert await answer_once(postgres, clock, 2) == {"answer": 2}


async def test_after_seven_days_the_id_is_new_again(postgres: Postgres, clock: ManualClock) -> None:
    await answer_once(postgres, clock, 1)
    clock.advance(timedelta(days=7))
    assert await answer_once(postgres, clock, 2) == {"answer": 1}
    clock.advance(timedelta(seconds=1))
    assert await answer_once(postgres, clock, 3) == {"answer": 3}


async def test_expired_answers_are_deleted(postgres: Postgres, clock: ManualClock) -> None:
    await answer_once(postgres, clock, 1)
    clock.advance(timedelta(days=8))
    assert await Upkeep(postgres, clock).forget() == 1
    assert await Upkeep(postgres, clock).forget() == 0


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert hash_of({"a": 1, "b": "x"}) == hash_of({"b": "x", "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": "1"})
