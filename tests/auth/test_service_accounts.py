import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest

from svoykrug_server.auth import key_material
from svoykrug_server.auth.key_material import PrivateKey
from svoykrug_server.auth.key_model import Algorithm, KeysRefused, ServiceAccount, ServiceToken
from tests.auth.forgery import hs256
from tests.auth.world import CALL, World, outcomes_of, refusal_of
from tests.waiting import until

SCOPES = frozenset({"users.write", "purchases.write"})


class Service:
    """A service account and its private key."""

    def __init__(self, world: World, account: ServiceAccount, private_key: PrivateKey) -> None:
        self.world = world
        self.account = account
        self.private_key = private_key

    @classmethod
    async def made(cls, world: World, algorithm: Algorithm = "ES256", name: str = "import-crm") -> "Service":
        private_key = key_material.generate(algorithm)
        account = await world.service_accounts.create(name, SCOPES, private_key.public_key())
        return cls(world, account, private_key)

    def assertion(self, headers: Mapping[str, Any] | None = None, key: PrivateKey | None = None, **claims: Any) -> str:
        """Returns a good assertion, with changes; a claim of None is left out."""
        account_id, now = str(self.account.service_account_id), int(self.world.clock.now().timestamp())
        good = {
            "iss": account_id,
            "sub": account_id,
            "aud": "svoykrug",
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + 60,
        }
        payload = {name: value for name, value in (good | claims).items() if value is not None}
        signing = key or self.private_key
        algorithm = key_material.algorithm_of(signing.public_key())
        header = {"kid": key_material.thumbprint(self.private_key.public_key())} | dict(headers or {})
        return jwt.encode(payload, signing, algorithm=algorithm, headers=header)

    async def token(self, assertion: str | None = None, *scopes: str) -> ServiceToken:
        """Exchanges an assertion."""
        tokens = self.world.auth.use_cases.service_tokens
        return await tokens.issue(assertion or self.assertion(), frozenset(scopes), CALL)


@pytest.fixture
async def service(world: World) -> Service:
    """A service account with an ES256 key."""
    return await Service.made(world)


async def test_an_assertion_gives_a_token_with_the_accounts_scopes(world: World, service: Service) -> None:
    token = await service.token()
    caller = await world.auth.verifier.verify(token.access_token)
    assert caller.is_service
    assert caller.subject_id == service.account.service_account_id
    assert caller.scopes == SCOPES == token.scopes
    assert not caller.roles
    assert token.expire_time == world.clock.now() + timedelta(minutes=15)


async def test_an_rsa_key_works_too(world: World) -> None:
    service = await Service.made(world, "RS256")
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


async def test_a_replayed_assertion_is_refused_and_the_replay_is_audited(world: World, service: Service) -> None:
    assertion = service.assertion()
    await service.token(assertion)
    assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"
    (row,) = await world.audited("ASSERTION_REPLAYED")
    assert (row["actor_id"], row["result"]) == (service.account.service_account_id, "refused")


async def test_of_8_parallel_uses_of_an_assertion_one_wins(service: Service) -> None:
    assertion = service.assertion()
    outcomes = await outcomes_of(service.token(assertion) for _ in range(8))
    assert sorted(outcomes) == ["ASSERTION_INVALID"] * 7 + ["OK"]


async def test_the_same_jti_of_another_account_is_its_own(world: World, service: Service) -> None:
    other = await Service.made(world, name="another")
    await service.token(service.assertion(jti="1"))
    await other.token(other.assertion(jti="1"))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "svoykrug-api"},
        {"aud": "another"},
        {"aud": None},
        {"iss": str(uuid4())},
        {"iss": None},
        {"sub": str(uuid4())},
        {"sub": "not-a-uuid"},
        {"sub": None},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 257},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e300},
        {"iat": "now"},
    ],
    ids=lambda claims: str(claims)[:30],
)
async def test_a_wrong_claim_is_refused_though_the_signature_is_right(service: Service, claims: dict[str, Any]) -> None:
    assert (await refusal_of(service.token(service.assertion(**claims)))).reason == "ASSERTION_INVALID"


async def test_an_expired_assertion_is_refused_beyond_the_leeway(world: World, service: Service) -> None:
    now = int(world.clock.now().timestamp())
    await service.token(service.assertion(exp=now - 29))
    assert (await refusal_of(service.token(service.assertion(exp=now - 30)))).reason == "ASSERTION_INVALID"


async def test_an_assertion_may_live_5_minutes_at_most(world: World, service: Service) -> None:
    now = int(world.clock.now().timestamp())
    await service.token(service.assertion(exp=now + 330))
    assert (await refusal_of(service.token(service.assertion(exp=now + 331)))).reason == "ASSERTION_INVALID"


async def test_an_assertion_from_the_future_is_refused(world: World, service: Service) -> None:
    now = int(world.clock.now().timestamp())
    late: tuple[dict[str, Any], ...] = ({"iat": now + 31}, {"nbf": now + 31})
    for claims in late:
        assert (await refusal_of(service.token(service.assertion(**claims)))).reason == "ASSERTION_INVALID"


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


async def test_an_assertion_signed_by_another_key_is_refused(world: World, service: Service) -> None:
    other = await Service.made(world, name="another")
    foreign = key_material.generate("ES256")
    for assertion in (
        service.assertion(key=foreign),
        service.assertion(key=other.private_key),
        service.assertion(
            headers={"kid": key_material.thumbprint(other.private_key.public_key())}, key=other.private_key
        ),
        service.assertion(headers={"kid": key_material.thumbprint(foreign.public_key())}, key=foreign),
        service.assertion(key=key_material.generate("RS256")),
    ):
        assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"


async def test_alg_none_and_hs256_with_the_public_key_are_refused(service: Service) -> None:
    payload: dict[str, Any] = jwt.decode(service.assertion(), options={"verify_signature": False})
    headers = {"kid": service.account.key_ids[0]}
    unsigned = jwt.encode(payload, "", algorithm="none", headers=headers)
    der = key_material.public_to_der(service.private_key.public_key())
    symmetric = hs256(der, {"alg": "HS256", "typ": "JWT"} | headers, payload)
    for assertion in (unsigned, symmetric):
        assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"


async def test_an_access_token_is_no_assertion(world: World, service: Service) -> None:
    token = (await service.token()).access_token
    for assertion in (token, service.assertion(headers={"typ": "at+jwt"})):
        assert (await refusal_of(service.token(assertion))).reason == "ASSERTION_INVALID"


@pytest.mark.parametrize("text", ["x", "a.b.c", "..", "é.é.é", "A" * 4096])
async def test_what_is_no_assertion_is_refused(service: Service, text: str) -> None:
    assert (await refusal_of(service.token(text))).reason == "ASSERTION_INVALID"


async def test_a_disabled_account_gets_no_token_and_those_it_has_are_dead_on_every_server(
    world: World, service: Service
) -> None:
    token = (await service.token()).access_token
    out_of_touch = await world.another_server()
    await world.auth.verifier.verify(token)
    await out_of_touch.verifier.verify(token)
    await world.service_accounts.disable("import-crm")
    assert (await refusal_of(service.token())).reason == "SCOPE_DENIED"
    assert (await refusal_of(out_of_touch.verifier.verify(token))).reason == "SESSION_REVOKED"

    async def ended() -> bool:
        return await outcomes_of([world.auth.verifier.verify(token)]) == ["SESSION_REVOKED"]

    await until(ended, seconds=1.0)


async def test_accounts_are_listed_by_name_with_their_keys(world: World, service: Service) -> None:
    other = await Service.made(world, name="another")
    listed = await world.service_accounts.listed()
    assert [account.name for account in listed] == ["another", "import-crm"]
    assert [account.key_ids for account in listed] == [other.account.key_ids, service.account.key_ids]


async def test_a_name_is_given_once_also_at_the_same_time(world: World) -> None:
    key = key_material.generate("ES256").public_key()
    results = await asyncio.gather(
        *(world.service_accounts.create("twin", SCOPES, key) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, KeysRefused) for result in results) == 4


@pytest.mark.parametrize(
    ("name", "scopes"),
    [("", SCOPES), ("A", SCOPES), ("a b", SCOPES), ("x" * 64, SCOPES), ("ok", frozenset()), ("ok", {"x"})],
)
async def test_a_name_or_scope_of_another_form_is_refused(world: World, name: str, scopes: frozenset[str]) -> None:
    with pytest.raises(KeysRefused):
        await world.service_accounts.create(name, scopes, key_material.generate("ES256").public_key())


async def test_an_unknown_or_disabled_account_cannot_be_disabled(world: World, service: Service) -> None:
    await world.service_accounts.disable("import-crm")
    for name in ("import-crm", "nobody"):
        with pytest.raises(KeysRefused):
            await world.service_accounts.disable(name)
