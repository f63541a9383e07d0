import asyncio
from base64 import b64encode
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from svoykrug_server.auth import key_material
from svoykrug_server.auth.key_material import SealBroken
from svoykrug_server.auth.key_model import KeysRefused, KeyState
from svoykrug_server.auth.signing_keys import SigningKeys
from svoykrug_server.kit.startup import CannotStart
from svoykrug_server.storage.secrets import SecretName
from tests.auth.world import World, random_secrets, refusal_of


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


async def published(world: World) -> set[str]:
    return {key["kid"] for key in world.auth.use_cases.keys.published()}


async def test_the_first_start_makes_one_active_key_and_the_second_keeps_it(world: World) -> None:
    another = await world.another_server()
    assert another.use_cases.keys.active.kid == world.auth.use_cases.keys.active.kid
    assert [key.state for key in await world.auth.use_cases.keys.listed()] == [KeyState.ACTIVE]


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
    await rotated.auth.use_cases.keys.create()
    rows = await world.read("SELECT encryption_kid FROM auth_signing_keys ORDER BY encryption_kid")
    assert [row["encryption_kid"] for row in rows] == ["1", "2"]


async def test_a_new_key_is_published_before_it_signs_and_signs_after_two_cache_lives(world: World) -> None:
    keys = world.auth.use_cases.keys
    old = keys.active.kid
    new = await keys.create()
    assert await published(world) == {old, new}
    assert kid_of((await world.sign_in()).tokens.access_token) == old
    with pytest.raises(KeysRefused, match="wait"):
        await keys.activate(new)
    world.clock.advance(timedelta(minutes=10))
    await keys.activate(new)
    assert kid_of((await world.sign_in()).tokens.access_token) == new


async def test_tokens_of_the_key_before_live_on_and_its_publication_ends_with_them(world: World) -> None:
    keys = world.auth.use_cases.keys
    old = keys.active.kid
    new = await keys.create()
    world.clock.advance(timedelta(minutes=10))
    signed_in = await world.sign_in()
    await keys.activate(new)
    world.clock.advance(timedelta(minutes=14))
    await world.caller_of(signed_in)
    assert await published(world) == {old, new}
    world.clock.advance(timedelta(minutes=3))
    assert (await refusal_of(world.caller_of(signed_in))).reason in {"TOKEN_EXPIRED", "TOKEN_INVALID"}
    assert await published(world) == {new}


async def test_another_server_takes_a_token_of_a_key_that_it_has_not_read_yet(world: World) -> None:
    another = await world.another_server()
    new = await world.auth.use_cases.keys.create()
    await world.auth.use_cases.keys.activate(new, at_once=True)
    signed_in = await world.sign_in()
    assert kid_of(signed_in.tokens.access_token) == new
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


async def test_a_stolen_key_is_taken_out_at_once_and_its_remembered_tokens_with_it(world: World) -> None:
    keys = world.auth.use_cases.keys
    stolen = keys.active.kid
    signed_in = await world.sign_in()
    await world.caller_of(signed_in)
    await keys.activate(await keys.create(), at_once=True)
    await world.caller_of(signed_in)
    await keys.retire(stolen)
    assert (await refusal_of(world.caller_of(signed_in))).reason == "TOKEN_INVALID"
    assert stolen not in await published(world)


async def test_the_key_that_signs_cannot_be_retired(world: World) -> None:
    with pytest.raises(KeysRefused, match="activate another one first"):
        await world.auth.use_cases.keys.retire(world.auth.use_cases.keys.active.kid)


@pytest.mark.parametrize("change", ["activate", "retire"])
async def test_an_unknown_key_cannot_be_changed(world: World, change: str) -> None:
    with pytest.raises(KeysRefused, match="no key x"):
        await getattr(world.auth.use_cases.keys, change)("x")


async def test_another_algorithm_by_setting_makes_a_next_key_of_it_once(world: World) -> None:
    for _ in range(2):
        keys = SigningKeys(world.postgres, world.secrets, world.clock, "RS256", world.options.keys)
        await keys.open()
    assert [(key.algorithm, key.state) for key in await keys.listed()] == [
        ("ES256", KeyState.ACTIVE),
        ("RS256", KeyState.NEXT),
    ]
    await keys.activate((await keys.listed())[1].kid, at_once=True)
    await world.auth.use_cases.keys.reload()
    signed_in = await world.sign_in()
    assert jwt.get_unverified_header(signed_in.tokens.access_token)["alg"] == "RS256"
    await world.caller_of(signed_in)


async def test_every_change_of_a_key_is_audited(world: World) -> None:
    keys = world.auth.use_cases.keys
    first = keys.active.kid
    second = await keys.create()
    await keys.activate(second, at_once=True)
    await keys.retire(first)
    assert [row["target_id"] for row in await world.audited("SIGNING_KEY_CREATED")] == [first, second]
    assert [row["target_id"] for row in await world.audited("SIGNING_KEY_ACTIVATED")] == [second]
    assert [row["target_id"] for row in await world.audited("SIGNING_KEY_RETIRED")] == [first]


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
