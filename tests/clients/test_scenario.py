"""The Python client, both ways, runs the scenario of all clients against the real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import bad_days, steps
from tests.clients.bad_days import BadDays
from tests.clients.blocking import blocking
from tests.clients.steps import Scenario
from tests.clients.telling import STEPS, Telling
from tests.clients.world import Phones, World, running_world

ASYNC, SYNC = Phones.of_run(1), Phones.of_run(2)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The server, for both runs."""
    with running_world([ASYNC, SYNC]) as running:
        yield running


def test_the_steps_are_those_of_the_table_in_its_order() -> None:
    public = [name for kind in (Scenario, BadDays) for name in vars(kind) if not name.startswith("_")]
    assert [name for name in public if name != "close"] == list(STEPS)


@pytest.mark.timeout(600)
async def test_the_asynchronous_client_does_every_step(world: World) -> None:
    telling = Telling("python async")
    scenario = BadDays(world, ASYNC, telling.met)
    try:
        for step in STEPS:
            with telling.step(step):
                await getattr(scenario, step)()
    finally:
        await scenario.close()


@pytest.mark.timeout(600)
def test_the_synchronous_client_does_every_step(world: World) -> None:
    blocking(Path(steps.__file__))
    telling = Telling("python sync")
    scenario = blocking(Path(bad_days.__file__)).BadDays(world, SYNC, telling.met)
    try:
        for step in STEPS:
            with telling.step(step):
                getattr(scenario, step)()
    finally:
        scenario.close()


def tell_of_a_sign_in(*expectations: str) -> None:
    telling = Telling("python async")
    with telling.step("sign_in"):
        for expectation in expectations:
            telling.met(expectation)


@pytest.mark.parametrize("expectation", ["made_up", "session_stored"])
def test_nothing_is_told_that_the_step_does_not_expect_or_that_was_told_before(
    expectation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError, match=f"sign_in does not expect {expectation}"):
        tell_of_a_sign_in("session_stored", expectation)
    assert capsys.readouterr().out == "scenario sign_in.session_stored ok (python async)\n"


def test_a_step_without_one_of_its_expectations_is_not_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match=r"nobody looked at \['is_herself'\]"):
        tell_of_a_sign_in("session_stored")
    assert capsys.readouterr().out == "scenario sign_in.session_stored ok (python async)\n"
