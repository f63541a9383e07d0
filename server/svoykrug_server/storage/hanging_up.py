"""Ends a wait on the network: for statements whose server fell silent, and would be waited for until they time out."""

import socket
from contextlib import suppress
from threading import Lock
from typing import Any
from weakref import WeakSet

from clickhouse_connect.driver.httpclient import HttpClient
from urllib3.connection import HTTPConnection


class Line:
    """The connections of one client, which another thread can break.

    Args:
        client: A client with a pool of connections of its own (`dedicated_pool`).
    """

    def __init__(self, client: HttpClient) -> None:
        self._connections: WeakSet[HTTPConnection] = WeakSet()
        self._lock = Lock()
        self._hung_up = False
        client.http.clear()
        pool: Any = client.http.connection_from_url(client.url)
        self._connect = pool.ConnectionCls
        pool.ConnectionCls = self._noted

    def begin(self) -> None:
        """Allows connections for the next statement."""
        self._hung_up = False

    def hang_up(self) -> None:
        """Breaks every connection: who waits on one gets an error, and cannot connect before the next statement."""
        self._hung_up = True
        with self._lock:
            sockets = [connection.sock for connection in self._connections if connection.sock is not None]
        for connected in sockets:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _noted(self, *arguments: Any, **options: Any) -> HTTPConnection:
        """Makes a connection, and remembers it for as long as it is used."""
        if self._hung_up:
            raise ConnectionAbortedError
        connection: HTTPConnection = self._connect(*arguments, **options)
        with self._lock:
            self._connections.add(connection)
        return connection
