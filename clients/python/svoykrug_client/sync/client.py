"""The synchronous client."""

from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc.aio
from svoykrug import sync_stubs
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.auth.v1.auth_admin_service_pb2_grpc import AuthAdminServiceStub
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from svoykrug.businesses.v1.businesses_service_pb2_grpc import BusinessesServiceStub
from svoykrug.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceStub

from svoykrug_client import client as asynchronous
from svoykrug_client.service_key import ServiceKey
from svoykrug_client.sync._channel import BlockingChannel
from svoykrug_client.sync._portal import portal
from svoykrug_client.tokens import TokenStore

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def _blocking(
    method: Callable[Concatenate[asynchronous.Client, _Arguments], Coroutine[Any, Any, _Answer]],
) -> "Callable[Concatenate[Client, _Arguments], _Answer]":
    """Returns a method of the asynchronous client as one that blocks."""

    @wraps(method)
    def call(self: "Client", /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        return self._run(lambda client: method(client, *args, **kwargs))

    return call


class Client:
    """A connection to the service, for code without an event loop; any number of threads may share it.

    It is the asynchronous client with the same names, whose calls block: a stream of answers is an iterator, and an
    upload takes one. All else is said there: `svoykrug_client.Client`. Use it as a context manager.

    Args:
        target: Where the service listens, such as `127.0.0.1:50051`.
        root_certificates_pem: Whom to trust, when not the system's authorities.
        insecure: Talk without TLS; for a service on this machine.
        token_store: Where the session of a signed-in person is kept; in memory by default. It is called in the thread
            that all synchronous clients share, so it must be quick; a `SharedTokenStore` in threads of its own.
        service_key: Call as a service account instead.
        language: `ru` or `en`: the language of the texts for people.
        interceptors: Yours, around all that the client does with a call, such as those of `svoykrug_client.tracing`;
            they run in the thread that all synchronous clients share, in the context of the caller.
    """

    def __init__(
        self,
        target: str,
        *,
        root_certificates_pem: bytes | None = None,
        insecure: bool = False,
        token_store: TokenStore | None = None,
        service_key: ServiceKey | None = None,
        language: str = "ru",
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        async def opened() -> asynchronous.Client:
            return asynchronous.Client(
                target,
                root_certificates_pem=root_certificates_pem,
                insecure=insecure,
                token_store=token_store,
                service_key=service_key,
                language=language,
                interceptors=interceptors,
            )

        self._portal = portal()
        self._client = self._portal.run(opened)
        channel = BlockingChannel(self._portal, self._client._channel)  # noqa: SLF001  # the two are one package

        # The generated stubs are typed for a channel of grpc.aio; `sync_stubs` says what they are on this one.
        def stub(kind: type[Any]) -> Any:
            return kind(channel)

        self.auth: sync_stubs.AuthServiceStub = stub(AuthServiceStub)
        self.auth_admin: sync_stubs.AuthAdminServiceStub = stub(AuthAdminServiceStub)
        self.users: sync_stubs.UsersServiceStub = stub(UsersServiceStub)
        self.businesses: sync_stubs.BusinessesServiceStub = stub(BusinessesServiceStub)
        self.purchases: sync_stubs.PurchasesServiceStub = stub(PurchasesServiceStub)
        self.analytics: sync_stubs.AnalyticsServiceStub = stub(AnalyticsServiceStub)
        self.operations: sync_stubs.OperationsServiceStub = stub(OperationsServiceStub)

    def _run(self, work: Callable[[asynchronous.Client], Coroutine[Any, Any, _Answer]]) -> _Answer:
        return self._portal.run(lambda: work(self._client))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    close = _blocking(asynchronous.Client.close)
    start_sign_in = _blocking(asynchronous.Client.start_sign_in)
    complete_sign_in = _blocking(asynchronous.Client.complete_sign_in)
    sign_out = _blocking(asynchronous.Client.sign_out)
    forget = _blocking(asynchronous.Client.forget)
    import_purchases = _blocking(asynchronous.Client.import_purchases)
    wait_for = _blocking(asynchronous.Client.wait_for)


def service_client(
    target: str,
    key_file: Path,
    *,
    root_certificates_pem: bytes | None = None,
    insecure: bool = False,
    language: str = "ru",
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> Client:
    """Returns a client that calls as the service account of a key file; see `Client` for the arguments.

    Raises:
        ValueError: The file holds no key.
    """
    return Client(
        target,
        root_certificates_pem=root_certificates_pem,
        insecure=insecure,
        service_key=ServiceKey.from_file(key_file),
        language=language,
        interceptors=interceptors,
    )
