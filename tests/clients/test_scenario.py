"""The Python client, both ways, runs the scenario of all clients against the real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import bad_days, steps
from tests.clients.bad_days import BadDays
from tests.clients.blocking import blocking
from tests.clients.steps import Scenario
from tests.clients.world import Phones, World, running_world

TABLE = json.loads((Path(__file__).parents[2] / "clients" / "scenario.json").read_text("utf-8"))
STEPS = [step["id"] for step in TABLE["steps"]]
ASYNC, SYNC = Phones.of_run(1), Phones.of_run(2)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The server, for both runs."""
    with running_world([ASYNC, SYNC]) as running:
        yield running


def say(step: str, column: str) -> None:
    """Tells what `make test-clients` counts."""
    print(f"scenario {step} ok ({column})")  # noqa: T201  # that is how it is told


def test_the_steps_are_those_of_the_table_in_its_order() -> None:
    public = [name for kind in (Scenario, BadDays) for name in vars(kind) if not name.startswith("_")]
    assert [name for name in public if name != "close"] == STEPS


@pytest.mark.timeout(500)
async def test_the_asynchronous_client_does_every_step(world: World) -> None:
    scenario = BadDays(world, ASYNC)
    try:
        for step in STEPS:
            await getattr(scenario, step)()
            say(step, "python async")
    finally:
        await scenario.close()


@pytest.mark.timeout(500)
def test_the_synchronous_client_does_every_step(world: World) -> None:
    blocking(Path(steps.__file__))
    scenario = blocking(Path(bad_days.__file__)).BadDays(world, SYNC)
    try:
        for step in STEPS:
            getattr(scenario, step)()
            say(step, "python sync")
    finally:
        scenario.close()
