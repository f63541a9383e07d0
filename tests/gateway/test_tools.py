"""The tools of an engineer, through the gateway: buf curl by reflection, and the commands of docs/gateway.md."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.front import Front

BUF = Path(sys.executable).with_name("buf")
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "gateway.md"


async def printed(command: str, **environment: str) -> str:
    """Runs a command of the shell, and returns what it printed."""
    settings = "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", settings + command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
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


async def test_the_commands_of_the_guide_do_what_it_says(front: Front) -> None:
    person = await front.circle.sign_in("+79991234599")
    block = re.findall(r"```sh\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)[0]
    commands = re.split(r"\n(?=curl )", block.strip().replace("http://127.0.0.1:8080", front.at("")))
    answers = [
        json.loads(await printed(command.replace("curl ", "curl --silent ", 1), TOKEN=person.tokens.access_token))
        for command in commands
    ]
    started, me, changed = answers
    assert started["challenge"]["challenge_id"]
    assert me["user"]["id"] == person.user_id
    assert changed["user"]["display_name"] == "Анна"
