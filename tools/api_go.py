"""An example as a program in Go."""

import json
import textwrap
from datetime import datetime
from typing import Any

from api_commands import SERVER
from api_examples import Example
from api_literals import Literals, grouped, oneof_of
from api_schema import Json
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

_KNOWN = "google.golang.org/protobuf/types/known/"
_CHECK = "if err != nil {\n\tlog.Fatal(err)\n}\n"


class GoLiterals(Literals):
    """Writes messages in Go, as gofmt has them."""

    indent = "\t"

    def message(self, kind: Descriptor, value: Json) -> str:
        """Return a message."""
        fields = [self._field(kind, kind.fields_by_name[name], item) for name, item in value.items()]
        body = grouped("{", [f"{name}: {item}" for name, item in fields], "}", self.indent)
        if "\n" in body:
            body = grouped("{", _aligned(fields), "}", self.indent)
        return f"&{self._name(kind)}{body}"

    def value(self, field: FieldDescriptor, value: Any) -> str:
        """Return the value of a field; a list says of what it is."""
        if not field.is_repeated:
            return self.single(field, value)
        items = [self.single(field, item) for item in value]
        if field.message_type is None:
            kind = "string" if field.enum_type is None else self._name(field.enum_type)
            return grouped(f"[]{kind}{{", items, "}", self.indent)
        name = self._name(field.message_type)
        # The type stands before the braces of the list, and not before those of each item.
        return grouped(f"[]*{name}{{", [item.removeprefix(f"&{name}") for item in items], "}", self.indent)

    def enum(self, kind: EnumDescriptor, name: str) -> str:
        """Return a value of an enum."""
        return f"{self._name(kind)}_{name}"

    def octets(self, value: bytes) -> str:
        """Return bytes."""
        return f"[]byte({json.dumps(value.decode())})"

    def time(self, value: str) -> str:
        """Return an instant."""
        moment = datetime.fromisoformat(value)
        day = f"{moment.year}, time.{moment:%B}, {moment.day}, {moment.hour}, {moment.minute}"
        self.use("time", "")
        self.use(f"{_KNOWN}timestamppb", "")
        return f"timestamppb.New(time.Date({day}, 0, 0, time.UTC))"

    def mask(self, paths: list[str]) -> str:
        """Return a mask of fields."""
        self.use(f"{_KNOWN}fieldmaskpb", "")
        return f"&fieldmaskpb.FieldMask{{Paths: []string{{{', '.join(map(json.dumps, paths))}}}}}"

    def _field(self, owner: Descriptor, field: FieldDescriptor, value: Any) -> tuple[str, str]:
        name, shown, group = _camel(field.name), self.value(field, value), oneof_of(field)
        return (_camel(group), f"&{self._name(owner)}_{name}{{{name}: {shown}}}") if group else (name, shown)

    def _name(self, kind: Descriptor | EnumDescriptor) -> str:
        """Return the name of a type with that of its package, which is imported."""
        if kind.file.package == "google.type":
            self.use("google.golang.org/genproto/googleapis/type/date", "")
            return f"date.{kind.name}"
        short = "".join(kind.file.package.split(".")[1:])
        return f"{self.use(kind.file.package.replace('.', '/'), short)}.{kind.name}"


def in_go(example: Example) -> str:
    """Return the call by the Go client."""
    literals = GoLiterals()
    for path in ("context", "fmt", "log", "svoykrug"):
        literals.use(path, "")
    options = [f'"{SERVER}"', "svoykrug.WithInsecure()"]
    if example.needs_token:
        options.append('svoykrug.WithTokenStore(svoykrug.FileTokenStore("session.json"))')
    made = f"client, err := {grouped('svoykrug.New(', options, ')', literals.indent)}\n{_CHECK}defer client.Close()\n"
    call = _call(example, literals.message(example.kind, example.request))
    main = _inside(f"ctx := context.Background()\n{made}{call}")
    return f"package main\n\nimport (\n{_imports(literals)}\n)\n\nfunc main() {{\n{main}}}\n"


def _call(example: Example, request: str) -> str:
    method = example.method
    name = f"client.{method.service.rpartition('.')[2].removesuffix('Service')}.{method.name}"
    if method.server_streaming:
        each = _inside(f"{_CHECK}fmt.Println(answer)\n")
        return f"for answer, err := range svoykrug.Stream(ctx, {name}, {request}) {{\n{each}}}\n"
    if method.client_streaming:
        sent = f"if err := stream.Send({request}); err != nil {{\n\tlog.Fatal(err)\n}}\n"
        ended = f"answer, err := stream.CloseAndRecv()\n{_CHECK}fmt.Println(answer)\n"
        return f"stream, err := {name}(ctx)\n{_CHECK}{sent}{ended}"
    return f"answer, err := {name}(ctx, {request})\n{_CHECK}fmt.Println(answer)\n"


def _imports(literals: Literals) -> str:
    groups: tuple[list[str], ...] = ([], [], [])
    for path, names in sorted(literals.imports.items()):
        [name] = names
        group = 2 if path.partition("/")[0] == "svoykrug" else int("." in path)
        groups[group].append(f'\t{name} "{path}"' if name else f'\t"{path}"')
    return "\n\n".join("\n".join(group) for group in groups if group)


def _aligned(fields: list[tuple[str, str]]) -> list[str]:
    """Return fields with the values of neighbours under each other, as gofmt does it for those that take one line."""
    lines, run = list[str](), list[tuple[str, str]]()
    for name, value in [*fields, ("", "\n")]:
        if "\n" not in value:
            run.append((name, value))
            continue
        width = max((len(known) for known, _ in run), default=0) + 1
        lines += [f"{f'{known}:':{width}} {shown}" for known, shown in run]
        lines.append(f"{name}: {value}")
        run = []
    return lines[:-1]


def _inside(text: str) -> str:
    return textwrap.indent(text, "\t")


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
