"""An example as a program in TypeScript, for a browser; what gRPC-Web cannot carry, for Node."""

import json
import textwrap

from api_commands import GATEWAY, SERVER
from api_examples import Example, snake
from api_literals import Literals, grouped, oneof_of
from api_schema import Json
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

_PACKAGE = "@svoykrug/client"


class TypeScriptLiterals(Literals):
    """Writes messages in TypeScript."""

    indent = "  "

    def message(self, kind: Descriptor, value: Json) -> str:
        """Return a message."""
        fields = [self._field(kind.fields_by_name[name], item) for name, item in value.items()]
        return grouped("{", fields, "}", self.indent, " ")

    def enum(self, kind: EnumDescriptor, name: str) -> str:
        """Return a value of an enum."""
        where = f"{_PACKAGE}/{kind.file.name.removesuffix('.proto')}_pb"
        return f"{self.use(where, kind.name)}.{name.removeprefix(f'{snake(kind.name).upper()}_')}"

    def octets(self, value: bytes) -> str:
        """Return bytes."""
        return f"new TextEncoder().encode({json.dumps(value.decode())})"

    def time(self, value: str) -> str:
        """Return an instant."""
        return f'{self.use("@bufbuild/protobuf/wkt", "timestampFromDate")}(new Date("{value}"))'

    def mask(self, paths: list[str]) -> str:
        """Return a mask of fields."""
        return f"{{ paths: {json.dumps(paths)} }}"

    def long(self, value: int) -> str:
        """Return a number of 64 bits."""
        return f"{value}n"

    def _field(self, field: FieldDescriptor, value: object) -> str:
        name, shown, group = _camel(field.name), self.value(field, value), oneof_of(field)
        return f'{_camel(group)}: {{ case: "{name}", value: {shown} }}' if group else f"{name}: {shown}"


def in_typescript(example: Example) -> str:
    """Return the call by the TypeScript client."""
    literals, method = TypeScriptLiterals(), example.method
    service = method.service.rpartition(".")[2]
    module = example.kind.file.name.removesuffix(".proto")
    request = literals.message(example.kind, example.request)
    if method.client_streaming:
        schema = literals.use(f"{_PACKAGE}/{module}_pb", f"{example.kind.name}Schema")
        request = f"{literals.use('@bufbuild/protobuf', 'create')}({schema}, {request})"
    options = _for_node(literals) if method.client_streaming else _for_browser(literals, example)
    made = f"const client = new {literals.use(_PACKAGE, 'Client')}({grouped('{', options, '}', '  ', ' ')});\n"
    call = f"client.of({literals.use(f'{_PACKAGE}/{module}_pb', service)}).{method.name[0].lower()}{method.name[1:]}"
    return f"{_imports(literals)}\n\n{made}{_use(example, call, request)}"


def _for_browser(literals: Literals, example: Example) -> list[str]:
    options = [f'transport: {literals.use(f"{_PACKAGE}/web", "grpcWebTransport")}("{GATEWAY}")']
    if example.needs_token:
        options.append(f"tokenStore: new {literals.use(_PACKAGE, 'StorageTokenStore')}(localStorage)")
    return options


def _for_node(literals: Literals) -> list[str]:
    transport, credentials, read = (
        literals.use(f"{_PACKAGE}/node", name) for name in ("grpcTransport", "serviceCredentials", "readServiceKey")
    )
    key = f'{credentials}(await {read}("service-key.json"))'
    return [f'transport: {transport}("http://{SERVER}")', f"credentials: {key}"]


def _use(example: Example, call: str, request: str) -> str:
    if example.method.server_streaming:
        return f"for await (const answer of {call}({request})) {{\n  console.log(answer);\n}}\n"
    if not example.method.client_streaming:
        return f"const answer = await {call}({request});\nconsole.log(answer);\n"
    each = textwrap.indent(f"yield {request};\n", "  ")
    made = f"async function* requests() {{\n{each}}}"
    return f"\n{made}\n\nconst answer = await {call}(requests());\nconsole.log(answer);\n"


def _imports(literals: Literals) -> str:
    lines = [
        f'import {{ {", ".join(sorted(names, key=str.lower))} }} from "{where}";'
        for where, names in sorted(literals.imports.items())
    ]
    return "\n".join(lines)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
