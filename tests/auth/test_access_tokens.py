import base64
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from svoykrug_server.auth import key_material
from svoykrug_server.kit.caller import Role
from tests.auth.forgery import encoded, hs256
from tests.auth.world import World, refusal_of


@pytest.fixture
async def token(world: World) -> str:
    """A good access token."""
    return (await world.sign_in()).tokens.access_token


def payload_of(token: str) -> dict[str, Any]:
    payload: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return payload


def resigned(world: World, token: str, *, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """Returns the token signed again by our own key, with other claims and headers; a claim of None is left out."""
    key = world.auth.use_cases.keys.active
    payload = {name: value for name, value in (payload_of(token) | claims).items() if value is not None}
    header = {"kid": key.kid, "typ": "at+jwt"} | dict(headers or {})
    return jwt.encode(payload, key.private_key, algorithm=key.algorithm, headers=header)


async def verdict(world: World, token: str) -> str:
    return (await refusal_of(world.auth.verifier.verify(token))).reason


async def test_a_token_names_person_session_and_roles(world: World) -> None:
    signed_in = await world.sign_in()
    caller = await world.caller_of(signed_in)
    assert (caller.subject_id, caller.session_id) == (signed_in.user_id, signed_in.session.session_id)
    assert caller.roles == {Role.MEMBER}
    assert not caller.is_service


async def test_a_token_holds_the_claims_of_rfc_9068_and_no_personal_data(token: str) -> None:
    payload = payload_of(token)
    assert set(payload) == {
        "iss", "aud", "sub", "sid", "jti", "iat", "exp", "kind", "epoch", "roles", "staff", "tier",
    }  # fmt: skip
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    assert payload["exp"] - payload["iat"] == 900


async def test_resigning_alone_changes_no_verdict(world: World, token: str) -> None:
    await world.auth.verifier.verify(resigned(world, token))


async def test_alg_none_is_refused(world: World, token: str) -> None:
    kid = world.auth.use_cases.keys.active.kid
    for alg in ("none", "None", "NONE", ""):
        header = encoded({"alg": alg, "typ": "at+jwt", "kid": kid})
        assert await verdict(world, f"{header}.{token.split('.')[1]}.") == "TOKEN_INVALID"
        assert await verdict(world, f"{header}.{token.split('.')[1]}.{token.split('.')[2]}") == "TOKEN_INVALID"


async def test_hs256_with_the_public_key_as_its_secret_is_refused(world: World, token: str) -> None:
    key = world.auth.use_cases.keys.active
    public = key.private_key.public_key()
    formats = [
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ]
    for encoding, form in formats:
        header = {"alg": "HS256", "typ": "at+jwt", "kid": key.kid}
        forged = hs256(public.public_bytes(encoding, form), header, payload_of(token))
        assert await verdict(world, forged) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-api"},
        {"aud": "svoykrug"},
        {"aud": None},
        {"iss": "another-issuer"},
        {"iss": None},
        {"sub": "not-a-uuid"},
        {"sub": None},
        {"sid": None},
        {"sid": 7},
        {"jti": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e300},
        {"iat": None},
        {"kind": None},
        {"kind": "admin"},
        {"kind": "service"},
        {"epoch": None},
        {"roles": ["owner-of-everything"]},
        {"roles": None},
        {"staff": ["x"]},
    ],
    ids=str,
)
async def test_a_wrong_claim_is_refused_though_the_signature_is_right(
    world: World, token: str, claims: dict[str, Any]
) -> None:
    assert await verdict(world, resigned(world, token, **claims)) == "TOKEN_INVALID"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "id+jwt", None])
async def test_another_type_is_refused(world: World, token: str, typ: str | None) -> None:
    assert await verdict(world, resigned(world, token, headers={"typ": typ})) == "TOKEN_INVALID"


async def test_a_critical_header_that_nobody_knows_is_refused(world: World, token: str) -> None:
    assert await verdict(world, resigned(world, token, headers={"crit": ["x"], "x": 1})) == "TOKEN_INVALID"


async def test_a_foreign_key_is_refused_under_its_own_kid_and_under_ours(world: World, token: str) -> None:
    foreign = key_material.generate("ES256")
    kids = [key_material.thumbprint(foreign.public_key()), world.auth.use_cases.keys.active.kid, "", None, 7]
    for kid in kids:
        header = encoded({"alg": "ES256", "typ": "at+jwt", "kid": kid})
        signed = jwt.api_jws.encode(
            json.dumps(payload_of(token)).encode(), foreign, algorithm="ES256", headers={"typ": "at+jwt"}
        )
        for forged in (f"{header}.{'.'.join(signed.split('.')[1:])}", resign_with(foreign, token, kid)):
            assert await verdict(world, forged) == "TOKEN_INVALID"


def resign_with(key: key_material.PrivateKey, token: str, kid: object) -> str:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": kid}
    signed = f"{encoded(header)}.{token.split('.')[1]}".encode()
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256, ec.SECP256R1).sign(signed, key)  # type: ignore[arg-type]  # an EC key
    return f"{signed.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_a_key_that_the_token_brings_along_is_not_looked_at(world: World, token: str) -> None:
    foreign = key_material.generate("ES256")
    jwk = key_material.to_jwk(foreign.public_key())
    for header in ({"jwk": jwk}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example/cert"}):
        headers = {"typ": "at+jwt", "kid": world.auth.use_cases.keys.active.kid} | header
        forged = jwt.encode(payload_of(token), foreign, algorithm="ES256", headers=headers)
        assert await verdict(world, forged) == "TOKEN_INVALID"


async def test_another_algorithm_than_the_keys_is_refused(world: World, token: str) -> None:
    rsa = key_material.generate("RS256")
    headers = {"typ": "at+jwt", "kid": world.auth.use_cases.keys.active.kid}
    forged = jwt.encode(payload_of(token), rsa, algorithm="RS256", headers=headers)
    assert await verdict(world, forged) == "TOKEN_INVALID"


async def test_every_changed_part_is_refused(world: World, token: str) -> None:
    header, payload, signature = token.split(".")
    admin = encoded(payload_of(token) | {"roles": ["superadmin"]})
    for forged in (
        f"{header}.{admin}.{signature}",
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}..{signature}",
        f"..{signature}",
    ):
        assert await verdict(world, forged) == "TOKEN_INVALID"


@pytest.mark.parametrize("text", ["", ".", "..", "...", "x", "a.b.c", "\0", "é.é.é", "A" * 100_000])
async def test_what_is_no_token_is_refused(world: World, text: str) -> None:
    assert await verdict(world, text) == "TOKEN_INVALID"


async def test_a_token_dies_with_its_exp_after_30_seconds_of_leeway_also_when_it_was_verified_before(
    world: World, token: str
) -> None:
    await world.auth.verifier.verify(token)
    world.clock.advance(timedelta(minutes=15, seconds=29))
    await world.auth.verifier.verify(token)
    world.clock.advance(timedelta(seconds=1))
    assert await verdict(world, token) == "TOKEN_EXPIRED"
    assert await verdict(world, token) == "TOKEN_EXPIRED"


async def test_a_token_from_the_future_is_refused_beyond_the_leeway(world: World, token: str) -> None:
    issued = payload_of(token)["iat"]
    await world.auth.verifier.verify(resigned(world, token, iat=issued + 30))
    assert await verdict(world, resigned(world, token, iat=issued + 31)) == "TOKEN_INVALID"


async def test_a_services_assertion_is_no_access_token(world: World) -> None:
    key = world.auth.use_cases.keys.active
    payload = {"iss": str(uuid4()), "sub": str(uuid4()), "aud": "svoykrug", "jti": "1", "exp": 2_000_000_000}
    forged = jwt.encode(payload, key.private_key, algorithm="ES256", headers={"kid": key.kid, "typ": "JWT"})
    assert await verdict(world, forged) == "TOKEN_INVALID"


async def test_anyone_can_verify_a_token_with_the_published_keys(world: World, token: str) -> None:
    (published,) = world.auth.use_cases.keys.published()
    key = jwt.PyJWK(published)
    assert key.key_id == jwt.get_unverified_header(token)["kid"]
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token, key, audience="svoykrug-api", issuer="svoykrug", options=options)["kind"] == "person"
