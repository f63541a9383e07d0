"""Reading the details of a rich error."""

from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class RichError:
    """A refusal as a client sees it."""

    code: grpc.StatusCode
    status: status_pb2.Status
    trailers: dict[str, object]

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> "RichError":
        """Reads the details of an error; they must be there."""
        trailers = dict(error.trailing_metadata() or ())
        raw = trailers["grpc-status-details-bin"]
        assert isinstance(raw, bytes)
        status = status_pb2.Status.FromString(raw)
        assert status.code == error.code().value[0]
        assert status.message == error.details()
        return cls(error.code(), status, trailers)

    def all(self, kind: type[_Detail]) -> list[_Detail]:
        """Returns every detail of a kind."""
        found = []
        for packed in self.status.details:
            detail = kind()
            if packed.Unpack(detail):
                found.append(detail)
        return found

    def one(self, kind: type[_Detail]) -> _Detail:
        """Returns the only detail of a kind."""
        (detail,) = self.all(kind)
        return detail

    @property
    def reason(self) -> str:
        """The reason of the only ErrorInfo."""
        info = self.one(error_details_pb2.ErrorInfo)
        assert info.domain == "svoykrug"
        return info.reason

    @property
    def fields(self) -> list[str]:
        """The paths of the fields that BadRequest names, sorted."""
        return sorted(violation.field for violation in self.one(error_details_pb2.BadRequest).field_violations)
