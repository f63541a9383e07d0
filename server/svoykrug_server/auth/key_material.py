"""Key pairs: making them, naming them, publishing them, and keeping private ones encrypted."""

import json
from secrets import token_bytes
from typing import cast

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from svoykrug_server.auth.key_model import Algorithm, AssertionKey

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

RSA_BITS = 2048
_NONCE_BYTES = 12


class SealBroken(ValueError):
    """The private key was sealed with another secret, or changed since."""


def generate(algorithm: Algorithm) -> PrivateKey:
    """Makes a key pair: P-256 for ES256, 2048 bits for RS256."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)


def algorithm_of(key: PublicKey) -> Algorithm:
    """Returns the one algorithm a public key is used with.

    Raises:
        ValueError: The key is on another curve than P-256, or has fewer than 2048 bits.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("an EC key is on the curve P-256")
        return "ES256"
    if key.key_size < RSA_BITS:
        raise ValueError(f"an RSA key has at least {RSA_BITS} bits")
    return "RS256"


def public_from_pem(pem: bytes) -> PublicKey:
    """Reads a public key.

    Raises:
        ValueError: The text is not the PEM of a P-256 or RSA public key.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError("the key is on an unknown curve, or of an unknown kind") from error
    if not isinstance(key, PublicKey):
        raise ValueError("the key is neither an EC nor an RSA key")
    algorithm_of(key)
    return key


def assertion_key(pem: bytes) -> AssertionKey:
    """Reads a public key as a service account holds it.

    Raises:
        ValueError: The text is not the PEM of a P-256 key or of an RSA key of 2048 bits or more.
    """
    key = public_from_pem(pem)
    return AssertionKey(thumbprint(key), algorithm_of(key), public_to_der(key))


def public_to_pem(key: PublicKey) -> bytes:
    """Returns a public key as PEM, SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_to_der(key: PublicKey) -> bytes:
    """Returns a public key as DER, SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_from_der(der: bytes) -> PublicKey:
    """Reads what `public_to_der` wrote."""
    return cast(PublicKey, serialization.load_der_public_key(der))


def private_to_pem(key: PrivateKey) -> bytes:
    """Returns a private key as PEM, PKCS#8, unencrypted: for the one file that its owner keeps."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def to_jwk(key: PublicKey) -> dict[str, str]:
    """Returns a public key's members as RFC 7517 writes them: kty, and crv, x, y or n, e."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        jwk = ECAlgorithm.to_jwk(key, as_dict=True)
    else:
        jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}


def thumbprint(key: PublicKey) -> str:
    """Returns a key's id: the SHA-256 thumbprint of RFC 7638, so that one key has one id everywhere."""
    canonical = json.dumps(to_jwk(key), sort_keys=True, separators=(",", ":")).encode()
    digest = hashes.Hash(hashes.SHA256())
    digest.update(canonical)
    return base64url_encode(digest.finalize()).decode()


def seal(key: PrivateKey, secret: bytes, kid: str) -> bytes:
    """Encrypts a private key for the database.

    Args:
        key: The private key.
        secret: The key encryption secret, 32 bytes or more.
        kid: The private key's id; a sealed key cannot be put under another.

    Returns:
        A nonce of 12 bytes, then PKCS#8 under AES-256-GCM with a key derived by HKDF-SHA-256.
    """
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    nonce = token_bytes(_NONCE_BYTES)
    return nonce + _cipher(secret).encrypt(nonce, plain, kid.encode())


def unseal(sealed: bytes, secret: bytes, kid: str) -> PrivateKey:
    """Decrypts what `seal` encrypted.

    Raises:
        SealBroken: It was sealed with another secret or for another kid, or changed since.
    """
    try:
        plain = _cipher(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], kid.encode())
    except InvalidTag as error:
        raise SealBroken("the private key cannot be decrypted") from error
    return cast(PrivateKey, serialization.load_der_private_key(plain, password=None))


def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), length=32, salt=None, info=b"svoykrug signing key").derive(secret))
