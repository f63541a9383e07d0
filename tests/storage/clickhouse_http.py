"""ClickHouse's HTTP interface over the embedded engine, so that the path to a server is tested with a real engine.

It speaks what the driver uses: a statement in the body or in `query`, rows to insert in the body, settings and
`param_...` in the query string or in a form, and errors as ClickHouse reports them. Where
`SVOYKRUG_TEST_CLICKHOUSE_URL` is set the same tests run against a real server, too.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import chdb
import lz4.frame
from aiohttp import web

TRANSPORT = {"query", "database", "session_id", "query_id", "client_protocol_version", "compress", "decompress"}
"""What the interface itself takes from the query string; everything else is a setting or a parameter."""
TRANSPORT_SETTINGS = {"wait_end_of_query", "send_progress_in_http_headers", "http_headers_progress_interval_ms"}
INSERT_ROWS = re.compile(r"^(INSERT\s+INTO\s+.+?)\s+FORMAT\s+(\w+)\s*$", re.IGNORECASE | re.DOTALL)
ERROR_CODE = re.compile(r"Code: (\d+)")
MOST_VALUE_BYTES = 128 * 1024
"""How long one value may be, in the query string or in a form: the server's `http_max_field_value_size`."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one request asks.

    Attributes:
        sql: The statement.
        rows: Rows to insert, in the statement's format.
        database: The database that names without one are in.
        parameters: The values of `{name:Type}`.
        settings: The engine's settings for this statement.
    """

    sql: str
    rows: bytes
    database: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]


class ClickHouseServer:
    """A server on a free port that can be taken away and brought back.

    Args:
        path: The embedded engine's path.
        port: Where it listens; 0 for a free port.

    Attributes:
        is_silent: While it is set, requests are taken and never answered.
        unanswered: How many requests were.
    """

    def __init__(self, path: str, port: int = 0) -> None:
        self._path = path
        self._runner: web.AppRunner | None = None
        self._port = port
        self.is_silent = False
        self.unanswered = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listens: on a free port the first time, then on the same."""
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuses connections from now on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            statement = await read_statement(request)
            if self.is_silent:
                self.unanswered += 1
                await asyncio.Event().wait()
            body = await asyncio.to_thread(self._execute, statement)
        except RuntimeError as error:
            code = ERROR_CODE.search(str(error))
            headers = {"X-ClickHouse-Exception-Code": code[1] if code else "1002"}
            return web.Response(status=500, text=str(error), headers=headers)
        return web.Response(body=body, headers={"X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Format": "Native"})

    def _execute(self, statement: Statement) -> bytes:
        connection = chdb.connect(self._path)
        try:
            connection.query(f"USE `{statement.database}`")
            for name, value in statement.settings.items():
                connection.query(f"SET {name} = '{value}'")
            insert = INSERT_ROWS.match(statement.sql)
            if insert is None:
                result = connection.query(statement.sql, "TabSeparated", params=dict(statement.parameters))
                return bytes(result.bytes() or b"")
            with tempfile.NamedTemporaryFile() as file:
                file.write(statement.rows)
                file.flush()
                connection.query(f"{insert[1]} FROM INFILE '{file.name}' FORMAT {insert[2]}")
            return b""
        finally:
            connection.close()


async def read_statement(request: web.Request) -> Statement:
    """Takes a request apart as ClickHouse does.

    Raises:
        RuntimeError: A value is longer than a server takes.
    """
    query = dict(request.query)
    if request.content_type == "multipart/form-data":  # so the driver sends parameters that are long
        query |= {name: str(value) for name, value in (await request.post()).items()}
        body = b""
    else:
        body = await request.read()
    if any(len(value) > MOST_VALUE_BYTES for value in query.values()):
        raise RuntimeError("Code: 1000. Poco::Exception: HTML Form Exception: Field value too long")
    if request.headers.get("Content-Encoding") == "lz4":
        body = lz4.frame.decompress(body)
    sql = query.get("query", "")
    if not sql:
        sql, body = body.decode(), b""
    return Statement(
        sql=sql,
        rows=body,
        database=query.get("database", "default"),
        parameters={name[6:]: value for name, value in query.items() if name.startswith("param_")},
        settings={
            name: value
            for name, value in query.items()
            if name not in TRANSPORT | TRANSPORT_SETTINGS and not name.startswith("param_")
        },
    )


@asynccontextmanager
async def clickhouse_server(path: str, port: int = 0) -> AsyncIterator[ClickHouseServer]:
    """Runs a server over the embedded engine for one block."""
    # An engine ends with its last connection, and chDB then keeps its threads and files: so it lives as long as this.
    engine = chdb.connect(path)
    server = ClickHouseServer(path, port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        engine.close()
