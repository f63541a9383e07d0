"""The edge stays cheap: bounds that a slower step breaks, and a slower machine does not.

What a step does in Python is counted in instructions, which are the same on every run. What it does in C is not among
them, so the time of the steps is held against the time of an empty call's own work in the same run. Both bounds are
wider than they vary between versions of Python; when one breaks, `python benchmarks/edge_steps.py` says what it costs.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from prometheus_client import CollectorRegistry

from benchmarks.edge_steps import Context, KnownToken, answer
from svoykrug_server.kit.caller import Caller
from svoykrug_server.rpc.access import TokenVerifier
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from tests.instructions import instructions
from tests.rpc.probe import SERVICE, ProbeRequest, add_service

MOST_INSTRUCTIONS = 1_200
"""994 on Python 3.11."""
MOST_EMPTY_CALLS = 30.0
"""18.9 to 23.5 on Python 3.11, half of the runs 19.7 to 20.2, on two cores with work for four to eight."""
RAW = ProbeRequest(text="hi").SerializeToString()
ROUNDS, CALLS_A_ROUND = 40, 50
Call = Callable[[], Awaitable[object]]


class CarefulInPython(KnownToken):
    """Looks twice at every character of a token that it knows."""

    async def verify(self, token: str) -> Caller:
        """Returns the member."""
        sum(ord(character) for character in token * 8)
        return await super().verify(token)


class CarefulInC(KnownToken):
    """Checks a token that it knows as if for the first time."""

    async def verify(self, token: str) -> Caller:
        """Returns the member."""
        hashlib.pbkdf2_hmac("sha256", token.encode(), b"", 60)
        return await super().verify(token)


async def test_the_steps_of_a_members_call_take_few_instructions() -> None:
    assert await instructions(call_of(KnownToken())) <= MOST_INSTRUCTIONS


async def test_a_step_that_grows_in_python_is_noticed() -> None:
    assert await instructions(call_of(CarefulInPython())) > MOST_INSTRUCTIONS


async def test_the_steps_of_a_members_call_take_the_time_of_few_empty_calls() -> None:
    assert await empty_calls(call_of(KnownToken())) <= MOST_EMPTY_CALLS


async def test_a_step_that_grows_in_c_is_noticed() -> None:
    assert await empty_calls(call_of(CarefulInC())) > MOST_EMPTY_CALLS


def call_of(verifier: TokenVerifier) -> Call:
    """Returns an empty call of a member behind the edge."""
    configure_logging(human=False)
    server = RpcServer(RpcOptions(max_calls_per_second_per_caller=1_000_000), verifier, CollectorRegistry())
    add_service(server.methods, {"Mine": answer})
    details: Any = type("Details", (), {"method": f"/{SERVICE}/Mine", "invocation_metadata": ()})
    handler = cast(Any, server.methods).service(details).unary_unary
    context = Context()
    return lambda: handler(RAW, context)


async def empty_call() -> None:
    """Does what an empty call cannot do without: reads the request, answers, writes the answer."""
    answered = await answer(ProbeRequest.FromString(RAW), None)
    answered.SerializeToString()


async def empty_calls(call: Call) -> float:
    """Returns how many empty calls a call takes the time of.

    Of each the fastest of some rounds in turn: whatever else the machine does only adds to one.
    """
    took = {call: float("inf"), empty_call: float("inf")}
    for _ in range(ROUNDS):
        for each, fastest in took.items():
            began = time.thread_time()
            for _ in range(CALLS_A_ROUND):
                await each()
            took[each] = min(fastest, time.thread_time() - began)
    return took[call] / took[empty_call]
