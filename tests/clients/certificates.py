"""Certificates for a server on 127.0.0.1: one that has expired, and one that is valid, of one authority.

The tests of each client run it: `python certificates.py FOLDER` writes `authority.pem`, whom to trust, and `key.pem`
with `expired.pem` and `valid.pem`, what the server shows.
"""

import datetime as dt
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_AUTHORITY = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "An authority of the tests")])
_SERVER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
_DAY = dt.timedelta(days=1)


def write(folder: Path) -> None:
    """Writes the files into a folder."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = dt.datetime.now(dt.UTC)
    authority = _builder(_AUTHORITY, authority_key.public_key(), now + 10 * _DAY).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    _save(folder / "authority.pem", authority.sign(authority_key, hashes.SHA256()))
    for name, end in (("expired", now - _DAY), ("valid", now + _DAY)):
        shown = _builder(_SERVER, server_key.public_key(), end).add_extension(address, critical=False)
        _save(folder / f"{name}.pem", shown.sign(authority_key, hashes.SHA256()))
    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(key)


def _builder(name: x509.Name, key: ec.EllipticCurvePublicKey, end: dt.datetime) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(_AUTHORITY, name, key, x509.random_serial_number(), end - 20 * _DAY, end)


def _save(file: Path, certificate: x509.Certificate) -> None:
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
