"""What the edge's steps cost on an empty call: `python benchmarks/edge_steps.py`, from the root of the repository.

Calls the wrapped handlers directly, with a context that answers as gRPC's does and a verifier that knows its token: no
network, no other process. The target is 35 us (7-performance.md). A figure is the best of several rounds, because
whatever else the machine does only adds to it.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import uvloop
from prometheus_client import CollectorRegistry
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from svoykrug_server.kit.caller import Caller, Role
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from tests.rpc.probe import SERVICE, ProbeRequest, add_service

TARGET_MICROSECONDS = 35.0
CALLS_A_ROUND = 10_000
ROUNDS = 9
CALLER = Caller(uuid4(), "token", datetime.max.replace(tzinfo=UTC), uuid4(), frozenset({Role.MEMBER}))


class KnownToken:
    """Takes every token for the same member's, as a cache of verified tokens does."""

    async def verify(self, token: str) -> Caller:
        """Returns the member, whose only token it is."""
        assert token == CALLER.token_id  # noqa: S101  nothing else was sent
        return CALLER


class Context:
    """Answers as gRPC's context does for a call without a deadline."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what a client sends with every call."""
        return (
            ("user-agent", "grpc-python-asyncio"),
            ("authorization", "Bearer token"),
            ("accept-language", "ru-RU,ru;q=0.9,en;q=0.8"),
        )

    def set_trailing_metadata(self, metadata: object) -> None:
        """Takes the trailers."""

    def time_remaining(self) -> None:
        """Returns that there is no deadline: the method's own is set, which costs more."""

    def peer(self) -> str:
        """Returns the caller's address."""
        return "ipv4:127.0.0.1:50000"


async def answer(request: Any, _context: object) -> Any:
    """Does nothing: what is left is the steps."""
    return request


async def measure(handler: Any, *arguments: object) -> float:
    """Returns the microseconds of one call in one round."""
    started = time.perf_counter()
    for _ in range(CALLS_A_ROUND):
        await handler(*arguments)
    return (time.perf_counter() - started) / CALLS_A_ROUND * 1e6


async def steps() -> dict[str, list[float]]:
    """Returns the microseconds that the steps of a call take, in each round, by the kind of method."""
    server = RpcServer(RpcOptions(max_calls_per_second_per_caller=1_000_000), KnownToken(), CollectorRegistry())
    add_service(server.methods, {"Mine": answer, "Echo": answer})
    raw = ProbeRequest(text="hi").SerializeToString()
    taken: dict[str, list[float]] = {"for members": [], "public": []}
    for _ in range(ROUNDS):
        bare = await measure(answer, ProbeRequest(text="hi"), None)
        for name, kind in zip(("Mine", "Echo"), taken, strict=True):
            details: Any = type("Details", (), {"method": f"/{SERVICE}/{name}", "invocation_metadata": ()})
            handler = cast(Any, server.methods).service(details).unary_unary
            taken[kind].append(await measure(handler, raw, Context()) - bare)
    return taken


async def main() -> None:
    """Measures and prints."""
    console = Console(highlight=False)
    for kind, taken in (await steps()).items():
        console.print(f"steps of a method {kind:12} {min(taken):6.1f} us   target <= {TARGET_MICROSECONDS:.0f} us")


if __name__ == "__main__":
    with Path("/dev/null").open("w") as nowhere:
        configure_logging(human=False, stream=nowhere)
        uvloop.run(main())
