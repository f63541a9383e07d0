"""What a message looks like as JSON: its fields, their types and rules, and a JSON Schema of it.

Why this exists: OpenAPI, the pages and the examples must agree on it. Names are those of the protos, as the gateway
writes them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from contract import Contract
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Json = dict[str, Any]
_T = FieldDescriptor
_SCALARS: dict[int, Json] = {
    _T.TYPE_BOOL: {"type": "boolean"},
    _T.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    _T.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _T.TYPE_FLOAT: {"type": "number", "format": "float"},
    _T.TYPE_INT32: {"type": "integer", "format": "int32"},
    _T.TYPE_UINT32: {"type": "integer", "format": "uint32"},
    _T.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"},
    _T.TYPE_UINT64: {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"},
    _T.TYPE_STRING: {"type": "string"},
}
"""Numbers of 64 bits are texts in JSON: not every reader has numbers that large."""
WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    "google.protobuf.FieldMask": {"type": "string", "description": "Names of fields, parted by commas."},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
}
"""Messages with a JSON form of their own."""
_LENGTHS = {"min_len": "minLength", "max_len": "maxLength"}
_RANGE = {"gte": "minimum", "lte": "maximum"}


class Schemas:
    """The JSON Schemas of the contract's messages.

    Args:
        contract: The contract.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.comments = contract.comments()

    def message(self, name: str) -> Descriptor:
        """Return a message by its full name."""
        found: Descriptor = self._contract.pool.FindMessageTypeByName(name)
        return found

    def reachable(self, names: Iterator[str]) -> list[Descriptor | EnumDescriptor]:
        """Return the messages of the names, and every message and enum in them, sorted by full name."""
        found: dict[str, Descriptor | EnumDescriptor] = {}
        waiting: list[Descriptor | EnumDescriptor] = [self.message(name) for name in names]
        while waiting:
            kind = waiting.pop()
            if kind.full_name in found or kind.full_name in WELL_KNOWN:
                continue
            found[kind.full_name] = kind
            for field in kind.fields if isinstance(kind, Descriptor) else ():
                waiting += [inner for inner in (field.message_type, field.enum_type) if inner is not None]
        return [found[name] for name in sorted(found)]

    def rules(self, field: FieldDescriptor) -> Any:
        """Return the `buf.validate` rules of a field."""
        return self._contract.option(field.GetOptions(), "FieldOptions", "buf.validate.field")

    def of_type(self, kind: Descriptor | EnumDescriptor) -> Json:
        """Return the schema of a message or an enum, with references to others."""
        described = {"description": self.comments[kind.full_name]} if kind.full_name in self.comments else {}
        if isinstance(kind, EnumDescriptor):
            return {"type": "string", "enum": [value.name for value in kind.values], **described}
        return {
            "type": "object",
            **described,
            "properties": {field.name: self.of_field(field) for field in kind.fields},
        }

    def of_field(self, field: FieldDescriptor) -> Json:
        """Return the schema of a field, with its comment and the rules that JSON Schema can state."""
        comment = self.comments.get(field.full_name)
        schema = {**self.type_of(field), **({"description": comment} if comment else {})}
        rules = self.rules(field)
        if not field.is_repeated:
            return {**schema, **_limits(rules)}
        items, sizes = {**self.type_of(field), **_limits(rules.repeated.items)}, _sizes(rules.repeated)
        return {"type": "array", "items": items, **sizes, **({"description": comment} if comment else {})}

    def type_of(self, field: FieldDescriptor) -> Json:
        """Return the schema of one value of a field."""
        if field.enum_type is not None:
            return reference(field.enum_type.full_name)
        if field.message_type is not None:
            name = field.message_type.full_name
            return dict(WELL_KNOWN[name]) if name in WELL_KNOWN else reference(name)
        return dict(_SCALARS[field.type])


def reference(name: str) -> Json:
    """Return a reference to the schema of a message or an enum."""
    return {"$ref": f"#/components/schemas/{name}"}


def _limits(rules: Any) -> Json:
    """Return what the rules of one value say; an unset value is often excepted, and its limit left to the comment."""
    if rules.ignore:
        return {"format": "uuid"} if rules.string.uuid else {}
    text = rules.string
    found: Json = {"format": "uuid"} if text.uuid else {"format": "email"} if text.email else {}
    if text.HasField("pattern") and "\\p{" not in text.pattern:
        found["pattern"] = text.pattern
    return found | _chosen(text, _LENGTHS) | _chosen(rules.int32, _RANGE) | _chosen(rules.double, _RANGE)


def _chosen(rules: Any, names: Mapping[str, str]) -> Json:
    """Return the rules that are set, each under the name that JSON Schema has for it."""
    return {name: getattr(rules, rule) for rule, name in names.items() if rules.HasField(rule)}


def _sizes(rules: Any) -> Json:
    found = _chosen(rules, {"min_items": "minItems", "max_items": "maxItems"})
    return {**found, "uniqueItems": True} if rules.unique else found
