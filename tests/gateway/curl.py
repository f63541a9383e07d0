"""curl, as anybody calls the gateway: a program that nobody here wrote."""

import asyncio
import json
import subprocess
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What curl was told.

    Attributes:
        status: The HTTP status; 0 when the connection was closed without one.
        headers: Lower-case name -> values.
        body: The body.
    """

    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """The body, read as one JSON value a line."""
        return [json.loads(line) for line in self.body.splitlines() if line]

    @property
    def reason(self) -> str:
        """The reason of the only `google.rpc.ErrorInfo` that a refusal carries."""
        [info] = [part for part in self.json["details"] if part["@type"].endswith("google.rpc.ErrorInfo")]
        assert info["domain"] == "svoykrug"
        return str(info["reason"])


async def curl(url: str, *options: str, token: str = "", send: bytes | None = None) -> Answer:
    """Calls an address.

    Args:
        url: The address.
        options: Options of curl.
        token: The access token to call with.
        send: What curl finds on its standard input.
    """
    authorized = ["--header", f"authorization: Bearer {token}"] if token else []
    told = '\n{"status":"%{http_code}","headers":%{header_json}}'
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--max-time", "20", "--write-out", told, *authorized, *options, url,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await process.communicate(send)
    # The headers come after the body, and hold line ends of their own.
    start = printed.rindex(b'\n{"status":')
    facts = json.loads(printed[start:])
    return Answer(int(facts["status"]), facts["headers"], printed[:start])
