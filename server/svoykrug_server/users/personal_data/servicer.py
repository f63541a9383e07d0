"""The methods of UsersService about her data, over gRPC: convert, one call, convert."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.rpc.context import current
from svoykrug_server.users.convert import user_to_proto
from svoykrug_server.users.personal_data import convert
from svoykrug_server.users.personal_data.deletion import AccountDeletion
from svoykrug_server.users.personal_data.export import DataExport

Context = ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class PersonalDataUseCases:
    """What is done with her data, one object for each kind of use case."""

    deletion: AccountDeletion
    export: DataExport


class PersonalDataMethods:
    """The methods about her data.

    Args:
        personal_data: The use cases.
    """

    def __init__(self, personal_data: PersonalDataUseCases) -> None:
        self._personal_data = personal_data

    async def ExportMe(self, request: pb.ExportMeRequest, context: Context) -> AsyncGenerator[pb.ExportMeResponse]:
        """Streams everything that is kept about the caller."""
        async with aclosing(self._personal_data.export.export(current())) as parts:
            async for part in parts:
                yield convert.export_part_to_proto(part, current().locale)

    async def DeleteMe(self, request: pb.DeleteMeRequest, context: Context) -> pb.DeleteMeResponse:
        """Deletes the caller's account."""
        erasure = await self._personal_data.deletion.delete_me(current())
        return pb.DeleteMeResponse(erasure=convert.erasure_to_proto(erasure))

    async def RestoreMe(self, request: pb.RestoreMeRequest, context: Context) -> pb.RestoreMeResponse:
        """Takes the caller's deletion back."""
        user = await self._personal_data.deletion.restore_me(current())
        return pb.RestoreMeResponse(user=user_to_proto(user))

    async def EraseUser(self, request: pb.EraseUserRequest, context: Context) -> pb.EraseUserResponse:
        """Has a user erased at once."""
        erasure = await self._personal_data.deletion.erase_user(current(), UUID(request.user_id))
        return pb.EraseUserResponse(erasure=convert.erasure_to_proto(erasure))

    async def GetErasureReceipt(
        self, request: pb.GetErasureReceiptRequest, context: Context
    ) -> pb.GetErasureReceiptResponse:
        """Says what an erasure did."""
        erasure = await self._personal_data.deletion.receipt(UUID(request.erasure_id))
        return pb.GetErasureReceiptResponse(erasure=convert.erasure_to_proto(erasure))
