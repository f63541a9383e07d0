"""What `make test-clients` is told: each expectation of the scenario that held, and each step that went well."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCENARIO = json.loads((Path(__file__).parents[2] / "clients" / "scenario.json").read_text("utf-8"))
STEPS: dict[str, list[str]] = {step["id"]: list(step["expects"]) for step in _SCENARIO["steps"]}


class Telling:
    """Tells of one run of the scenario.

    Args:
        column: The run's name in clients/scenario.json.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._step = ""
        self._open: list[str] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Tells at the end of the block that a step went well: each of its expectations was told of in the block."""
        self._step, self._open = name, list(STEPS[name])
        yield
        assert self._open == [], f"{name}: nobody looked at {self._open}"
        self._say(name)

    def met(self, expectation: str) -> None:
        """Tells that an expectation of the step has held, where that was seen; once, and of none but the scenario's."""
        assert expectation in self._open, f"{self._step} does not expect {expectation}, or was told of it before"
        self._open.remove(expectation)
        self._say(f"{self._step}.{expectation}")

    def _say(self, name: str) -> None:
        print(f"scenario {name} ok ({self._column})")  # noqa: T201  # that is how it is told
