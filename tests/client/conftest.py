"""Clients of a staged server: signed in, or with a service account's key."""

import itertools
import time
from collections.abc import AsyncIterator, Callable

import grpc.aio
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from svoykrug.auth.v1.auth_service_pb2 import RefreshTokensResponse
from svoykrug.auth.v1.session_pb2 import Tokens
from svoykrug.users.v1.user_pb2 import User
from svoykrug.users.v1.users_service_pb2 import GetMeResponse

from svoykrug_client import Client, MemoryTokenStore, ServiceKey, StoredSession
from tests.client.staged import StagedServer

USER_ID = "0198a000-0000-7000-8000-000000000001"
ME = GetMeResponse(user=User(id=USER_ID, display_name="Анна"))
NUMBERS = itertools.count(1)


def access_token(life_seconds: float = 900.0) -> str:
    """Returns a new access token; the client reads its life and leaves the rest to the server."""
    now = time.time()
    claims = {"iat": now, "exp": now + life_seconds, "jti": str(next(NUMBERS))}
    return jwt.encode(claims, "not looked at by the client, but long enough", algorithm="HS256")


def refreshed(refresh_token: str, life_seconds: float = 900.0) -> RefreshTokensResponse:
    """Returns the answer of a refresh."""
    return RefreshTokensResponse(tokens=Tokens(access_token=access_token(life_seconds), refresh_token=refresh_token))


@pytest.fixture
async def server() -> AsyncIterator[StagedServer]:
    """Plays the service; `GetMe` and `RefreshTokens` answer well until the test says otherwise."""
    staged = StagedServer()
    staged.plays("GetMe", ME)
    staged.plays("RefreshTokens", refreshed("second refresh token"), refreshed("third refresh token"))
    running = grpc.aio.server()
    running.add_generic_rpc_handlers((staged,))
    staged.target = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    await running.start()
    yield staged
    await running.stop(None)


@pytest.fixture
def store() -> MemoryTokenStore:
    """Holds a session, as if she had signed in yesterday."""
    kept = MemoryTokenStore()
    kept.save(StoredSession(USER_ID, "first refresh token"))
    return kept


@pytest.fixture
async def client(server: StagedServer, store: MemoryTokenStore) -> AsyncIterator[Client]:
    """A client of a signed-in person."""
    async with Client(server.target, insecure=True, token_store=store) as opened:
        yield opened


@pytest.fixture
async def stranger(server: StagedServer) -> AsyncIterator[Client]:
    """A client of nobody."""
    async with Client(server.target, insecure=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def private_key() -> ec.EllipticCurvePrivateKey:
    """A service account's private key."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def service_key(private_key: ec.EllipticCurvePrivateKey) -> ServiceKey:
    """The key of a service account."""
    pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ServiceKey("0198a000-0000-7000-8000-0000000000aa", "key-1", "https://auth.svoykrug.test", pem.decode())


@pytest.fixture
async def service(server: StagedServer, service_key: ServiceKey) -> AsyncIterator[Client]:
    """A client of a service account."""
    async with Client(server.target, insecure=True, service_key=service_key) as opened:
        yield opened


@pytest.fixture
def new_client(server: StagedServer) -> Callable[..., Client]:
    """Makes further clients of the same server."""
    return lambda **options: Client(server.target, insecure=True, **options)
