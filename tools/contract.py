"""Read the contract from a descriptor set: every method with its access rule, every error reason with its texts.

Why this exists: documents, exception classes and tests are made from what the protos say, options and comments
included, and from nothing else. Options are read with the extensions of the descriptor set itself, so stale generated
code cannot mislead.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTOR_SET = ROOT / "generated" / "svoykrug.binpb"
# Field numbers in descriptor.proto: they make up the paths by which comments are stored.
_SERVICE, _METHOD, _ENUM, _ENUM_VALUE = 6, 2, 5, 2
_REASON_PREFIX = "ERROR_REASON_"
_VARIABLE = re.compile(r"\{([^}]+)\}")
_CAPITALS = re.compile(r"\b[A-Z][A-Z_]+\b")
COMMON_REASONS = (
    "INTERNAL",
    "STORE_UNAVAILABLE",
    "OVERLOADED",
    "DEADLINE_EXCEEDED",
    "CLIENT_TOO_OLD",
    "METHOD_UNKNOWN",
    "INVALID_FIELDS",
    "PERMISSION_DENIED",
    "TOKEN_MISSING",
    "TOKEN_INVALID",
    "TOKEN_EXPIRED",
    "ACCESS_TOKEN_REVOKED",
    "SESSION_REVOKED",
    "USER_DELETED",
)
"""What any method may answer, whatever its comment names: before it is called at all, or because the server cannot."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One way to call a method over HTTP with JSON (`google.api.http`).

    Attributes:
        verb: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
        path: The path, with the request's fields in braces, such as `/v1/users/{user_id}`.
        body: What the body holds: `*` for all fields that are not in the path, a field's name, or empty for no body.
    """

    verb: str
    path: str
    body: str

    @property
    def variables(self) -> tuple[str, ...]:
        """The fields in the path, such as `user.id`."""
        return tuple(_VARIABLE.findall(self.path))


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC of ours.

    Attributes:
        service: The full name of its service, such as `svoykrug.users.v1.UsersService`.
        name: Its own name, such as `GetMe`.
        callers: The kinds of caller that may call it, without prefix, such as `MEMBER`; empty when it has no rule.
        scope: The scope that a service account needs; empty when no service may call.
        business_field: The request's field that names the business; empty when no business kind may call.
        read_only: Whether it changes nothing.
        comment: What the proto says about it.
        request: The full name of its request message.
        response: The full name of its response message.
        client_streaming: Whether the caller sends a stream.
        server_streaming: Whether the server sends a stream.
        bindings: How it is called over HTTP, the main way first; empty for client streams.
    """

    service: str
    name: str
    callers: tuple[str, ...]
    scope: str
    business_field: str
    read_only: bool
    comment: str
    request: str
    response: str
    client_streaming: bool
    server_streaming: bool
    bindings: tuple[Binding, ...]

    @property
    def errors(self) -> str:
        """The part of its comment that begins with `Errors:`, on one line; empty when there is none."""
        return " ".join(self.comment.partition("Errors:")[2].split())

    @property
    def named_reasons(self) -> frozenset[str]:
        """Every word in capitals there: the reasons that it names."""
        return frozenset(_CAPITALS.findall(self.errors))


@dataclass(frozen=True, slots=True)
class Reason:
    """One error reason that can be sent.

    Attributes:
        name: Its name without the prefix, such as `CODE_WRONG`.
        code: The name of the gRPC status code it travels with; empty when it has no options.
        retryable: Whether the same call may succeed later.
        text_en: What a person reads, in English.
        text_ru: What a person reads, in Russian.
        comment: What the proto says about it.
    """

    name: str
    code: str
    retryable: bool
    text_en: str
    text_ru: str
    comment: str


class Contract:
    """The contract of one descriptor set.

    Args:
        descriptor_set: A file that holds a `google.protobuf.FileDescriptorSet` with imports and source information.

    Attributes:
        pool: Every message and enum, third-party ones included.
        methods: Every method of ours.
        reasons: Every error reason.
    """

    def __init__(self, descriptor_set: Path = DESCRIPTOR_SET) -> None:
        every = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes()).file
        self._files = [file for file in every if file.package.startswith("svoykrug.")]
        self.pool = descriptor_pool.DescriptorPool()
        for file in every:
            self.pool.Add(file)
        self.methods = tuple(self._methods())
        self.reasons = tuple(self._reasons())

    def comments(self) -> dict[str, str]:
        """Return the comment of each service, method, message, field, enum and value of ours, by its full name.

        The full name of a value begins with that of its enum.
        """
        return {name: text for file in self._files for name, text in _named_comments(file)}

    def option(self, options: Any, kind: str, extension: str) -> Any:
        """Return the value of an extension of the descriptor options `kind`."""
        known = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"google.protobuf.{kind}"))
        parsed: Any = known.FromString(options.SerializeToString())
        return parsed.Extensions[self.pool.FindExtensionByName(extension)]

    def _methods(self) -> Iterator[Method]:
        names = self.pool.FindEnumTypeByName("svoykrug.access.v1.Caller").values_by_number
        for file in self._files:
            comments = _comments(file)
            for i, service in enumerate(file.service):
                for j, method in enumerate(service.method):
                    rule = self.option(method.options, "MethodOptions", "svoykrug.access.v1.rule")
                    yield Method(
                        service=f"{file.package}.{service.name}",
                        name=method.name,
                        callers=tuple(names[number].name.removeprefix("CALLER_") for number in rule.callers),
                        scope=rule.scope,
                        business_field=rule.business_field,
                        read_only=method.options.idempotency_level == method.options.NO_SIDE_EFFECTS,
                        comment=comments.get((_SERVICE, i, _METHOD, j), ""),
                        request=method.input_type.removeprefix("."),
                        response=method.output_type.removeprefix("."),
                        client_streaming=method.client_streaming,
                        server_streaming=method.server_streaming,
                        bindings=self._bindings(method),
                    )

    def _bindings(self, method: descriptor_pb2.MethodDescriptorProto) -> tuple[Binding, ...]:
        main = self.option(method.options, "MethodOptions", "google.api.http")
        rules = [rule for rule in (main, *main.additional_bindings) if rule.WhichOneof("pattern")]
        verbs = [rule.WhichOneof("pattern") for rule in rules]
        return tuple(
            Binding(verb.upper(), getattr(rule, verb), rule.body) for verb, rule in zip(verbs, rules, strict=True)
        )

    def _reasons(self) -> Iterator[Reason]:
        codes = self.pool.FindEnumTypeByName("google.rpc.Code").values_by_number
        for file in self._files:
            for i, enum in enumerate(file.enum_type):
                if enum.name != "ErrorReason":
                    continue
                comments = _comments(file)
                for j, value in enumerate(enum.value):
                    if value.number == 0:
                        continue
                    error = self.option(value.options, "EnumValueOptions", "svoykrug.common.v1.error")
                    yield Reason(
                        name=value.name.removeprefix(_REASON_PREFIX),
                        code=codes[error.code].name if error.code else "",
                        retryable=error.retryable,
                        text_en=error.text_en,
                        text_ru=error.text_ru,
                        comment=comments.get((_ENUM, i, _ENUM_VALUE, j), ""),
                    )


def _comments(file: descriptor_pb2.FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Return path -> leading comment of every commented element of a file."""
    return {
        tuple(location.path): location.leading_comments.strip()
        for location in file.source_code_info.location
        if location.leading_comments
    }


def _named_comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yield the full name and the comment of every commented element of a file."""
    for path, text in _comments(file).items():
        element: Any = file
        names = [file.package]
        for number, index in zip(path[::2], path[1::2], strict=False):
            element = getattr(element, element.DESCRIPTOR.fields_by_number[number].name)[index]
            names.append(element.name)
        if len(names) > 1:
            yield ".".join(names), text
