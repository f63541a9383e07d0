"""The gRPC server: listens, tells its health, and stops without dropping a call."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from time import perf_counter
from typing import cast

import grpc
import structlog
from google.rpc import error_details_pb2, status_pb2
from grpc_channelz.v1 import channelz, channelz_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from svoykrug_server.rpc.access import TokenVerifier
from svoykrug_server.rpc.admission import Admission
from svoykrug_server.rpc.call import Draining, Steps
from svoykrug_server.rpc.call_log import CallLog
from svoykrug_server.rpc.client_version import ClientVersionGate
from svoykrug_server.rpc.health import Health
from svoykrug_server.rpc.interceptor import Interceptor
from svoykrug_server.rpc.listening import listen
from svoykrug_server.rpc.metrics import RpcMetrics, SheddingMetrics
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.own_calls import OwnCalls
from svoykrug_server.rpc.reflection_pool import ReflectionPool
from svoykrug_server.rpc.refusals import Refusals
from svoykrug_server.rpc.shedding import Shedding

# What a client must resolve to show an error's details (grpcurl#238, #547): importing them puts them in reflection.
DETAIL_FILES = (status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)
MOST_STANDARD_STREAMS = 1_000
"""How many streams of health and reflection may be open: they cost no token, and end when their callers like."""
_log = structlog.get_logger("svoykrug_server.rpc")
POLL_SECONDS = 0.05
"""How often a stopping server looks whether calls are left."""
LINGER_SECONDS = 2.0
"""How long the last answers may be on their way at a stop, and how long clients may take to hang up."""
_SERVING = health_pb2.HealthCheckResponse.SERVING


class RpcServer:
    """One grpc.aio server with the edge's steps around every method. Made inside the running event loop.

    Register servicers by `add_XServicer_to_server(servicer, server.methods)`, then `start`.

    Args:
        options: How it listens and what it allows.
        verifier: Tells who holds an access token.
        registry: Where its metrics are registered.
    """

    def __init__(self, options: RpcOptions, verifier: TokenVerifier, registry: CollectorRegistry) -> None:
        self._options = options
        self._draining = Draining()
        self._leaving = False
        self._refusals = Refusals()
        self._admission = Admission(
            options.max_calls, options.max_calls_per_caller, options.max_calls_per_second_per_caller
        )
        self._shedding = Shedding(perf_counter())
        self._call_log = CallLog(asyncio.get_running_loop())
        self._interceptor = Interceptor(
            Steps(
                verifier=verifier,
                admission=self._admission,
                refusals=self._refusals,
                standard_streams=Admission(MOST_STANDARD_STREAMS, options.max_calls_per_caller),
                versions=ClientVersionGate(options.oldest_client_versions),
                default_locale=options.default_locale,
                trusted_proxies=options.trusted_proxies,
                draining=self._draining,
                log=self._call_log,
            ),
            RpcMetrics(registry),
            self._shedding,
        )
        SheddingMetrics(registry, self._shedding)
        self._health = Health()
        self._server = grpc.aio.server(options=options.channel_arguments())
        self._server.add_generic_rpc_handlers((self._interceptor,))
        self._own_calls: OwnCalls | None = None
        self.addresses: tuple[str, ...] = ()

    @property
    def methods(self) -> grpc.aio.Server:
        """What generated `add_..._to_server` functions are given in place of a server, so that the steps get around."""
        return cast(grpc.aio.Server, self._interceptor)

    @property
    def is_ready(self) -> bool:
        """Whether calls are to be sent here: started and not about to stop."""
        return bool(self.addresses) and not self._leaving

    @property
    def calls_in_progress(self) -> int:
        """The calls being answered now, standard services left out."""
        return self._admission.in_progress

    async def start(self) -> None:
        """Opens the ports and takes calls; `addresses` then holds the real ports.

        Raises:
            CannotStart: A port is in use, or the addresses and TLS do not fit together.
        """
        ours = self._interceptor.services
        self._add_standard_services(ours)
        addresses = listen(self._server, self._options)
        for service in ours:
            await self._health.set(service, _SERVING)
        self._own_calls = OwnCalls(self._server, self._shedding)
        self._interceptor.add_own(self._own_calls.path, self._own_calls.handler)
        await self._server.start()
        self._own_calls.start()
        self.addresses = addresses

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Says NOT_SERVING, waits, ends endless streams, lets the other calls finish, and stops; once.

        Whoever asks for its health leaves during the wait. What arrives after it, before a client has heard that the
        connection ends, gRPC answers CANCELLED without asking us (grpc#41785): `docs/decisions/restarts.md`.

        Args:
            hurry: When it is set, what is not finished is cancelled at once.
        """
        if self._leaving:
            return
        self._leaving = True
        hurry = hurry or asyncio.Event()
        await self._health.enter_graceful_shutdown()
        _log.info("draining", calls=self.calls_in_progress, seconds=self._options.drain_seconds)
        await _or_hurry(asyncio.sleep(self._options.drain_seconds), hurry)
        self._draining.start()
        self._refusals.release()
        if self._own_calls is not None:
            await self._own_calls.stop()
        stopping = asyncio.ensure_future(self._server.stop(self._options.grace_seconds))
        await _or_hurry(self._finish(stopping), hurry)
        await self._server.stop(None)
        await stopping
        self._call_log.end()

    async def _finish(self, stopping: "asyncio.Future[None]") -> None:
        """Waits for the calls in progress, and a little for connections: a client that went silent never closes its."""
        while self.calls_in_progress and not stopping.done():
            await asyncio.wait([stopping], timeout=POLL_SECONDS)
        await asyncio.wait([stopping], timeout=LINGER_SECONDS)

    def _add_standard_services(self, ours: tuple[str, ...]) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.methods)
        if self._options.reflection:
            names = (*ours, health.SERVICE_NAME, reflection.SERVICE_NAME)
            servicer = reflection.aio.ReflectionServicer(names, ReflectionPool())
            add = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
            add(servicer, self.methods)  # type: ignore[no-untyped-call]  # its published types leave out the types
        if self._options.channelz:
            channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz.aio.ChannelzServicer(), self.methods)


async def _or_hurry(work: Awaitable[object], hurry: asyncio.Event) -> None:
    """Waits for some work, but no longer than until there is hurry."""
    task = asyncio.ensure_future(work)
    hurried = asyncio.ensure_future(hurry.wait())
    await asyncio.wait((task, hurried), return_when=asyncio.FIRST_COMPLETED)
    for waiting in (task, hurried):
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
