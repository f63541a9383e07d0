"""AuthService over gRPC: convert, one call, convert."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.auth.v1 import auth_service_pb2 as pb
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceServicer

from svoykrug_server.auth import admin_convert, convert
from svoykrug_server.auth.introspection import Introspection
from svoykrug_server.auth.phone_change import PhoneChange
from svoykrug_server.auth.service_tokens import ServiceTokens
from svoykrug_server.auth.sessions import Sessions
from svoykrug_server.auth.sign_in import CodeSending
from svoykrug_server.auth.sign_in_completion import SignInCompletion
from svoykrug_server.auth.signing_keys import SigningKeys
from svoykrug_server.auth.tokens import TokenRotation
from svoykrug_server.rpc.context import current, current_caller

Context = ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class AuthUseCases:
    """What AuthService serves, one object for each kind of use case."""

    codes: CodeSending
    completion: SignInCompletion
    rotation: TokenRotation
    sessions: Sessions
    phone_change: PhoneChange
    keys: SigningKeys
    service_tokens: ServiceTokens
    introspection: Introspection


class AuthServicer(AuthServiceServicer):
    """Serves `svoykrug.auth.v1.AuthService`.

    Args:
        use_cases: The use cases.
    """

    def __init__(self, use_cases: AuthUseCases) -> None:
        self._do = use_cases

    async def StartSignIn(self, request: pb.StartSignInRequest, context: Context) -> pb.StartSignInResponse:
        """Sends a code to a phone."""
        challenge = await self._do.codes.start(request.phone, current())
        return pb.StartSignInResponse(challenge=convert.challenge_to_proto(challenge))

    async def ResendCode(self, request: pb.ResendCodeRequest, context: Context) -> pb.ResendCodeResponse:
        """Sends the same code again."""
        challenge_id = convert.challenge_id_from_text(request.challenge_id)
        challenge = await self._do.codes.resend(challenge_id, current())
        return pb.ResendCodeResponse(challenge=convert.challenge_to_proto(challenge))

    async def CompleteSignIn(self, request: pb.CompleteSignInRequest, context: Context) -> pb.CompleteSignInResponse:
        """Exchanges a challenge and its code for a session."""
        signed_in = await self._do.completion.complete(convert.answer_from_proto(request), current())
        return convert.signed_in_to_proto(signed_in)

    async def RefreshTokens(self, request: pb.RefreshTokensRequest, context: Context) -> pb.RefreshTokensResponse:
        """Exchanges a refresh token for a new pair."""
        tokens = await self._do.rotation.refresh(request.refresh_token, UUID(request.request_id), current())
        return pb.RefreshTokensResponse(tokens=convert.tokens_to_proto(tokens))

    async def SignOut(self, request: pb.SignOutRequest, context: Context) -> pb.SignOutResponse:
        """Ends the session that asks."""
        await self._do.sessions.sign_out(current_caller(), current())
        return pb.SignOutResponse()

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        """Lists the caller's sessions."""
        sessions = await self._do.sessions.listed(current_caller())
        return pb.ListSessionsResponse(sessions=map(convert.session_to_proto, sessions))

    async def RevokeSession(self, request: pb.RevokeSessionRequest, context: Context) -> pb.RevokeSessionResponse:
        """Ends one of the caller's sessions."""
        await self._do.sessions.revoke(current_caller(), UUID(request.session_id), current())
        return pb.RevokeSessionResponse()

    async def RevokeOtherSessions(
        self, request: pb.RevokeOtherSessionsRequest, context: Context
    ) -> pb.RevokeOtherSessionsResponse:
        """Ends all of the caller's sessions but the one that asks."""
        count = await self._do.sessions.revoke_others(current_caller(), current())
        return pb.RevokeOtherSessionsResponse(revoked_count=count)

    async def StartPhoneChange(
        self, request: pb.StartPhoneChangeRequest, context: Context
    ) -> pb.StartPhoneChangeResponse:
        """Sends a code to the phone that the caller wants as her own."""
        challenge = await self._do.phone_change.start(current_caller(), request.phone, current())
        return pb.StartPhoneChangeResponse(challenge=convert.challenge_to_proto(challenge))

    async def CompletePhoneChange(
        self, request: pb.CompletePhoneChangeRequest, context: Context
    ) -> pb.CompletePhoneChangeResponse:
        """Makes the phone of a challenge the caller's own."""
        answer = convert.phone_answer_from_proto(request)
        changed = await self._do.phone_change.complete(current_caller(), answer, current())
        return pb.CompletePhoneChangeResponse(phone=changed.phone, revoked_count=changed.revoked_count)

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> pb.GetJwksResponse:
        """Returns the public keys."""
        return convert.jwks_to_proto(self._do.keys.published(), self._do.keys.times.cache_life)

    async def IssueServiceToken(
        self, request: pb.IssueServiceTokenRequest, context: Context
    ) -> pb.IssueServiceTokenResponse:
        """Exchanges a service account's assertion for an access token."""
        token = await self._do.service_tokens.issue(request.assertion, frozenset(request.scopes), current())
        return convert.service_token_to_proto(token)

    async def IntrospectToken(self, request: pb.IntrospectTokenRequest, context: Context) -> pb.IntrospectTokenResponse:
        """Tells whether an access token is good now, and what it says."""
        return admin_convert.introspection_to_proto(await self._do.introspection.look_at(request.token))
