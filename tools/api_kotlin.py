"""An example as a program in Kotlin."""

import json
import textwrap
from typing import Any

from api_commands import SERVER
from api_examples import Example
from api_literals import Literals
from api_schema import Json
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor


class KotlinLiterals(Literals):
    """Writes messages in the builders that Kotlin has for them; a name to import is a whole one."""

    def message(self, kind: Descriptor, value: Json) -> str:
        """Return a message."""
        builder = self._imported(kind, f"{kind.name[0].lower()}{kind.name[1:]}")
        lines = [line for name, item in value.items() for line in self._field(kind.fields_by_name[name], item)]
        if len(lines) < 2 and "\n" not in "".join(lines):
            return f"{builder} {{ {lines[0]} }}" if lines else f"{builder} {{}}"
        body = textwrap.indent("".join(f"{line}\n" for line in lines), self.indent)
        return f"{builder} {{\n{body}}}"

    def enum(self, kind: EnumDescriptor, name: str) -> str:
        """Return a value of an enum."""
        return f"{self._imported(kind, kind.name)}.{name}"

    def octets(self, value: bytes) -> str:
        """Return bytes."""
        return f"{json.dumps(value.decode())}.{self.name('com.google.protobuf.kotlin.toByteStringUtf8')}()"

    def time(self, value: str) -> str:
        """Return an instant."""
        moment = f'{self.name("java.time.Instant")}.parse("{value}")'
        return f"{self.name('com.google.protobuf.timestamp')} {{ seconds = {moment}.epochSecond }}"

    def mask(self, paths: list[str]) -> str:
        """Return a mask of fields."""
        return (
            f"{self.name('com.google.protobuf.fieldMask')} {{ paths += listOf({', '.join(map(json.dumps, paths))}) }}"
        )

    def name(self, whole: str) -> str:
        """Note something to import by its whole name, and return its own name."""
        return self.use(whole, whole.rpartition(".")[2])

    def _field(self, field: FieldDescriptor, value: Any) -> list[str]:
        first, *rest = field.name.split("_")
        name = first + "".join(part.capitalize() for part in rest)
        if field.is_repeated:
            return [f"{name} += {self.single(field, item)}" for item in value]
        return [f"{name} = {self.single(field, value)}"]

    def _imported(self, kind: Descriptor | EnumDescriptor, name: str) -> str:
        ours = kind.file.package if kind.file.package.startswith("svoykrug.") else f"svoykrug.{kind.file.package}"
        return self.name(f"{ours}.{name}")


def in_kotlin(example: Example) -> str:
    """Return the call by the Kotlin client."""
    literals = KotlinLiterals()
    made = f'{literals.name("svoykrug.client.SvoyKrugClient")}("{SERVER}", insecure = true'
    if example.needs_token:
        store, file = literals.name("svoykrug.client.FileTokenStore"), literals.name("java.io.File")
        made += f', tokenStore = {store}({file}("session.json"))'
    request = literals.message(example.kind, example.request)
    body = textwrap.indent(f"val request = {request}\n{_use(example, literals)}", " " * 8)
    imports = "\n".join(f"import {whole}" for whole in sorted(literals.imports))
    return f"{imports}\n\nsuspend fun main() {{\n    {made}).use {{ client ->\n{body}    }}\n}}\n"


def _use(example: Example, literals: Literals) -> str:
    method = example.method
    service = method.service.rpartition(".")[2].removesuffix("Service")
    call = f"client.{service[0].lower()}{service[1:]}.{method.name[0].lower()}{method.name[1:]}"
    if method.server_streaming:
        return f"{call}(request).collect {{ answer -> println(answer) }}\n"
    if method.client_streaming:
        literals.use("kotlinx.coroutines.flow.flowOf", "flowOf")
        return f"println({call}(flowOf(request)))\n"
    return f"println({call}(request))\n"
