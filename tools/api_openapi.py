"""Write `openapi.json`: what the gateway answers over HTTP with JSON, as OpenAPI 3.1.

Why this exists: other tools (Postman, code generators, mock servers) read this format; it says what the protos say.
"""

import json
from collections.abc import Iterator

from api_refusals import Refusals
from api_schema import WELL_KNOWN, Json, Schemas, reference
from contract import Binding, Contract, Method
from google.protobuf.descriptor import Descriptor, FieldDescriptor

VERSION = "1.0.0"
_INFO = {
    "title": "Свой Круг",
    "version": VERSION,
    "description": "The service over HTTP with JSON. Numbers of 64 bits are texts; a stream is one JSON value a line; "
    "the fields of `update_mask` and all filters stand in the query.",
}


def render(contract: Contract) -> str:
    """Return the document."""
    schemas, refusals = Schemas(contract), Refusals(contract)
    mapped = [method for method in contract.methods if method.bindings]
    kinds = schemas.reachable(name for method in mapped for name in (method.request, method.response))
    services = dict.fromkeys(method.service for method in mapped)
    document = {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/"}],
        "tags": [{"name": name.rpartition(".")[2], "description": schemas.comments[name]} for name in services],
        "paths": _paths(schemas, refusals, mapped),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {kind.full_name: schemas.of_type(kind) for kind in kinds} | refusals.schemas(),
            "responses": refusals.components(),
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _paths(schemas: Schemas, refusals: Refusals, methods: list[Method]) -> Json:
    paths: Json = {}
    for method in methods:
        for number, binding in enumerate(method.bindings):
            identity = f"{method.service.rpartition('.')[2]}_{method.name}" + (f"_{number + 1}" if number else "")
            operations = paths.setdefault(binding.path, {})
            operation = _operation(schemas, method, binding, identity)
            operation["responses"] |= refusals.of(method)
            operations[binding.verb.lower()] = operation
    return dict(sorted(paths.items()))


def _operation(schemas: Schemas, method: Method, binding: Binding, identity: str) -> Json:
    request = schemas.message(method.request)
    stream = " One value a line: each is as the schema says." if method.server_streaming else ""
    kind = "application/x-ndjson" if method.server_streaming else "application/json"
    operation: Json = {
        "operationId": identity,
        "tags": [method.service.rpartition(".")[2]],
        "summary": method.comment.partition(".")[0].replace("\n", " "),
        "description": method.comment,
        "parameters": list(_parameters(schemas, request, binding)),
        "responses": {
            "200": {
                "description": f"What the method returns.{stream}",
                "content": {kind: {"schema": reference(method.response)}},
            }
        },
        "security": [] if "PUBLIC" in method.callers else [{"token": []}],
    }
    if binding.body:
        schema = _body(schemas, request, binding)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _body(schemas: Schemas, request: Descriptor, binding: Binding) -> Json:
    """Return the schema of what is sent: one field of the request, or all that are not in the path."""
    if binding.body != "*":
        return schemas.type_of(request.fields_by_name[binding.body])
    fields = [field for field in request.fields if field.name not in binding.variables]
    if len(fields) == len(request.fields):
        return reference(request.full_name)
    return {"type": "object", "properties": {field.name: schemas.of_field(field) for field in fields}}


def query_fields(request: Descriptor, binding: Binding) -> list[FieldDescriptor]:
    """Return the fields of a request that stand in the query."""
    if binding.body == "*":
        return []
    # Where the path has no business, it is the circle's: the field stays unset.
    elsewhere = {binding.body, "business_id", *(variable.partition(".")[0] for variable in binding.variables)}
    return [field for field in request.fields if field.name not in elsewhere]


def _parameters(schemas: Schemas, request: Descriptor, binding: Binding) -> Iterator[Json]:
    for variable in binding.variables:
        first, _, rest = variable.partition(".")
        field = request.fields_by_name[first]
        if rest and field.message_type is not None:
            field = field.message_type.fields_by_name[rest]
        yield {"name": variable, "in": "path", "required": True, "schema": schemas.of_field(field)}
    for field in query_fields(request, binding):
        yield from _query(schemas, field, field.name)


def _query(schemas: Schemas, field: FieldDescriptor, name: str) -> Iterator[Json]:
    """Yield the parameters of one field: a message without a JSON form of its own has one for each field in it."""
    if field.message_type is not None and field.message_type.full_name not in WELL_KNOWN:
        for inner in field.message_type.fields:
            yield from _query(schemas, inner, f"{name}.{inner.name}")
        return
    schema = schemas.of_field(field)
    described = {"description": schema.pop("description")} if "description" in schema else {}
    yield {"name": name, "in": "query", "required": False, **described, "schema": schema}
