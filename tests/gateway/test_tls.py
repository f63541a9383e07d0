"""TLS at the gateway and behind it, with certificates that end and are renewed."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from svoykrug_server.gateway import process
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.e2e.running import running
from tests.gateway.curl import curl
from tests.gateway.front import Front, gateway_before
from tests.gateway.test_processes import started
from tests.waiting import until


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate for 127.0.0.1 that vouches for itself, and its key, as files."""

    certificate: Path
    key: Path

    def renew(self) -> str:
        """Writes a new certificate and key, and returns the certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
        serial = x509.random_serial_number()
        builder = x509.CertificateBuilder(name, name, key.public_key(), serial, now - day, now + day)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.key.write_bytes(key.private_bytes(*form))
        self.certificate.write_bytes(certificate)
        return certificate.decode()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A fresh certificate and key."""
    made = Pair(tmp_path / "chain.pem", tmp_path / "key.pem")
    made.renew()
    return made


def shown(address: str) -> str:
    """Returns the certificate that is shown to a caller."""
    host, port = address.split(":")
    return ssl.get_server_certificate((host, int(port))).strip()


async def test_curl_speaks_tls_and_http_2_and_trusts_only_who_vouches(front: Front, pair: Pair) -> None:
    files = {"gateway_tls_certificate": pair.certificate, "gateway_tls_key": pair.key}
    async with gateway_before(front.circle.target, **files) as gateway:
        url = f"https://{gateway.address}/v1/users/me"
        answer = await curl(url, "--cacert", str(pair.certificate), "--http2")
        assert (answer.status, answer.reason) == (401, "TOKEN_MISSING")
        assert (await curl(url)).status == 0
        assert (await curl(f"http://{gateway.address}/v1/users/me")).status == 0
        assert (await curl(url, "--cacert", str(pair.certificate), "--tls-max", "1.1")).status == 0


async def test_a_renewed_certificate_is_shown_without_a_restart(
    front: Front, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WATCH_SECONDS", 0.05)
    files = {"gateway_tls_certificate": pair.certificate, "gateway_tls_key": pair.key}
    async with gateway_before(front.circle.target, **files) as gateway:
        assert shown(gateway.address) == pair.certificate.read_text().strip()
        for _ in range(2):
            renewed = pair.renew().strip()
            await until(lambda renewed=renewed: shown(gateway.address) == renewed)  # type: ignore[misc]  # a bound default
        pair.key.write_text("torn")
        answer = await curl(f"https://{gateway.address}/healthz", "--cacert", str(pair.certificate))
        assert answer.status == 200


async def test_a_certificate_without_its_key_is_told_in_one_line(pair: Pair, tmp_path: Path) -> None:
    other = Pair(tmp_path / "other.pem", tmp_path / "other_key.pem")
    other.renew()
    files = {"gateway_tls_certificate": pair.certificate, "gateway_tls_key": other.key}
    with pytest.raises(CannotStart, match=r"SVOYKRUG_GATEWAY_TLS_CERTIFICATE .* key values mismatch"):
        async with gateway_before("127.0.0.1:1", **files):
            raise AssertionError("it started")


async def test_servers_with_tls_are_called_when_their_authority_is_named(
    postgres: Postgres, warehouse: Warehouse, pair: Pair
) -> None:
    async with running(postgres, warehouse, tls_certificate=pair.certificate, tls_key=pair.key) as server:
        [address] = server.server.addresses
        async with gateway_before(address, gateway_server_authorities=pair.certificate) as gateway:
            answer = await curl(f"http://{gateway.address}/v1/users/me")
            assert (answer.status, answer.reason) == (401, "TOKEN_MISSING")
        async with gateway_before(address) as gateway:
            answer = await curl(f"http://{gateway.address}/v1/users/me")
            assert (answer.status, answer.reason) == (503, "STORE_UNAVAILABLE")


async def test_a_server_with_tls_has_no_gateway_beside_it(pair: Pair) -> None:
    files = {"TLS_CERTIFICATE": str(pair.certificate), "TLS_KEY": str(pair.key)}
    async with started("serve", "--gateway", **files) as run:
        assert run.process.returncode == ExitCode.SETTINGS
        assert "or run `svoykrug gateway` apart" in run.printed.splitlines()[-1]


async def test_nobody_listens_off_loopback_in_plaintext_unasked() -> None:
    with pytest.raises(CannotStart, match="tokens would travel readable"):
        async with gateway_before("127.0.0.1:1", gateway_listen="0.0.0.0:0"):
            raise AssertionError("it started")
