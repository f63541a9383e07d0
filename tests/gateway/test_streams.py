"""Streams through the gateway: each value arrives when it is sent, and the stream goes on."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.python_client import ADMIN_PHONE, grant_superadmin
from tests.gateway.front import Front
from tests.gateway.test_grpc_web import frame

WATCH = "/svoykrug.analytics.v1.AnalyticsService/WatchDashboard"


@pytest.fixture
async def token(front: Front) -> str:
    """The token of somebody who may watch the circle."""
    await grant_superadmin(front.server.foundation.postgres)
    return (await front.circle.sign_in(ADMIN_PHONE)).tokens.access_token


@asynccontextmanager
async def watching(*arguments: str, token: str, send: bytes = b"") -> AsyncIterator[asyncio.StreamReader]:
    """Runs a curl that would go on for ever, for one block."""
    authorized = ("--header", f"authorization: Bearer {token}")
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--no-buffer", *authorized, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(send)
    process.stdin.close()
    try:
        yield process.stdout
        assert process.returncode is None
    finally:
        process.terminate()
        await process.communicate()


async def test_the_first_value_of_a_watched_dashboard_comes_as_a_line_while_the_stream_goes_on(
    front: Front, token: str
) -> None:
    async with watching(front.at("/v1/circle/dashboard:watch"), token=token) as answer:
        line = await asyncio.wait_for(answer.readline(), 20)
        assert b'"dashboard"' in line


async def test_a_browser_gets_its_first_frame_while_the_stream_goes_on(front: Front, token: str) -> None:
    header = ("--header", "content-type: application/grpc-web+proto")
    sent = (*header, "--data-binary", "@-", front.at(WATCH))
    async with watching(*sent, token=token, send=frame(b"")) as answer:
        flags, *length = await asyncio.wait_for(answer.readexactly(5), 20)
        assert flags == 0
        assert await answer.readexactly(int.from_bytes(length))


async def test_who_may_not_watch_is_refused(front: Front) -> None:
    person = await front.circle.sign_in("+79991234567")
    refused = await front.call("GET", "/v1/circle/dashboard:watch", token=person.tokens.access_token)
    assert (refused.status, refused.reason) == (403, "PERMISSION_DENIED")
