"""Step: every request keeps the rules that stand in its proto (protovalidate); all broken fields are named at once."""

from collections.abc import Callable
from typing import Any, cast

from google.protobuf.message import DecodeError, Message
from protovalidate import Validator, Violation

from svoykrug_server.kit.errors import FieldViolation, InvalidFields
from svoykrug_server.rpc.repetition import excess_of

# One Validator for the process: it keeps the compiled rules of every message it has seen.
_validator = Validator()


def prepare(message_type: type[Message]) -> None:
    """Compiles the rules of a message type, so that a wrong rule is found at start and not by a caller.

    Raises:
        protovalidate.CompilationError: A rule of the proto cannot be compiled.
    """
    _validator.collect_violations(message_type(), fail_fast=True)


def decoded(deserialize: Callable[[bytes], Any], raw: bytes) -> Message:
    """Decodes a request.

    Raises:
        InvalidFields: It is not a message of its type; what was wrong in it is not repeated.
    """
    try:
        return cast(Message, deserialize(raw))
    except DecodeError:
        raise InvalidFields.of("", "The request is not a well-formed message of its type.") from None


def validate(request: Message) -> None:
    """Checks a request against the rules of its proto.

    Raises:
        InvalidFields: Names every field that breaks a rule, by path; never a value. A field that is repeated too often
            is named alone: its elements are not looked at.
    """
    excess = excess_of(request)
    if excess is not None:
        raise InvalidFields.of(excess.path, f"must contain no more than {excess.most} item(s)")
    violations = _validator.collect_violations(request)
    if violations:
        raise InvalidFields(violations=tuple(map(_field_violation, violations)))


def _field_violation(violation: Violation) -> FieldViolation:
    proto = violation.proto
    return FieldViolation(_path(proto.field), proto.message or proto.rule_id)


def _path(path: Any) -> str:
    """Prints a FieldPath, such as `purchases[3].amount_minor`. A map's string key is a value: left out."""
    names = []
    for element in path.elements if path is not None else ():
        subscript = element.subscript
        if subscript is None:
            names.append(element.field_name)
        elif subscript.field == "string_key":
            names.append(f"{element.field_name}[]")
        else:
            names.append(f"{element.field_name}[{subscript.value}]")
    return ".".join(names)
