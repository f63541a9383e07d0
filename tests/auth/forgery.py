"""Tokens that no library would make."""

import base64
import hmac
import json


def encoded(part: object) -> str:
    """Returns one part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def hs256(secret: bytes, header: object, payload: object) -> str:
    """Returns a JWT signed with a symmetric key; PyJWT refuses public keys in that place."""
    signed = f"{encoded(header)}.{encoded(payload)}"
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
    return f"{signed}.{signature}"
