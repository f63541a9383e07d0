"""AuthAdminService over gRPC: convert, one call, convert."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.auth.v1 import auth_admin_service_pb2 as pb
from svoykrug.auth.v1.auth_admin_service_pb2_grpc import AuthAdminServiceServicer

from svoykrug_server.auth import admin_convert, convert
from svoykrug_server.auth.demo_phones import DemoPhones
from svoykrug_server.auth.key_rotation import KeyRotation
from svoykrug_server.auth.service_accounts import ServiceAccounts
from svoykrug_server.auth.sms.convert import traced_to_proto
from svoykrug_server.auth.sms.trace import CodeDeliveryTrace
from svoykrug_server.auth.user_sessions import UserSessions
from svoykrug_server.rpc.context import current, current_caller

Context = ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class AuthAdminUseCases:
    """What AuthAdminService serves, one object for each kind of use case."""

    accounts: ServiceAccounts
    keys: KeyRotation
    deliveries: CodeDeliveryTrace
    demo_phones: DemoPhones
    sessions: UserSessions


class AuthAdminServicer(AuthAdminServiceServicer):
    """Serves `svoykrug.auth.v1.AuthAdminService`.

    Args:
        use_cases: The use cases.
    """

    def __init__(self, use_cases: AuthAdminUseCases) -> None:
        self._do = use_cases

    async def CreateServiceAccount(
        self, request: pb.CreateServiceAccountRequest, context: Context
    ) -> pb.CreateServiceAccountResponse:
        """Makes a service account with its first key."""
        new = admin_convert.new_service_account_from_proto(request)
        account = await self._do.accounts.create(new, UUID(request.request_id), current())
        return pb.CreateServiceAccountResponse(service_account=admin_convert.service_account_to_proto(account))

    async def ListServiceAccounts(
        self, request: pb.ListServiceAccountsRequest, context: Context
    ) -> pb.ListServiceAccountsResponse:
        """Lists service accounts by name."""
        page = await self._do.accounts.page(request.page_size, request.page_token)
        return admin_convert.service_account_page_to_proto(page)

    async def SetServiceAccountScopes(
        self, request: pb.SetServiceAccountScopesRequest, context: Context
    ) -> pb.SetServiceAccountScopesResponse:
        """Replaces what a service account may do."""
        account_id = UUID(request.service_account_id)
        account = await self._do.accounts.set_scopes(account_id, tuple(request.scopes), current())
        return pb.SetServiceAccountScopesResponse(service_account=admin_convert.service_account_to_proto(account))

    async def DisableServiceAccount(
        self, request: pb.DisableServiceAccountRequest, context: Context
    ) -> pb.DisableServiceAccountResponse:
        """Disables a service account for good."""
        account = await self._do.accounts.disable(UUID(request.service_account_id), current())
        return pb.DisableServiceAccountResponse(service_account=admin_convert.service_account_to_proto(account))

    async def AddServiceAccountKey(
        self, request: pb.AddServiceAccountKeyRequest, context: Context
    ) -> pb.AddServiceAccountKeyResponse:
        """Adds a public key to a service account."""
        account_id, pem = UUID(request.service_account_id), request.public_key_pem.encode()
        account, kid = await self._do.accounts.add_key(account_id, pem, current())
        shown = admin_convert.service_account_to_proto(account)
        return pb.AddServiceAccountKeyResponse(service_account=shown, kid=kid)

    async def RemoveServiceAccountKey(
        self, request: pb.RemoveServiceAccountKeyRequest, context: Context
    ) -> pb.RemoveServiceAccountKeyResponse:
        """Removes a key of a service account."""
        account = await self._do.accounts.remove_key(UUID(request.service_account_id), request.kid, current())
        return pb.RemoveServiceAccountKeyResponse(service_account=admin_convert.service_account_to_proto(account))

    async def ListSigningKeys(self, request: pb.ListSigningKeysRequest, context: Context) -> pb.ListSigningKeysResponse:
        """Lists the signing keys."""
        keys = await self._do.keys.listed()
        return pb.ListSigningKeysResponse(signing_keys=map(admin_convert.signing_key_to_proto, keys))

    async def CreateSigningKey(
        self, request: pb.CreateSigningKeyRequest, context: Context
    ) -> pb.CreateSigningKeyResponse:
        """Makes and publishes a signing key."""
        algorithm = admin_convert.algorithm_from_proto(request.algorithm)
        key = await self._do.keys.create(algorithm, UUID(request.request_id), current())
        return pb.CreateSigningKeyResponse(signing_key=admin_convert.signing_key_to_proto(key))

    async def ActivateSigningKey(
        self, request: pb.ActivateSigningKeyRequest, context: Context
    ) -> pb.ActivateSigningKeyResponse:
        """Lets a published key sign."""
        key = await self._do.keys.activate(request.kid, current(), skip_wait=request.skip_wait)
        return pb.ActivateSigningKeyResponse(signing_key=admin_convert.signing_key_to_proto(key))

    async def RetireSigningKey(
        self, request: pb.RetireSigningKeyRequest, context: Context
    ) -> pb.RetireSigningKeyResponse:
        """Retires a key that waits, or refuses the tokens of a retired one."""
        key = await self._do.keys.retire(request.kid, current(), reject_tokens=request.reject_tokens)
        return pb.RetireSigningKeyResponse(signing_key=admin_convert.signing_key_to_proto(key))

    async def TraceCodeDelivery(
        self, request: pb.TraceCodeDeliveryRequest, context: Context
    ) -> pb.TraceCodeDeliveryResponse:
        """Says what became of the SMS to a phone."""
        traced = await self._do.deliveries.trace(request.phone, current())
        return pb.TraceCodeDeliveryResponse(deliveries=map(traced_to_proto, traced))

    async def SetDemoPhone(self, request: pb.SetDemoPhoneRequest, context: Context) -> pb.SetDemoPhoneResponse:
        """Gives a phone a fixed code and no SMS."""
        expire_time = admin_convert.expire_time_from_proto(request)
        demo = await self._do.demo_phones.put(request.phone, request.code, expire_time, current())
        return pb.SetDemoPhoneResponse(demo_phone=admin_convert.demo_phone_to_proto(demo))

    async def ListDemoPhones(self, request: pb.ListDemoPhonesRequest, context: Context) -> pb.ListDemoPhonesResponse:
        """Lists the demo phones."""
        demo_phones = await self._do.demo_phones.listed()
        return pb.ListDemoPhonesResponse(demo_phones=map(admin_convert.demo_phone_to_proto, demo_phones))

    async def RemoveDemoPhone(self, request: pb.RemoveDemoPhoneRequest, context: Context) -> pb.RemoveDemoPhoneResponse:
        """Takes a demo phone away."""
        await self._do.demo_phones.remove(request.phone, current())
        return pb.RemoveDemoPhoneResponse()

    async def ListUserSessions(
        self, request: pb.ListUserSessionsRequest, context: Context
    ) -> pb.ListUserSessionsResponse:
        """Lists the sessions of a user."""
        sessions = await self._do.sessions.listed(UUID(request.user_id), current_caller())
        return pb.ListUserSessionsResponse(sessions=map(convert.session_to_proto, sessions))

    async def RevokeUserSessions(
        self, request: pb.RevokeUserSessionsRequest, context: Context
    ) -> pb.RevokeUserSessionsResponse:
        """Ends one session of a user, or all of them."""
        session_id = UUID(request.session_id) if request.session_id else None
        count = await self._do.sessions.revoke(UUID(request.user_id), session_id, current_caller(), current())
        return pb.RevokeUserSessionsResponse(revoked_count=count)
