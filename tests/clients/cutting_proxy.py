"""A bad network between a client and the server."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Every access token begins so: an answer that holds one is told from others by it.
_TOKEN = b"eyJ"


class CuttingProxy(socketserver.ThreadingTCPServer):
    """Forwards connections; while it is `cutting`, each one ends in place of an answer that holds an access token.

    Args:
        target: The server.

    Attributes:
        target: Where the proxy listens.
        cutting: Whether answers are lost.
        cuts: How many were.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        host, _, port = target.rpartition(":")
        self.server_target = host, int(port)
        self.target = f"127.0.0.1:{self.server_address[1]}"
        self.cutting = False
        self.cuts = 0


class _Connection(socketserver.BaseRequestHandler):
    server: CuttingProxy
    request: socket.socket

    def handle(self) -> None:
        """Forwards both ways until either side ends, or an answer is cut."""
        with socket.create_connection(self.server.server_target) as far:
            forward = threading.Thread(target=self._send, args=(far,))
            forward.start()
            with suppress(OSError):
                self._answer(far)
            for end in (self.request, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            forward.join()

    def _send(self, far: socket.socket) -> None:
        with suppress(OSError):
            while data := self.request.recv(65_536):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def _answer(self, far: socket.socket) -> None:
        while data := far.recv(65_536):
            if self.server.cutting and _TOKEN in data:
                self.server.cuts += 1
                return
            self.request.sendall(data)


@contextmanager
def cutting_proxy(target: str) -> Iterator[CuttingProxy]:
    """Runs a proxy before the server for one block."""
    with CuttingProxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


@contextmanager
def silent_server() -> Iterator[str]:
    """Gives the address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"
