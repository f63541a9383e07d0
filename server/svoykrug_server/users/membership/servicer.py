"""The methods of UsersService about a membership, over gRPC: convert, one call, convert."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.rpc.context import current, current_caller
from svoykrug_server.users.convert import user_to_proto
from svoykrug_server.users.membership import convert
from svoykrug_server.users.membership.consents import Consents
from svoykrug_server.users.membership.referrals import Referrals
from svoykrug_server.users.membership.tiers import Tiers
from svoykrug_server.users.membership.wallet import Wallet

Context = ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class MembershipUseCases:
    """What belongs to a membership, one object for each kind of use case."""

    consents: Consents
    referrals: Referrals
    tiers: Tiers
    wallet: Wallet


class MembershipMethods:
    """The methods about consents, referrals, tiers and wallet codes.

    Args:
        membership: The use cases.
    """

    def __init__(self, membership: MembershipUseCases) -> None:
        self._membership = membership

    async def SetMyConsents(self, request: pb.SetMyConsentsRequest, context: Context) -> pb.SetMyConsentsResponse:
        """Gives consents or takes them back."""
        consents = await self._membership.consents.set(current(), convert.grants_from_proto(request.consents))
        return pb.SetMyConsentsResponse(consents=map(convert.consent_to_proto, consents))

    async def GetMyConsents(self, request: pb.GetMyConsentsRequest, context: Context) -> pb.GetMyConsentsResponse:
        """Returns the caller's consents."""
        consents = await self._membership.consents.get(current_caller().subject_id)
        return pb.GetMyConsentsResponse(consents=map(convert.consent_to_proto, consents))

    async def ListMyReferrals(self, request: pb.ListMyReferralsRequest, context: Context) -> pb.ListMyReferralsResponse:
        """Lists the members whom the caller brought."""
        caller = current_caller()
        page = await self._membership.referrals.list_of(caller.subject_id, request.page_size, request.page_token)
        return convert.referrals_to_proto(page)

    async def GetMyTier(self, request: pb.GetMyTierRequest, context: Context) -> pb.GetMyTierResponse:
        """Returns the caller's tier and what is missing for the next."""
        status = await self._membership.tiers.get(current_caller().subject_id)
        return pb.GetMyTierResponse(tier_status=convert.tier_status_to_proto(status))

    async def SetUserTier(self, request: pb.SetUserTierRequest, context: Context) -> pb.SetUserTierResponse:
        """Pins a member to Inner Circle, or gives her the tier of her spending again."""
        pin = request.tier == user_pb2.TIER_INNER_CIRCLE
        user = await self._membership.tiers.set(current(), UUID(request.user_id), pin=pin)
        return pb.SetUserTierResponse(user=user_to_proto(user))

    async def GetMyWalletCode(self, request: pb.GetMyWalletCodeRequest, context: Context) -> pb.GetMyWalletCodeResponse:
        """Makes a code that the caller shows at a business."""
        code = await self._membership.wallet.make(current_caller().subject_id)
        return convert.wallet_code_to_proto(code)
