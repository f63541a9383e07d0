"""A real server with the edge around some servicers, on a free port, for tests of one feature."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import Unauthenticated
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer

Metadata = tuple[tuple[str, str], ...]


class TokenTable:
    """Knows who holds which token, in place of signatures: features are tested behind the edge, not auth."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}

    async def verify(self, token: str) -> Caller:
        """Returns who holds a token."""
        caller = self._callers.get(token)
        if caller is None:
            raise Unauthenticated("TOKEN_INVALID")
        return caller

    def sign_in(self, caller: Caller) -> Metadata:
        """Gives a caller a token and returns the metadata to call with."""
        self._callers[caller.token_id] = caller
        return (("authorization", f"Bearer {caller.token_id}"),)


@dataclass(frozen=True, slots=True)
class Served:
    """A channel to a running server, and whom it believes."""

    channel: grpc.aio.Channel
    tokens: TokenTable


@asynccontextmanager
async def serving(register: Callable[[grpc.aio.Server], None]) -> AsyncIterator[Served]:
    """Runs a server for one block.

    Args:
        register: Adds the servicers.
    """
    tokens = TokenTable()
    # Tests call faster than people do.
    options = RpcOptions(listen=("127.0.0.1:0",), grace_seconds=1, max_calls_per_second_per_caller=1_000_000)
    server = RpcServer(options, tokens, CollectorRegistry())
    register(server.methods)
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        yield Served(channel, tokens)
    await server.stop()


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call was refused: the status code, the reason, and the paths of bad fields."""

    code: grpc.StatusCode
    reason: str
    paths: tuple[str, ...] = ()


async def refusal_of(call: Awaitable[object]) -> Refusal:
    """Awaits a call that must be refused and reads the rich status.

    Raises:
        AssertionError: The call succeeded.
    """
    try:
        await call
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it needs code, details and trailers: an aio error has them
        assert status is not None
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(request)
        return Refusal(error.code(), info.reason, tuple(violation.field for violation in request.field_violations))
    raise AssertionError("the call was not refused")
