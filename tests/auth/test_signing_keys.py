import asyncio
from base64 import b64encode
from datetime import timedelta
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from svoykrug_server.auth import key_material
from svoykrug_server.auth.key_material import SealBroken
from svoykrug_server.auth.key_model import KeyState
from svoykrug_server.auth.signing_keys import SigningKeys
from svoykrug_server.kit.startup import CannotStart
from svoykrug_server.storage.secrets import SecretName
from tests.auth.world import World, random_secrets


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


async def published(world: World) -> set[str]:
    return {key["kid"] for key in world.auth.use_cases.keys.published()}


async def test_the_first_start_makes_one_active_key_and_the_second_keeps_it(world: World) -> None:
    another = await world.another_server()
    assert another.use_cases.keys.active.kid == world.auth.use_cases.keys.active.kid
    assert [key.state for key in await world.auth.admin.keys.listed()] == [KeyState.ACTIVE]


async def test_ten_servers_that_start_at_once_make_one_key(world: World) -> None:
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("DELETE FROM auth_signing_keys")
    servers = await asyncio.gather(*(world.another_server() for _ in range(10)))
    assert len({server.use_cases.keys.active.kid for server in servers}) == 1


async def test_a_private_key_is_encrypted_at_rest(world: World) -> None:
    key = world.auth.use_cases.keys.active
    (row,) = await world.read("SELECT * FROM auth_signing_keys")
    assert isinstance(key.private_key, ec.EllipticCurvePrivateKey)
    scalar = key.private_key.private_numbers().private_value.to_bytes(32)
    assert scalar not in row["sealed_private_key"]
    secret = world.secrets.current(SecretName.KEY_ENCRYPTION)
    opened = key_material.unseal(row["sealed_private_key"], secret.value, row["kid"])
    assert key_material.thumbprint(opened.public_key()) == key.kid


async def test_a_sealed_key_opens_with_no_other_secret_and_under_no_other_kid(world: World) -> None:
    key = key_material.generate("ES256")
    sealed = key_material.seal(key, b"s" * 32, "one")
    for secret, kid in ((b"t" * 32, "one"), (b"s" * 32, "two")):
        with pytest.raises(SealBroken):
            key_material.unseal(sealed, secret, kid)


async def test_a_server_with_another_secret_does_not_start_and_says_why_in_one_line(world: World) -> None:
    stranger = SigningKeys(world.postgres, random_secrets(), world.clock, "ES256", world.options.keys)
    with pytest.raises(CannotStart, match=r"key_encryption\.1") as refused:
        await stranger.open()
    assert "\n" not in str(refused.value)


async def test_the_secret_of_private_keys_can_be_rotated(world: World) -> None:
    rotated = world.with_newer_secrets()
    await rotated.auth.open()
    assert rotated.auth.use_cases.keys.active.kid == world.auth.use_cases.keys.active.kid
    await rotated.auth.admin.keys.create(None, uuid4(), None)
    rows = await world.read("SELECT encryption_kid FROM auth_signing_keys ORDER BY encryption_kid")
    assert [row["encryption_kid"] for row in rows] == ["1", "2"]


async def test_another_server_takes_a_token_of_a_key_that_it_has_not_read_yet(world: World) -> None:
    another = await world.another_server()
    new = await world.auth.admin.keys.create(None, uuid4(), None)
    await world.auth.admin.keys.activate(new.kid, None, skip_wait=True)
    signed_in = await world.sign_in()
    assert kid_of(signed_in.tokens.access_token) == new.kid
    await another.verifier.verify(signed_in.tokens.access_token)


async def test_unknown_key_ids_do_not_make_a_server_read_its_keys_at_every_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, readings = world.auth.use_cases.keys, []
    reload = keys.reload

    async def counted() -> None:
        readings.append(1)
        await reload()

    monkeypatch.setattr(keys, "reload", counted)
    world.clock.advance(timedelta(seconds=5))
    for number in range(100):
        assert await keys.find(f"unknown-{number}") is None
    assert len(readings) == 1


async def test_another_algorithm_by_setting_makes_a_next_key_of_it_once(world: World) -> None:
    world.clock.advance(timedelta(seconds=1))
    for _ in range(2):
        keys = SigningKeys(world.postgres, world.secrets, world.clock, "RS256", world.options.keys)
        await keys.open()
    listed = await world.auth.admin.keys.listed()
    assert [(key.algorithm, key.state) for key in listed] == [("RS256", KeyState.NEXT), ("ES256", KeyState.ACTIVE)]
    await world.auth.admin.keys.activate(listed[0].kid, None, skip_wait=True)
    signed_in = await world.sign_in()
    assert jwt.get_unverified_header(signed_in.tokens.access_token)["alg"] == "RS256"
    await world.caller_of(signed_in)


def test_a_thumbprint_is_that_of_rfc_7638() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn"
        "1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = jwt.PyJWK({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}).key
    assert key_material.thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_only_p_256_and_large_rsa_keys_are_taken() -> None:
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    small = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505  to be refused
    for key in (curve, small):
        with pytest.raises(ValueError, match=r"P-256|2048"):
            key_material.algorithm_of(key)


def test_what_is_no_public_key_is_refused() -> None:
    for pem in (b"", b"hello", b64encode(b"hello")):
        with pytest.raises(ValueError, match=r".+"):
            key_material.public_from_pem(pem)
