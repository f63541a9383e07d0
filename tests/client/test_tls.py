"""Without `insecure` a client talks TLS, and only to whom it trusts."""

import datetime as dt
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import GetJwksRequest, GetJwksResponse
from svoykrug.auth.v1.session_pb2 import JsonWebKey

from svoykrug_client import Client
from tests.client.staged import StagedServer

KEYS = GetJwksResponse(keys=[JsonWebKey(kid="key-1")])


@dataclass(frozen=True, slots=True)
class Secured:
    """A server with TLS.

    Attributes:
        target: Where it listens.
        certificate_pem: Its own certificate, signed by itself.
    """

    target: str
    certificate_pem: bytes


@pytest.fixture
async def secured(private_key: ec.EllipticCurvePrivateKey) -> AsyncIterator[Secured]:
    """A staged server behind TLS."""
    staged = StagedServer()
    staged.plays("GetJwks", KEYS)
    certificate_pem = self_signed(private_key)
    key_pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    running = grpc.aio.server()
    running.add_generic_rpc_handlers((staged,))
    credentials = grpc.ssl_server_credentials([(key_pem, certificate_pem)])
    port = running.add_secure_port("127.0.0.1:0", credentials)
    await running.start()
    yield Secured(f"127.0.0.1:{port}", certificate_pem)
    await running.stop(None)


def self_signed(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns a certificate (PEM) of 127.0.0.1."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_a_trusted_server_is_talked_to_over_tls(secured: Secured) -> None:
    async with Client(secured.target, root_certificates_pem=secured.certificate_pem) as client:
        assert await client.auth.GetJwks(GetJwksRequest()) == KEYS


async def test_a_server_nobody_vouches_for_is_a_lost_connection(secured: Secured) -> None:
    async with Client(secured.target) as client:
        with pytest.raises(errors.ConnectionLost):
            await client.auth.GetJwks(GetJwksRequest(), timeout=5)


async def test_a_client_that_expects_tls_tells_no_secret_to_a_server_without_it(server: StagedServer) -> None:
    async with Client(server.target) as client:
        with pytest.raises(errors.ConnectionLost):
            await client.auth.GetJwks(GetJwksRequest(), timeout=5)
    assert server.received("GetJwks") == []
