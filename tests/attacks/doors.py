"""Which servicers a call reached: what was let in, whatever it was answered there."""

from collections import Counter
from typing import Any

from svoykrug_server.kit.errors import NotFound
from svoykrug_server.rpc.server import RpcServer


class Doors:
    """Stands in the doorway of every servicer of a running server and counts who comes through the edge.

    Args:
        server: The server, started.
        closed: Paths of methods behind which nothing happens: a caller who came through is answered NOT_FOUND.
    """

    def __init__(self, server: RpcServer, closed: frozenset[str] = frozenset()) -> None:
        self.passed: Counter[str] = Counter()
        for path, handler in server._interceptor._handlers.items():
            entries: tuple[Any, ...] = (
                handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream,
            )  # fmt: skip
            (edge,) = {entry.__self__ for entry in entries if entry is not None}
            edge._behavior = self._watched(path, edge._behavior, is_closed=path in closed)

    def _watched(self, path: str, behavior: Any, *, is_closed: bool) -> Any:
        def through(request: Any, context: Any) -> Any:
            self.passed[path] += 1
            if is_closed:
                raise NotFound
            return behavior(request, context)

        return through
