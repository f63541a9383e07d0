"""A request that is right for every method.

Why this exists: a reader copies an example before she reads anything. How it is sent stands in `api_languages`.
"""

from dataclasses import dataclass
from typing import Any

from api_openapi import query_fields
from api_schema import Json, Schemas
from contract import Contract, Method
from google.protobuf.descriptor import Descriptor, FieldDescriptor

_ID = "0198c0de-5b1e-7c0a-9a4e-3f1d2c4b5a69"
_PEM = "-----BEGIN PUBLIC KEY-----\n...\n-----END PUBLIC KEY-----\n"
# What a field of this name usually holds; the type alone would make an example that teaches nothing.
_BY_NAME: dict[str, Any] = {
    "actions": ["SIGNED_IN"],
    "algorithm": "ES256",
    "amount_minor": "249000",
    "assertion": "eyJhbGciOiJFUzI1NiJ9...",
    "birth_date": {"year": 1988, "month": 4, "day": 12},
    "challenge_id": "a0lrT_1UhoXsmGhecHSubQ",
    "chunk": "cGhvbmU7YW1vdW50Cg==",
    "code": "123456",
    "currency_code": "RUB",
    "device_name": "iPhone",
    "display_name": "Анна",
    "etag": "3",
    "external_id": "receipt-1042",
    "granted": True,
    "horizon_days": 60,
    "kid": "2026-11",
    "locale": "ru",
    "min_probability": 0.5,
    "page_size": 50,
    "phone": "+79991234567",
    "public_key_pem": _PEM,
    "referral_code": "H1X512DZ",
    "refresh_token": "0nEtImE-c0ffee-and-a-l0ng-tail",
    "scopes": ["users.read"],
    "token": "eyJhbGciOiJFUzI1NiJ9...",
    "version": "2026-11",
    "window_days": 365,
}
# Where the name of a field does not say it.
_BY_FULL_NAME: dict[str, Any] = {
    "svoykrug.auth.v1.CreateServiceAccountRequest.name": "till",
    "svoykrug.businesses.v1.CreateBusinessRequest.name": "Салон «Лира»",
    "svoykrug.businesses.v1.UpdateBusinessRequest.business": {"id": _ID, "name": "Салон «Лира»"},
    "svoykrug.businesses.v1.UpdateBusinessRequest.update_mask": "name",
    "svoykrug.auth.v1.CompleteSignInRequest.consents": [
        {"kind": kind, "version": "2026-11", "granted": True}
        for kind in ("CONSENT_KIND_TERMS", "CONSENT_KIND_PERSONAL_DATA")
    ],
    "svoykrug.users.v1.SetUserTierRequest.tier": "TIER_INNER_CIRCLE",
    "svoykrug.users.v1.UpdateMeRequest.user": {"display_name": "Анна"},
    "svoykrug.users.v1.UpdateMeRequest.update_mask": "displayName",
    "svoykrug.users.v1.UpdateUserRequest.user": {"id": _ID, "display_name": "Анна"},
    "svoykrug.users.v1.UpdateUserRequest.update_mask": "displayName",
}
# What a first call does without: the defaults are good, or it is for a second call.
_LEFT_OUT = {
    "page_token", "sensitive", "skip_wait", "reject_tokens", "dry_run", "start_new_account", "offset_bytes",
    "session_id", "format", "lines", "birth_date", "as_of_time", "test_cutoff_time", "training_cutoff_times",
    "population_days", "within_days", "from_month", "to_month", "from_date", "to_date", "name", "actor_id",
    "target_id", "from_time", "until_time", "created_from_time", "created_until_time", "snapshot_id", "etag",
    "referral_code", "known_time",
}  # fmt: skip
_WELL_KNOWN: dict[str, Any] = {
    "google.protobuf.Timestamp": "2026-11-20T09:30:00Z",
    "google.protobuf.Duration": "60s",
    "google.protobuf.Struct": {},
    "google.type.Date": {"year": 2026, "month": 11, "day": 1},
}


@dataclass(frozen=True, slots=True)
class Example:
    """One call of one method.

    Attributes:
        method: The method.
        kind: What its request is.
        request: The request, as JSON.
        query: The names of the fields that stand in the query of a call over HTTP.
    """

    method: Method
    kind: Descriptor
    request: Json
    query: tuple[str, ...]

    @property
    def needs_token(self) -> bool:
        """Whether somebody has to be signed in."""
        return "PUBLIC" not in self.method.callers


class Examples:
    """Examples of the methods of a contract.

    Args:
        contract: The contract.
    """

    def __init__(self, contract: Contract) -> None:
        self._schemas = Schemas(contract)

    def of(self, method: Method) -> Example:
        """Return the example of a method."""
        kind = self._schemas.message(method.request)
        query = tuple(field.name for binding in method.bindings[:1] for field in query_fields(kind, binding))
        return Example(method, kind, self._filled(kind), query)

    def _filled(self, message: Descriptor) -> Json:
        """Return a message with a value in every field that a first call needs, and in one field of each oneof."""
        filled, chosen = Json(), set[str]()
        for field in message.fields:
            group = field.containing_oneof
            if field.full_name not in _BY_FULL_NAME and field.name in _LEFT_OUT and not self._is_needed(field):
                continue
            if group is not None and len(group.fields) > 1 and group.name in chosen:
                continue
            if group is not None:
                chosen.add(group.name)
            filled[field.name] = self._value(field)
        return filled

    def _is_needed(self, field: FieldDescriptor) -> bool:
        rules = self._schemas.rules(field)
        return bool(rules.required) or (bool(rules.string.uuid or rules.string.min_len) and not rules.ignore)

    def _value(self, field: FieldDescriptor) -> Any:
        for known, name in ((_BY_FULL_NAME, field.full_name), (_BY_NAME, field.name)):
            if name in known:
                return known[name]
        value = self._single(field)
        return [value] if field.is_repeated else value

    def _single(self, field: FieldDescriptor) -> Any:
        if field.enum_type is not None:
            return field.enum_type.values[1].name
        if field.message_type is not None:
            name = field.message_type.full_name
            return _WELL_KNOWN[name] if name in _WELL_KNOWN else self._filled(field.message_type)
        if field.type == field.TYPE_BOOL:
            return True
        if field.type == field.TYPE_STRING:
            return _ID if field.name.endswith(("_id", "_ids")) or field.name == "id" else "text"
        return "1" if field.type in {field.TYPE_INT64, field.TYPE_UINT64} else 1


def at_gateway(example: Example) -> tuple[str, Any]:
    """Return the address, without host, and the body of a call over HTTP; None for no body."""
    binding = example.method.bindings[0]
    left, path = dict(example.request), binding.path
    for variable in binding.variables:
        first, _, rest = variable.partition(".")
        value = left[first][rest] if rest else left.pop(first)
        path = path.replace(f"{{{variable}}}", str(value))
    if "update_mask" in left:  # In JSON its names are written otherwise; the gateway takes them as in the protos.
        left["update_mask"] = snake(left["update_mask"])
    pairs = [(name, left.pop(name)) for name in example.query if name in left]
    flat = [f"{name}={item}" for name, value in pairs for item in (value if isinstance(value, list) else [value])]
    address = path + (f"?{'&'.join(flat)}" if flat else "")
    if not binding.body:
        return address, None
    if binding.body == "*":
        return address, left
    outside = {variable.partition(".")[2] for variable in binding.variables}
    return address, {name: value for name, value in left[binding.body].items() if name not in outside}


def snake(name: str) -> str:
    """Return a name such as `displayName` or `AuthAdmin` as `display_name` or `auth_admin`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")
