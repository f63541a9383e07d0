"""What `openapi.json` says of refusals: the reasons that a method may give under each HTTP status, and their details.

Why this exists: a client that is generated from the document should branch on reasons by name, not read them in prose.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from api_schema import Json, reference
from contract import COMMON_REASONS, Contract, Method

STATUS = "google.rpc.Status"
_TEXT: Json = {"type": "string"}
_CAPITALS = re.compile(r"[A-Z]+(?:_[A-Z]+)*")
# As the gateway turns the codes of gRPC into statuses of HTTP.
_HTTP = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "ABORTED": 409, "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
_VIOLATION: Json = {
    "type": "object",
    "properties": {
        "field": {"type": "string", "description": "The path of the field, such as `user.email`."},
        "description": {"type": "string", "description": "The rule that its value breaks; never the value."},
        "reason": _TEXT,
    },
    "required": ["field", "description"],
}
_DETAILS: Mapping[str, tuple[str, Json]] = {
    "google.rpc.ErrorInfo": (
        "Why: every refusal has one.",
        {"reason": _TEXT, "domain": _TEXT, "metadata": {"type": "object", "additionalProperties": _TEXT}},
    ),
    "google.rpc.LocalizedMessage": (
        "What a person is shown, in the language of `accept-language`.",
        {"locale": _TEXT, "message": _TEXT},
    ),
    "google.rpc.RequestInfo": ("What the operator finds the call by in the log.", {"request_id": _TEXT}),
    "google.rpc.RetryInfo": (
        "After which time the same call may succeed.",
        {"retry_delay": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?s$"}},
    ),
    "google.rpc.BadRequest": ("Which fields are wrong.", {"field_violations": {"type": "array", "items": _VIOLATION}}),
}
"""The details of a refusal: what each is for, and its fields."""


class Refusals:
    """The refusals of a contract's methods.

    Args:
        contract: The contract.
    """

    def __init__(self, contract: Contract) -> None:
        self._statuses = {reason.name: _HTTP[reason.code] for reason in contract.reasons if reason.code}
        self._common = self._by_status(COMMON_REASONS)

    def schemas(self) -> Json:
        """Return the schemas of a refusal and of its details."""
        details = {name: _detail(name, about, fields) for name, (about, fields) in _DETAILS.items()}
        return {STATUS: _refusal(), **details}

    def components(self) -> Json:
        """Return the responses that methods share: those of statuses under which they have no reasons of their own."""
        return {_shared(status): _response(reasons) for status, reasons in self._common.items()}

    def of(self, method: Method) -> Json:
        """Return the refusals of a method by HTTP status; `default` is for what the gateway itself refuses."""
        # What stands behind it are the reasons of an operation or of single rows: the call itself succeeds.
        own = set(_CAPITALS.findall(method.errors.partition("; of ")[0])) & self._statuses.keys()
        found: Json = {}
        for status, reasons in sorted(self._by_status({*own, *COMMON_REASONS}).items()):
            is_shared = self._common.get(status) == reasons
            here = {"$ref": f"#/components/responses/{_shared(status)}"}
            found[str(status)] = here if is_shared else _response(reasons)
        found["default"] = {"description": "Refused by the gateway.", "content": _content(reference(STATUS))}
        return found

    def _by_status(self, names: Iterable[str]) -> dict[int, list[str]]:
        found: defaultdict[int, list[str]] = defaultdict(list)
        for name in sorted(names):
            found[self._statuses[name]].append(name)
        return dict(found)


def _shared(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _response(reasons: list[str]) -> Json:
    """Return the response whose `ErrorInfo` has one of some reasons."""
    kind = {"const": _type_url("google.rpc.ErrorInfo")}
    info = {"properties": {"@type": kind, "reason": {"enum": reasons}}, "required": ["@type", "reason"]}
    schema = {"allOf": [reference(STATUS), {"properties": {"details": {"contains": info}}}]}
    return {"description": ", ".join(f"`{name}`" for name in reasons) + ".", "content": _content(schema)}


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _refusal() -> Json:
    mapping = {_type_url(name): f"#/components/schemas/{name}" for name in _DETAILS}
    item = {
        "oneOf": [reference(name) for name in _DETAILS],
        "discriminator": {"propertyName": "@type", "mapping": mapping},
    }
    return {
        "type": "object",
        "description": "A refusal. Branch on the `reason` of the `google.rpc.ErrorInfo` among the details.",
        "properties": {
            "code": {"type": "integer", "description": "The number of the `google.rpc.Code`."},
            "message": {"type": "string", "description": "What happened, in English."},
            "details": {"type": "array", "items": item},
        },
        "required": ["code", "message", "details"],
    }


def _detail(name: str, about: str, fields: Json) -> Json:
    properties = {"@type": {"type": "string", "const": _type_url(name)}, **fields}
    return {"type": "object", "description": about, "properties": properties, "required": ["@type"]}


def _type_url(name: str) -> str:
    return f"type.googleapis.com/{name}"
