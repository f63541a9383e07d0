"""Every refusal is the exception of its reason, and no trailer from anywhere makes another kind of exception."""

import copy
import pickle
from datetime import timedelta

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import StartSignInRequest, StartSignInResponse
from svoykrug.common.v1 import error_reason_pb2

from svoykrug_client import Client
from svoykrug_client._status import error_of
from tests.client.staged import Plain, Refusal, StagedServer

DETAILS_KEY = "grpc-status-details-bin"
CODES = {code.value[0]: code for code in grpc.StatusCode}
CATALOGUE = {
    value.name.removeprefix("ERROR_REASON_"): CODES[value.GetOptions().Extensions[error_reason_pb2.error].code]
    for value in error_reason_pb2.ErrorReason.DESCRIPTOR.values
    if value.number != error_reason_pb2.ERROR_REASON_UNSPECIFIED
}


async def refusal_of(client: Client) -> errors.SvoyKrugError:
    """Returns how a call that is not repeated is refused."""
    with pytest.raises(errors.SvoyKrugError) as caught:
        await client.auth.StartSignIn(StartSignInRequest())
    return caught.value


@pytest.mark.parametrize("reason", CATALOGUE)
async def test_a_reason_of_the_catalogue_is_its_class_and_its_codes_class(
    stranger: Client, server: StagedServer, reason: str
) -> None:
    server.plays("StartSignIn", Refusal(reason, CATALOGUE[reason]))
    error = await refusal_of(stranger)
    assert type(error) is errors.BY_REASON[reason]
    assert isinstance(error, errors.BY_CODE[CATALOGUE[reason].name])
    assert (error.reason, error.code) == (reason, CATALOGUE[reason].name)


async def test_an_error_carries_everything_the_server_said_and_grpcs_own_error_as_its_cause(
    stranger: Client, server: StagedServer
) -> None:
    refusal = Refusal(
        "INVALID_FIELDS",
        grpc.StatusCode.INVALID_ARGUMENT,
        metadata={"fact": "7"},
        bad_fields={"phone": "is no phone number", "user.email": "is no e-mail address"},
        retry_after=timedelta(seconds=1.5),
    )
    server.plays("StartSignIn", refusal)
    error = await refusal_of(stranger)
    assert isinstance(error, errors.InvalidFields)
    assert (error.text, error.request_id) == ("Так нельзя.", "request-7")
    assert (error.metadata, error.field_violations) == (refusal.metadata, refusal.bad_fields)
    assert error.retry_after == timedelta(seconds=1.5)
    assert isinstance(error.__cause__, grpc.aio.AioRpcError)
    assert str(error) == (
        "INVALID_FIELDS: Так нельзя. (request request-7)\n"
        "  phone: is no phone number\n"
        "  user.email: is no e-mail address"
    )


@pytest.mark.parametrize("clone", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])  # noqa: S301  # our own
async def test_an_error_travels_between_processes_whole(
    stranger: Client, server: StagedServer, clone: "object"
) -> None:
    server.plays(
        "StartSignIn",
        Refusal("CODE_WRONG", grpc.StatusCode.UNAUTHENTICATED, {"guesses_left": "2"}, retry_after=timedelta(seconds=3)),
    )
    error = await refusal_of(stranger)
    assert callable(clone)
    arrived = clone(error)
    assert type(arrived) is errors.CodeWrong
    assert vars(arrived) == vars(error)
    assert str(arrived) == str(error)


async def test_a_reason_of_a_newer_server_is_its_codes_class(stranger: Client, server: StagedServer) -> None:
    server.plays("StartSignIn", Refusal("MOON_IS_FULL", grpc.StatusCode.FAILED_PRECONDITION))
    error = await refusal_of(stranger)
    assert type(error) is errors.FailedPrecondition
    assert error.reason == "MOON_IS_FULL"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.ConnectionLost),
        (grpc.StatusCode.UNAUTHENTICATED, errors.Unauthenticated),
        (grpc.StatusCode.UNIMPLEMENTED, errors.Unimplemented),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhausted),
        (grpc.StatusCode.CANCELLED, errors.ConnectionLost),
        (grpc.StatusCode.UNKNOWN, errors.SvoyKrugError),
        (grpc.StatusCode.DATA_LOSS, errors.SvoyKrugError),
    ],
    ids=lambda value: value.name if isinstance(value, grpc.StatusCode) else "",
)
async def test_an_error_that_a_proxy_made_is_its_codes_class(
    stranger: Client, server: StagedServer, code: grpc.StatusCode, expected: type[errors.SvoyKrugError]
) -> None:
    server.plays("StartSignIn", Plain(code, trailers=(("x-request-id", "request-8"),)))
    error = await refusal_of(stranger)
    assert type(error) is expected
    assert (error.reason, error.code) == (code.name, code.name)
    assert (error.text, error.request_id) == ("upstream connect error", "request-8")


async def test_a_status_that_grpc_lost_is_a_lost_connection() -> None:
    none = grpc.aio.Metadata()
    lost = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, none, none, details="Internal error from Core")
    assert type(error_of(lost)) is errors.ConnectionLost


async def test_another_services_reason_is_not_taken_for_ours(stranger: Client, server: StagedServer) -> None:
    status = Refusal("TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED).status()
    for detail in status.details:
        detail.value = detail.value.replace(b"svoykrug", b"stranger")
    trailers = ((DETAILS_KEY, status.SerializeToString()),)
    server.plays("StartSignIn", Plain(grpc.StatusCode.UNAUTHENTICATED, trailers=trailers))
    assert type(await refusal_of(stranger)) is errors.Unauthenticated


async def test_a_server_that_is_not_there_is_a_lost_connection() -> None:
    async with Client("127.0.0.1:1", insecure=True) as client:
        error = await refusal_of(client)
    assert type(error) is errors.ConnectionLost


async def test_an_answer_too_large_to_receive_is_a_typed_error(stranger: Client, server: StagedServer) -> None:
    answer = StartSignInResponse()
    answer.challenge.challenge_id = "x" * 5_000_000
    server.plays("StartSignIn", answer)
    assert type(await refusal_of(stranger)) is errors.ResourceExhausted


@given(st.binary(max_size=200))
def test_whatever_the_trailers_hold_there_is_a_typed_error(packed: bytes) -> None:
    failure = grpc.aio.AioRpcError(
        grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata((DETAILS_KEY, packed)), "broken"
    )
    assert isinstance(error_of(failure), errors.SvoyKrugError)


@given(st.binary(max_size=40), st.sampled_from(["ErrorInfo", "LocalizedMessage", "RetryInfo", "RequestInfo"]))
def test_whatever_a_detail_holds_there_is_a_typed_error(value: bytes, kind: str) -> None:
    status = Refusal("INTERNAL", grpc.StatusCode.INTERNAL).status()
    detail = status.details.add(value=value)
    detail.type_url = f"type.googleapis.com/google.rpc.{kind}"
    status.details.insert(0, detail)
    trailers = grpc.aio.Metadata((DETAILS_KEY, status.SerializeToString()))
    failure = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), trailers, "broken")
    assert isinstance(error_of(failure), errors.SvoyKrugError)


def test_a_wait_longer_than_any_calendar_is_no_wait() -> None:
    status = Refusal("OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED).status()
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=2**62)))
    trailers = grpc.aio.Metadata((DETAILS_KEY, status.SerializeToString()))
    failure = grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), trailers, "busy")
    assert error_of(failure).retry_after is None
