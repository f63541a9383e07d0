"""Services prove who they are by assertions (RFC 7523): each way to cheat is refused, and what was used stays used."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from svoykrug_server.auth import key_material
from svoykrug_server.auth.composition import Auth
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.auth.forgery import hs256
from tests.auth.services import SCOPES, Service, pem_of
from tests.auth.world import World, compose, outcomes_of, refusal_of


@pytest.fixture
async def service(world: World) -> Service:
    """A service account with an ES256 key."""
    return await Service.made(world)


@pytest.fixture
async def another_server(world: World) -> AsyncIterator[Auth]:
    """A second server on the same database, with a pool of its own."""
    postgres = await Postgres.connect(PostgresOptions(world.url))
    auth = compose(postgres, world.secrets, world.clock, world.options, world.phones)
    await auth.open()
    yield auth
    await postgres.close()


def now_of(service: Service) -> int:
    return int(service.world.clock.now().timestamp())


async def assert_refused(service: Service, assertion: str) -> None:
    """Shows that an assertion gives no token, and leaves nothing behind that a right one would."""
    assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"
    assert not await service.world.read("SELECT FROM auth_used_assertions")
    assert not await service.world.audited("SERVICE_TOKEN_ISSUED")


async def test_an_assertion_gives_a_token_with_the_accounts_scopes(world: World, service: Service) -> None:
    token = await service.token()
    caller = await world.auth.verifier.verify(token.access_token)
    assert caller.is_service
    assert caller.subject_id == service.account.service_account_id
    assert caller.scopes == set(SCOPES) == token.scopes
    assert not caller.roles
    assert token.expire_time == world.clock.now() + timedelta(minutes=15)


async def test_an_rsa_key_works_too(world: World) -> None:
    service = await Service.made(world, algorithm="RS256")
    await world.auth.verifier.verify((await service.token()).access_token)


async def test_fewer_scopes_can_be_asked_for(world: World, service: Service) -> None:
    token = await service.token(None, "users.write")
    assert (await world.auth.verifier.verify(token.access_token)).scopes == {"users.write"}


async def test_a_scope_that_the_account_has_not_is_denied_and_the_assertion_is_used_up(
    world: World, service: Service
) -> None:
    assertion = service.assertion()
    assert (await refusal_of(service.token(assertion, "users.write", "analytics.read"))).reason == "SCOPE_DENIED"
    assert len(await world.read("SELECT FROM auth_used_assertions")) == 1
    assert [row["result"] for row in await world.audited("SCOPE_DENIED")] == ["refused"]
    assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"


async def test_a_used_assertion_stands_in_the_database_by_its_hash_alone(world: World, service: Service) -> None:
    await service.token(service.assertion(jti="once", exp=now_of(service) + 60))
    (row,) = await world.read("SELECT * FROM auth_used_assertions")
    assert row["service_account_id"] == service.account.service_account_id
    assert row["jti_hash"] == hashlib.sha256(b"once").digest()
    assert row["expire_time"] == world.clock.now() + timedelta(seconds=390)


async def test_a_replayed_assertion_is_refused_and_the_replay_is_audited(world: World, service: Service) -> None:
    assertion = service.assertion()
    await service.token(assertion)
    assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"
    (row,) = await world.audited("ASSERTION_REPLAYED")
    assert (row["actor_id"], row["result"]) == (service.account.service_account_id, "refused")


async def test_an_assertion_used_at_one_server_is_used_at_every_server(service: Service, another_server: Auth) -> None:
    assertion = service.assertion()
    await service.token(assertion)
    assert (await refusal_of(service.token(assertion, auth=another_server))).reason == "ASSERTION_INVALID"


async def test_of_10_parallel_uses_of_an_assertion_at_two_servers_exactly_one_gets_a_token(
    world: World, service: Service, another_server: Auth
) -> None:
    assertion = service.assertion()
    uses = [service.token(assertion, auth=auth) for _ in range(5) for auth in (world.auth, another_server)]
    assert sorted(await outcomes_of(uses)) == ["ASSERTION_INVALID"] * 9 + ["OK"]
    assert len(await world.read("SELECT FROM auth_used_assertions")) == 1
    assert len(await world.audited("SERVICE_TOKEN_ISSUED")) == 1
    assert len(await world.audited("ASSERTION_REPLAYED")) == 9


async def test_the_same_jti_signed_anew_is_a_replay(service: Service) -> None:
    await service.token(service.assertion(jti="once"))
    again = service.assertion(jti="once", exp=now_of(service) + 120)
    assert (await refusal_of(service.token(again))).reason == "ASSERTION_INVALID"


async def test_the_same_jti_of_another_account_is_its_own(world: World, service: Service) -> None:
    other = await Service.made(world, "another")
    await service.token(service.assertion(jti="1"))
    await other.token(other.assertion(jti="1"))


async def test_a_used_assertion_is_remembered_until_it_would_be_refused_anyway(world: World, service: Service) -> None:
    assertion = service.assertion()
    await service.token(assertion)
    for _ in range(3):
        world.clock.advance(timedelta(seconds=30))
        await world.auth.housekeeping.forget()
        assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"
    world.clock.advance(timedelta(hours=2))
    await world.auth.housekeeping.forget()
    assert not await world.read("SELECT FROM auth_used_assertions")


async def test_alg_none_is_refused(service: Service) -> None:
    await assert_refused(service, jwt.encode(service.claims(), "", algorithm="none", headers={"kid": service.kid}))


@pytest.mark.parametrize("form", ["der", "pem"])
async def test_hs256_with_the_public_key_as_its_secret_is_refused(service: Service, form: str) -> None:
    public_key = service.private_key.public_key()
    secret = key_material.public_to_der(public_key) if form == "der" else pem_of(service.private_key)
    await assert_refused(service, hs256(secret, {"alg": "HS256", "typ": "JWT", "kid": service.kid}, service.claims()))


@pytest.mark.parametrize("audience", ["svoykrug-api", "another", "https://svoykrug", "", None, ["svoykrug", "another"]])
async def test_an_assertion_for_another_audience_or_for_several_is_refused(service: Service, audience: Any) -> None:
    await assert_refused(service, service.assertion(aud=audience))


@pytest.mark.parametrize("issuer", [str(uuid4()), "svoykrug", "", None, 7])
async def test_an_assertion_of_another_issuer_is_refused(service: Service, issuer: Any) -> None:
    await assert_refused(service, service.assertion(iss=issuer))


@pytest.mark.parametrize("subject", [str(uuid4()), "not-a-uuid", "", None])
async def test_an_assertion_about_another_subject_is_refused(service: Service, subject: Any) -> None:
    await assert_refused(service, service.assertion(sub=subject))


@pytest.mark.parametrize("kind", ["at+jwt", "application/at+jwt", "AT+JWT", "jose", 7, ["JWT"]])
async def test_an_assertion_of_another_typ_is_refused(service: Service, kind: Any) -> None:
    await assert_refused(service, service.assertion(headers={"typ": kind}))


@pytest.mark.parametrize("kind", ["JWT", "client-authentication+jwt", ""])
async def test_the_types_of_assertions_and_none_are_taken(service: Service, kind: str) -> None:
    await service.token(service.assertion(headers={"typ": kind}))


async def test_an_access_token_is_no_assertion(service: Service) -> None:
    token = (await service.token()).access_token
    assert (await refusal_of(service.token(token))).reason == "ASSERTION_INVALID"


async def test_a_critical_header_that_is_not_understood_is_refused(service: Service) -> None:
    await assert_refused(service, service.assertion(headers={"crit": ["exp"]}))


async def test_an_assertion_signed_with_a_foreign_key_under_the_accounts_kid_is_refused(service: Service) -> None:
    await assert_refused(service, service.assertion(key=key_material.generate("ES256")))
    await assert_refused(service, service.assertion(key=key_material.generate("RS256")))


async def test_an_assertion_under_a_foreign_kid_is_refused(service: Service) -> None:
    foreign = key_material.generate("ES256")
    kid = key_material.thumbprint(foreign.public_key())
    await assert_refused(service, service.assertion(headers={"kid": kid}, key=foreign))
    await assert_refused(service, service.assertion(headers={"kid": kid}))


@pytest.mark.parametrize("kid", ["\ud800", "a\0b", "", "x" * 257, 7, ["a"], {"a": 1}])
async def test_a_kid_that_is_no_name_is_refused(service: Service, kid: Any) -> None:
    header, rest = service.assertion().split(".", 1)
    named = json.loads(base64.urlsafe_b64decode(header + "==")) | {"kid": kid}
    forged = base64.urlsafe_b64encode(json.dumps(named).encode()).rstrip(b"=").decode()
    await assert_refused(service, f"{forged}.{rest}")


async def test_the_key_of_another_account_proves_nothing(world: World, service: Service) -> None:
    other = await Service.made(world, "another")
    await assert_refused(service, service.assertion(headers={"kid": other.kid}, key=other.private_key))
    await assert_refused(service, service.assertion(key=other.private_key))


async def test_a_signing_key_of_the_server_proves_nothing(world: World, service: Service) -> None:
    ours = world.auth.use_cases.keys.active
    await assert_refused(service, service.assertion(headers={"kid": ours.kid}, key=ours.private_key))


async def test_a_removed_key_proves_nothing(world: World, service: Service) -> None:
    await world.auth.admin.accounts.remove_key(service.account.service_account_id, service.kid, None)
    await assert_refused(service, service.assertion())


async def test_keys_that_the_header_brings_along_are_ignored(service: Service) -> None:
    thief = key_material.generate("ES256")
    nested = key_material.to_jwk(thief.public_key())
    certificate = base64.b64encode(key_material.public_to_der(thief.public_key())).decode()
    for headers in (
        {"jwk": nested},
        {"jku": "https://thief.example/jwks.json"},
        {"x5u": "https://thief.example/key.pem"},
        {"x5c": [certificate]},
        {"jwk": nested, "kid": key_material.thumbprint(thief.public_key())},
    ):
        await assert_refused(service, service.assertion(headers=headers, key=thief))
    await service.token(service.assertion(headers={"jwk": nested, "jku": "https://thief.example/jwks.json"}))


async def test_an_rsa_key_forges_no_assertion_of_an_ec_account(service: Service) -> None:
    forged = rsa.generate_private_key(65537, 2048)
    await assert_refused(service, service.assertion(headers={"alg": "RS256"}, key=forged))


@pytest.mark.parametrize("jti", [None, "", 7, "x" * 257, ["a"], "\ud800", "a\0b"])
async def test_an_assertion_without_a_fitting_jti_is_refused(service: Service, jti: Any) -> None:
    await assert_refused(service, service.assertion(jti=jti))


async def test_an_expired_assertion_is_refused_beyond_the_leeway(service: Service) -> None:
    await assert_refused(service, service.assertion(exp=now_of(service) - 330))
    await service.token(service.assertion(exp=now_of(service) - 329))


async def test_an_assertion_that_lives_longer_than_5_minutes_is_refused(service: Service) -> None:
    await assert_refused(service, service.assertion(exp=now_of(service) + 631))
    await service.token(service.assertion(exp=now_of(service) + 630))


@pytest.mark.parametrize("minutes", [-5, 5])
async def test_a_service_whose_clock_is_5_minutes_wrong_gets_its_token(service: Service, minutes: int) -> None:
    now = now_of(service) + 60 * minutes
    assertion = service.assertion(iat=now, exp=now + 120)
    await service.token(assertion)
    assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_an_assertion_from_the_future_is_refused(service: Service, claim: str) -> None:
    late: dict[str, Any] = {claim: now_of(service) + 331}
    await assert_refused(service, service.assertion(**late))
    late[claim] -= 1
    await service.token(service.assertion(**late))


@pytest.mark.parametrize(
    "claims",
    [{"exp": None}, {"exp": "soon"}, {"exp": 1e300}, {"exp": float("nan")}, {"iat": "now"}, {"nbf": {}}],
    ids=str,
)
async def test_an_instant_that_is_none_is_refused(service: Service, claims: dict[str, Any]) -> None:
    await assert_refused(service, service.assertion(**claims))


@pytest.mark.parametrize("text", ["x", "a.b.c", "..", "é.é.é", "A" * 4096, "e30.e30.e30", "bnVsbA.bnVsbA.bnVsbA"])
async def test_what_is_no_assertion_is_refused(service: Service, text: str) -> None:
    await assert_refused(service, text)
