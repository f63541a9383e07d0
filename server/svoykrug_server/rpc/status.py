"""Step: every refusal becomes one rich `google.rpc.Status`, by the catalogue that stands in `ErrorReason`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from svoykrug.common.v1 import error_reason_pb2

from svoykrug_server.kit.errors import DomainError, FieldViolation
from svoykrug_server.rpc.context import Locale

DOMAIN = "svoykrug"
DETAILS_KEY = "grpc-status-details-bin"
OMITTED_KEY = "omitted_violations"
# The details travel in a header, in base64. Clients reject 16 KiB of headers for sure and 8 KiB at times: 5,500 bytes
# are 7,334 in base64, which leaves room for the rest.
_MAX_STATUS_BYTES = 5_500
_DEFAULT_RETRY_AFTER = timedelta(seconds=1)
_PREFIX = "ERROR_REASON_"
_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """What the contract says of one reason.

    Attributes:
        code: The gRPC status code it travels with.
        retryable: Whether the same call may succeed later without a change.
        text_by_locale: What a person reads.
    """

    code: grpc.StatusCode
    retryable: bool
    text_by_locale: Mapping[Locale, str]


def _catalogue() -> Mapping[str, CatalogueEntry]:
    entries: dict[str, CatalogueEntry] = {}
    for value in error_reason_pb2.ErrorReason.DESCRIPTOR.values:
        options = value.GetOptions()
        if options.HasExtension(error_reason_pb2.error):
            info = options.Extensions[error_reason_pb2.error]
            texts: Mapping[Locale, str] = {"en": info.text_en, "ru": info.text_ru}
            entries[value.name.removeprefix(_PREFIX)] = CatalogueEntry(_CODES[info.code], info.retryable, texts)
    return entries


CATALOGUE: Mapping[str, CatalogueEntry] = _catalogue()
INTERNAL = "INTERNAL"


def status_of(error: DomainError, request_id: str, locale: Locale) -> status_pb2.Status:
    """Builds the status that answers a refused call.

    Args:
        error: The refusal; its reason is in the catalogue.
        request_id: The call's id.
        locale: The language of the text for a person.

    Returns:
        A status with exactly one ErrorInfo, at most 5,500 bytes: what does not fit of very many field violations is
        counted in the metadata `omitted_violations`.
    """
    violations = error.violations
    while True:
        status = _status(error, violations, request_id, locale)
        if not violations or status.ByteSize() <= _MAX_STATUS_BYTES:
            return status
        violations = violations[: len(violations) // 2]


def _status(
    error: DomainError, violations: tuple[FieldViolation, ...], request_id: str, locale: Locale
) -> status_pb2.Status:
    entry = CATALOGUE[error.reason]
    metadata = dict(error.metadata)
    if len(violations) < len(error.violations):
        metadata[OMITTED_KEY] = str(len(error.violations) - len(violations))
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if violations:
        details.append(_bad_request(violations, error.reason))
    if entry.retryable or error.retry_after is not None:
        details.append(_retry_info(error.retry_after or _DEFAULT_RETRY_AFTER))
    details.append(error_details_pb2.LocalizedMessage(locale=locale, message=entry.text_by_locale[locale]))
    details.append(error_details_pb2.RequestInfo(request_id=request_id))
    code: int = entry.code.value[0]
    return status_pb2.Status(code=code, message=_message(entry, violations), details=map(_packed, details))


def _message(entry: CatalogueEntry, violations: tuple[FieldViolation, ...]) -> str:
    """Returns what a developer reads who sees no details: the English text, and the first broken fields."""
    named = "; ".join(f"{violation.path}: {violation.description}" for violation in violations[:3])
    return f"{entry.text_by_locale['en']} {named}".strip()


def _bad_request(violations: tuple[FieldViolation, ...], reason: str) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.path, description=violation.description, reason=reason
            )
            for violation in violations
        ]
    )


def _retry_info(after: timedelta) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromTimedelta(after)
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
