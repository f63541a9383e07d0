"""The whole server in the test's process, and people who use it over the network as an app does."""

from dataclasses import dataclass
from uuid import UUID, uuid4

import grpc
from svoykrug.auth.v1 import auth_service_pb2, session_pb2
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from svoykrug.businesses.v1.businesses_service_pb2_grpc import BusinessesServiceStub
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceStub

from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.convert import challenge_id_from_text

Metadata = tuple[tuple[str, str], ...]
CONSENTS = [
    user_pb2.ConsentGrant(kind=user_pb2.CONSENT_KIND_TERMS, version="2026-11", granted=True),
    user_pb2.ConsentGrant(kind=user_pb2.CONSENT_KIND_PERSONAL_DATA, version="2026-11", granted=True),
]


@dataclass(slots=True)
class Person:
    """A signed-in person.

    Attributes:
        user_id: Her id.
        tokens: Her tokens now.
        new_user: Whether this sign-in made or claimed her.
    """

    user_id: str
    tokens: session_pb2.Tokens
    new_user: bool

    @property
    def metadata(self) -> Metadata:
        """What she calls with."""
        return (("authorization", f"Bearer {self.tokens.access_token}"),)


@dataclass(frozen=True, slots=True)
class Circle:
    """A channel to the whole server, the codes it sends, and where it listens."""

    channel: grpc.aio.Channel
    codes: Codes
    target: str

    @property
    def auth(self) -> AuthServiceStub:
        """Sign-in."""
        return AuthServiceStub(self.channel)

    @property
    def users(self) -> UsersServiceStub:
        """Profiles and members."""
        return UsersServiceStub(self.channel)

    @property
    def businesses(self) -> BusinessesServiceStub:
        """Businesses and their staff."""
        return BusinessesServiceStub(self.channel)

    def code_of(self, challenge_id: UUID) -> str:
        """Returns the code that a challenge's SMS carries."""
        code = self.codes.derive(challenge_id, self.codes.active_kid)
        assert code is not None
        return code

    async def sign_in(self, phone: str, referral_code: str = "") -> Person:
        """Signs a person in with the code she was sent; a new one may have been brought by another."""
        started = await self.auth.StartSignIn(auth_service_pb2.StartSignInRequest(phone=phone))
        challenge_id = started.challenge.challenge_id
        code = self.code_of(challenge_id_from_text(challenge_id))
        answer = await self.auth.CompleteSignIn(
            auth_service_pb2.CompleteSignInRequest(
                challenge_id=challenge_id,
                code=code,
                request_id=str(uuid4()),
                consents=CONSENTS,
                referral_code=referral_code,
            )
        )
        return Person(answer.user_id, answer.tokens, answer.new_user)

    async def refresh(self, person: Person) -> None:
        """Gives a person new tokens for her old ones."""
        request = auth_service_pb2.RefreshTokensRequest(
            refresh_token=person.tokens.refresh_token, request_id=str(uuid4())
        )
        person.tokens = (await self.auth.RefreshTokens(request)).tokens
