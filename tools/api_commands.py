"""An example as a command: curl with JSON, grpcurl and buf curl by reflection."""

import json
import shlex
from typing import Any

from api_examples import Example, at_gateway

GATEWAY = "http://localhost:8080"
SERVER = "localhost:50051"


def in_curl(example: Example) -> str:
    """Return the call as a command of curl; empty where HTTP cannot carry it."""
    if not example.method.bindings:
        return ""
    address, body = at_gateway(example)
    verb = example.method.bindings[0].verb
    lines = [f"curl {shlex.quote(GATEWAY + address) if '?' in address else GATEWAY + address}"]
    usual = "GET" if body is None else "POST"
    lines += [f"--request {verb}"] if verb != usual else []
    lines += ['--header "Authorization: Bearer $TOKEN"'] if example.needs_token else []
    lines += [f"--json {_quoted(body)}"] if body is not None else []
    return " \\\n  ".join(lines)


def in_grpcurl(example: Example) -> str:
    """Return the call as a command of grpcurl."""
    lines = ["grpcurl -plaintext"]
    lines += ['-H "authorization: Bearer $TOKEN"'] if example.needs_token else []
    lines += [f"-d {_quoted(example.request)}"] if example.request else []
    return " \\\n  ".join([*lines, f"{SERVER} {example.method.service}/{example.method.name}"])


def in_buf(example: Example) -> str:
    """Return the call as a command of buf curl."""
    lines = ["buf curl --protocol grpc --http2-prior-knowledge"]
    lines += ['--header "authorization: Bearer $TOKEN"'] if example.needs_token else []
    lines += [f"--data {_quoted(example.request)}"] if example.request else []
    return " \\\n  ".join([*lines, f"http://{SERVER}/{example.method.service}/{example.method.name}"])


def _quoted(value: Any) -> str:
    return shlex.quote(json.dumps(value, ensure_ascii=False, indent=2))
