"""An example as a program in Python."""

import json
import textwrap
from datetime import datetime

from api_commands import SERVER
from api_examples import Example, snake
from api_literals import Literals, grouped
from api_schema import Json
from google.protobuf.descriptor import Descriptor, EnumDescriptor

_STANDARD = ("datetime", "pathlib")


class PythonLiterals(Literals):
    """Writes messages in Python."""

    def message(self, kind: Descriptor, value: Json) -> str:
        """Return a message."""
        name = self.use(_module(kind), kind.name)
        fields = [f"{key}={self.value(kind.fields_by_name[key], item)}" for key, item in value.items()]
        return grouped(f"{name}(", fields, ")")

    def enum(self, kind: EnumDescriptor, name: str) -> str:
        """Return a value of an enum."""
        return self.use(_module(kind), name)

    def octets(self, value: bytes) -> str:
        """Return bytes."""
        return f"b{json.dumps(value.decode())}"

    def time(self, value: str) -> str:
        """Return an instant."""
        moment = datetime.fromisoformat(value)
        made, zone = self.use("datetime", "datetime"), self.use("datetime", "UTC")
        return f"{made}({moment.year}, {moment.month}, {moment.day}, {moment.hour}, {moment.minute}, tzinfo={zone})"

    def mask(self, paths: list[str]) -> str:
        """Return a mask of fields."""
        return f"{self.use('google.protobuf.field_mask_pb2', 'FieldMask')}(paths={json.dumps(paths)})"

    def truth(self, *, value: bool) -> str:
        """Return a bool."""
        return str(value)


def in_python(example: Example) -> str:
    """Return the call by the Python client."""
    literals = PythonLiterals()
    request = literals.message(example.kind, example.request)
    made = f'{literals.use("svoykrug_client", "Client")}("{SERVER}", insecure=True'
    if example.needs_token:
        store, path = literals.use("svoykrug_client", "FileTokenStore"), literals.use("pathlib", "Path")
        made += f', token_store={store}({path}("session.json"))'
    body = textwrap.indent("\n".join([f"request = {request}", *_use(example)]), " " * 8)
    return (
        f"{_imports(literals)}\n\nasync def main() -> None:\n    async with {made}) as client:\n"
        f"{body}\n\n\nasyncio.run(main())\n"
    )


def _use(example: Example) -> list[str]:
    method = example.method
    call = f"client.{snake(method.service.rpartition('.')[2].removesuffix('Service'))}.{method.name}"
    if method.server_streaming:
        return [f"async for answer in {call}(request):", "    print(answer)"]
    return [f"answer = await {call}({'iter([request])' if method.client_streaming else 'request'})", "print(answer)"]


def _imports(literals: Literals) -> str:
    lines = {
        module: f"from {module} import {', '.join(sorted(names, key=_order))}"
        for module, names in sorted(literals.imports.items())
    }
    standard = [lines.pop(module) for module in _STANDARD if module in lines]
    return "\n".join(["import asyncio", *standard, "", *lines.values(), ""])


def _order(name: str) -> tuple[bool, str]:
    """Constants stand before classes."""
    return not name.isupper(), name


def _module(kind: Descriptor | EnumDescriptor) -> str:
    return kind.file.name.removesuffix(".proto").replace("/", ".") + "_pb2"
