import time
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st
from svoykrug.auth.v1.auth_service_pb2 import CompleteSignInRequest
from svoykrug.users.v1.user_pb2 import ConsentGrant
from svoykrug.users.v1.users_service_pb2 import UpdateMeRequest

from svoykrug_server.kit.errors import FieldViolation, InvalidFields
from svoykrug_server.rpc.interceptor import MOST_PUBLIC_BYTES
from svoykrug_server.rpc.repetition import Excess, excess_of
from svoykrug_server.rpc.status import CATALOGUE, status_of
from svoykrug_server.rpc.validation import decoded, validate
from tests.callers import person
from tests.rpc.conftest import Edge, TokenTable
from tests.rpc.probe import ProbeRequest
from tests.rpc.test_interceptor import refused, requests

SECRET = "Анна Каренина +79991234567"
_CROWDED = DescriptorProto(field=[FieldDescriptorProto()] * 1_001)
BROKEN = ProbeRequest(text=SECRET, rows=[{"amount_minor": 1}, {"amount_minor": -9999999}])


async def test_every_broken_field_is_named_by_path_and_no_value_is_echoed(edge: Edge) -> None:
    error = await refused(edge.stub.Echo(BROKEN))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert error.fields == ["rows[1].amount_minor", "text"]
    shown = error.status.SerializeToString().decode("utf-8", "replace") + str(error.trailers)
    for value in ("Анна", "79991234567", "9999999"):
        assert value not in shown


async def test_each_message_of_a_stream_is_validated_when_it_is_read(edge: Edge) -> None:
    call = edge.stub.Chat(requests(ProbeRequest(text="fine"), BROKEN))
    answers = []

    async def read() -> None:
        async for answer in call:
            answers.append(answer.text)  # noqa: PERF401  the answers before the error count

    assert (await refused(read())).fields == ["rows[1].amount_minor", "text"]
    assert answers == ["fine"]


async def test_very_many_broken_fields_still_fit_a_header(edge: Edge) -> None:
    many = ProbeRequest(rows=[{"amount_minor": -1}] * 1000)
    error = await refused(edge.stub.Echo(many))
    omitted = int(error.one(error_details_pb2.ErrorInfo).metadata["omitted_violations"])
    assert len(error.fields) + omitted == 1000
    assert len(error.fields) > 10


async def test_a_public_method_takes_small_requests_only(edge: Edge, tokens: TokenTable) -> None:
    large = ProbeRequest(blob=bytes(MOST_PUBLIC_BYTES + 1))
    error = await refused(edge.stub.Echo(large))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert await edge.stub.Mine(large, metadata=tokens.sign_in(person())) == large


async def test_a_field_repeated_too_often_is_named_without_a_look_at_its_elements(
    edge: Edge, tokens: TokenTable
) -> None:
    """Two million empty rows fit into 4 MB; to validate them all would stop the server for minutes."""
    many = ProbeRequest.FromString(b"\x1a\x00" * 2_000_000)
    began = time.thread_time()
    with pytest.raises(InvalidFields) as refusal:
        validate(many)
    assert time.thread_time() - began < 0.5
    assert refusal.value.violations == (FieldViolation("rows", "must contain no more than 1000 item(s)"),)
    assert (await refused(edge.stub.Mine(many, metadata=tokens.sign_in(person())))).fields == ["rows"]


@pytest.mark.parametrize(
    ("request_message", "excess"),
    [
        (UpdateMeRequest(update_mask=FieldMask(paths=["x"] * 1_001)), Excess("update_mask.paths", 1_000)),
        (UpdateMeRequest(update_mask=FieldMask(paths=["x"] * 1_000)), None),
        (CompleteSignInRequest(consents=[ConsentGrant()] * 17), Excess("consents", 16)),
        (CompleteSignInRequest(consents=[ConsentGrant()] * 16), None),
        (DescriptorProto(nested_type=[DescriptorProto(), _CROWDED]), Excess("nested_type[1].field", 1_000)),
    ],
)
def test_repetition_is_bounded_at_every_depth_and_also_where_no_rule_stands(
    request_message: Message, excess: Excess | None
) -> None:
    assert excess_of(request_message) == excess


def test_the_first_broken_fields_stand_in_the_message_for_whoever_sees_no_details() -> None:
    status = status_of(InvalidFields.of("display_name", "must be at most 100 characters"), "id", "ru")
    assert status.message == "Some fields are not valid. display_name: must be at most 100 characters"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_invalid_fields(raw: bytes) -> None:
    with suppress(InvalidFields):
        validate(decoded(ProbeRequest.FromString, raw))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=500))
def test_a_status_never_outgrows_its_header(paths: list[str]) -> None:
    error: Any = InvalidFields(violations=tuple(FieldViolation(path, "is wrong") for path in paths))
    assert status_of(error, "0" * 64, "ru").ByteSize() <= 5_500


@pytest.mark.parametrize("reason", sorted(CATALOGUE))
def test_every_reason_of_the_catalogue_has_a_code_and_both_texts(reason: str) -> None:
    entry = CATALOGUE[reason]
    assert entry.code is not grpc.StatusCode.OK
    assert entry.text_by_locale["en"]
    assert entry.text_by_locale["ru"]
    assert entry.text_by_locale["en"] != entry.text_by_locale["ru"]
