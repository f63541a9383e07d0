"""Write `svoykrug/sync_stubs.py`: the types of the stubs as the synchronous client has them.

Why this exists: the generated `.pyi` of a service says what its stub gives on a channel of grpc.aio. A type checker
cannot turn each of its methods into the blocking one, so that is generated from the contract as well.
"""

import textwrap
from itertools import groupby

from contract import Contract, Method

_HEAD = '''"""Generated from the services: the types of their stubs in the synchronous client."""

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

{imports}

_Request = TypeVar("_Request", contravariant=True)
_Answer = TypeVar("_Answer", covariant=True)
_Metadata = Sequence[tuple[str, str | bytes]]


class Unary(Protocol[_Request, _Answer]):
    """A method with one request and one answer."""

    def __call__(self, request: _Request, *, timeout: float | None = None, metadata: _Metadata = ()) -> _Answer:
        """Calls it, and returns its answer; `timeout` is in seconds."""


class Stream(Iterator[_Answer], Protocol[_Answer]):
    """The answers of a call that goes on until they end or it is cancelled; a context manager that cancels it."""

    def cancel(self) -> None:
        """Ends the call; one that has ended stays as it is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Download(Protocol[_Request, _Answer]):
    """A method with one request and a stream of answers."""

    def __call__(
        self, request: _Request, *, timeout: float | None = None, metadata: _Metadata = ()
    ) -> Stream[_Answer]:
        """Begins the call; `timeout` is in seconds and covers the whole stream."""


class Upload(Protocol[_Request, _Answer]):
    """A method with a stream of requests and one answer."""

    def __call__(
        self, requests: Iterable[_Request], *, timeout: float | None = None, metadata: _Metadata = ()
    ) -> _Answer:
        """Sends the requests, and returns the answer; `timeout` is in seconds."""
'''
_KINDS = {(False, False): "Unary", (False, True): "Download", (True, False): "Upload"}


def render(contract: Contract) -> str:
    """Return the module."""
    modules = {_module(contract, name) for method in contract.methods for name in (method.request, method.response)}
    imports = "\n".join(f"from {package} import {module}" for package, module in sorted(modules))
    services = groupby(contract.methods, lambda method: method.service)
    classes = [_stub(contract, service, list(methods)) for service, methods in services]
    return "\n\n".join([_HEAD.format(imports=imports), *classes])


def _stub(contract: Contract, service: str, methods: list[Method]) -> str:
    name = service.rpartition(".")[2]
    lines = [f"class {name}Stub(Protocol):", _docstring(contract.comments()[service]), ""]
    for method in methods:
        kind = _KINDS[method.client_streaming, method.server_streaming]
        request, answer = _message(contract, method.request), _message(contract, method.response)
        lines += [f"    {method.name}: {kind}[{request}, {answer}]", _docstring(method.comment)]
    return "\n".join([*lines, ""])


def _docstring(comment: str) -> str:
    text = "\n".join(line.removeprefix(" ") for line in comment.splitlines())
    return textwrap.indent(f'"""{text}\n"""' if "\n" in text else f'"""{text}"""', "    ")


def _module(contract: Contract, message: str) -> tuple[str, str]:
    package, _, file = contract.pool.FindMessageTypeByName(message).file.name.rpartition("/")
    return package.replace("/", "."), f"{file.removesuffix('.proto')}_pb2"


def _message(contract: Contract, message: str) -> str:
    return f"{_module(contract, message)[1]}.{message.rpartition('.')[2]}"
