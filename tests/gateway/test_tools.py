"""The tools of an engineer, through the gateway: buf curl by reflection."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.front import Front

BUF = Path(sys.executable).with_name("buf")


async def printed(command: str) -> str:
    """Runs a command of the shell, and returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode()


@pytest.mark.parametrize("protocol", ["grpc", "grpcweb"])
async def test_buf_finds_and_calls_methods_through_the_gateway(front: Front, protocol: str) -> None:
    person = await front.circle.sign_in("+79991234567")
    call = f"{BUF} curl --protocol {protocol} --http2-prior-knowledge"
    assert "svoykrug.users.v1.UsersService/GetMe" in await printed(f"{call} --list-methods {front.at('')}")
    header = f"-H 'authorization: Bearer {person.tokens.access_token}'"
    answer = await printed(f"{call} {header} {front.at('/svoykrug.users.v1.UsersService/GetMe')}")
    assert json.loads(answer)["user"]["id"] == person.user_id
