import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from svoykrug_server.auth import key_material
from svoykrug_server.auth.key_model import NewServiceAccount, ServiceAccount, ServiceToken
from svoykrug_server.kit.errors import Conflict
from tests.auth.services import SCOPES, Service, pem_of
from tests.auth.world import World, outcomes_of, refusal_of
from tests.callers import CallBy, admin
from tests.waiting import until


@pytest.fixture
async def service(world: World) -> Service:
    """A service account with an ES256 key."""
    return await Service.made(world)


def new(name: str = "crm", scopes: tuple[str, ...] = SCOPES, pem: bytes | None = None) -> NewServiceAccount:
    return NewServiceAccount(name, scopes, pem or pem_of(key_material.generate("ES256")))


async def create(world: World, asked: NewServiceAccount, request_id: UUID | None = None) -> ServiceAccount:
    return await world.auth.admin.accounts.create(asked, request_id or uuid4(), None)


async def read_back(world: World, account_id: UUID) -> ServiceAccount:
    """Returns an account as it is stored."""
    (account,) = [
        a for a in (await world.auth.admin.accounts.page(0, "")).accounts if a.service_account_id == account_id
    ]
    return account


async def assert_dead_everywhere(world: World, token: ServiceToken, reason: str) -> None:
    """Shows that a token is refused here at once, and by a server that hears nothing too."""
    out_of_touch = await world.another_server()
    for verifier in (world.auth.verifier, out_of_touch.verifier):
        assert (await refusal_of(verifier.verify(token.access_token))).reason == reason


async def test_an_account_is_made_with_its_first_key_and_the_event_of_it_names_who_did(world: World) -> None:
    chief = CallBy(admin())
    account = await world.auth.admin.accounts.create(new(), uuid4(), chief)
    assert await read_back(world, account.service_account_id) == account
    (row,) = await world.audited("SERVICE_ACCOUNT_CREATED")
    assert chief.caller is not None
    assert (row["actor_kind"], row["actor_id"]) == ("user", chief.caller.subject_id)
    assert row["target_id"] == str(account.service_account_id)


async def test_what_an_operator_does_is_audited_as_an_operators(world: World) -> None:
    await create(world, new())
    (row,) = await world.audited("SERVICE_ACCOUNT_CREATED")
    assert (row["actor_kind"], row["actor_id"]) == ("operator", None)


async def test_the_same_request_id_returns_the_account_as_it_was_made(world: World) -> None:
    asked, request_id = new(), uuid4()
    first = await create(world, asked, request_id)
    await world.auth.admin.accounts.set_scopes(first.service_account_id, ("users.write",), None)
    world.clock.advance(timedelta(days=6))
    assert await create(world, asked, request_id) == first
    assert len(await world.audited("SERVICE_ACCOUNT_CREATED")) == 1


async def test_of_5_parallel_calls_with_one_request_id_all_get_the_one_account(world: World) -> None:
    asked, request_id = new(), uuid4()
    accounts = await asyncio.gather(*(create(world, asked, request_id) for _ in range(5)))
    assert len({account.service_account_id for account in accounts}) == 1


async def test_the_same_request_id_with_another_body_is_refused(world: World) -> None:
    request_id = uuid4()
    await create(world, new(), request_id)
    assert (await refusal_of(create(world, new(), request_id))).reason == "REQUEST_ID_REUSED"


async def test_a_name_is_given_once_also_at_the_same_time(world: World) -> None:
    results = await asyncio.gather(*(create(world, new("twin")) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 4


@pytest.mark.parametrize("name", ["", "A", "a b", "x", "x" * 64, "-crm"])
async def test_a_name_of_another_form_is_refused(world: World, name: str) -> None:
    refused = await refusal_of(create(world, new(name)))
    assert (refused.reason, [v.path for v in refused.violations]) == ("INVALID_FIELDS", ["name"])


async def test_every_unknown_scope_is_named_by_its_place_and_never_echoed(world: World, service: Service) -> None:
    scopes = ("users.write", "users.everything", "root.all")
    account_id = service.account.service_account_id
    for call in (create(world, new(scopes=scopes)), world.auth.admin.accounts.set_scopes(account_id, scopes, None)):
        refused = await refusal_of(call)
        assert [v.path for v in refused.violations] == ["scopes[1]", "scopes[2]"]
        assert "root" not in str([v.description for v in refused.violations])


async def test_an_account_has_at_least_one_scope(world: World) -> None:
    assert [v.path for v in (await refusal_of(create(world, new(scopes=())))).violations] == ["scopes"]


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),  # noqa: S505  to be refused
        ed25519.Ed25519PrivateKey.generate(),
        None,
    ],
    ids=["p-384", "secp256k1", "rsa-1024", "ed25519", "text"],
)
async def test_a_key_of_another_kind_is_refused(world: World, service: Service, key: Any) -> None:
    pem = b"-----BEGIN PUBLIC KEY-----\nhello\n" if key is None else pem_of(key)
    account_id = service.account.service_account_id
    for call in (create(world, new(pem=pem)), world.auth.admin.accounts.add_key(account_id, pem, None)):
        refused = await refusal_of(call)
        assert (refused.reason, [v.path for v in refused.violations]) == ("SERVICE_KEY_INVALID", ["public_key_pem"])


async def test_a_private_key_sent_by_mistake_is_refused(world: World) -> None:
    pem = key_material.private_to_pem(key_material.generate("ES256"))
    assert (await refusal_of(create(world, new(pem=pem)))).reason == "SERVICE_KEY_INVALID"


async def test_accounts_are_listed_by_name_page_by_page(world: World) -> None:
    for name in ("gamma", "alpha", "delta", "beta"):
        await create(world, new(name))
    accounts = world.auth.admin.accounts
    first = await accounts.page(3, "")
    second = await accounts.page(3, first.next_page_token)
    assert [account.name for account in first.accounts] == ["alpha", "beta", "delta"]
    assert [account.name for account in second.accounts] == ["gamma"]
    assert second.next_page_token == ""


async def test_a_page_token_of_another_list_and_a_negative_size_are_refused(world: World) -> None:
    accounts = world.auth.admin.accounts
    assert (await refusal_of(accounts.page(0, "nonsense"))).reason == "INVALID_PAGE_TOKEN"
    assert (await refusal_of(accounts.page(-1, ""))).reason == "INVALID_FIELDS"


async def test_a_page_is_never_larger_than_500(world: World) -> None:
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute(
            "INSERT INTO auth_service_accounts (service_account_id, name, scopes, create_time)"
            " SELECT gen_random_uuid(), 'svc-' || n, '{}', now() FROM generate_series(1, 501) AS n"
        )
    page = await world.auth.admin.accounts.page(10_000, "")
    assert len(page.accounts) == 500
    assert page.next_page_token


async def test_other_scopes_end_its_tokens_everywhere_and_the_next_ones_have_them(
    world: World, service: Service
) -> None:
    token, account_id = await service.token(), service.account.service_account_id
    await world.auth.verifier.verify(token.access_token)
    changed = await world.auth.admin.accounts.set_scopes(account_id, ("analytics.read", "users.write"), None)
    assert changed == await read_back(world, account_id)
    await assert_dead_everywhere(world, token, "ACCESS_TOKEN_REVOKED")
    fresh = await service.token()
    assert (await world.auth.verifier.verify(fresh.access_token)).scopes == {"analytics.read", "users.write"}
    (row,) = await world.audited("SERVICE_ACCOUNT_SCOPES_SET")
    assert row["details"] == '{"added": ["analytics.read"], "removed": ["purchases.write"]}'


async def test_the_scopes_it_has_already_change_nothing(world: World, service: Service) -> None:
    token = await service.token()
    account_id = service.account.service_account_id
    assert await world.auth.admin.accounts.set_scopes(account_id, SCOPES[::-1], None) == service.account
    await world.auth.verifier.verify(token.access_token)
    assert not await world.audited("SERVICE_ACCOUNT_SCOPES_SET")


async def test_keys_are_changed_without_a_pause(world: World, service: Service) -> None:
    accounts, account_id = world.auth.admin.accounts, service.account.service_account_id
    successor = key_material.generate("RS256")
    world.clock.advance(timedelta(days=1))
    changed, kid = await accounts.add_key(account_id, pem_of(successor), None)
    assert changed == await read_back(world, account_id)
    assert changed.key_ids == (service.kid, kid)
    await service.token()
    renewed = Service(world, changed, successor)
    await renewed.token()
    await accounts.remove_key(account_id, service.kid, None)
    assert (await refusal_of(service.token())).reason == "ASSERTION_INVALID"
    await world.auth.verifier.verify((await renewed.token()).access_token)


async def test_a_removed_key_ends_all_its_tokens_everywhere(world: World, service: Service) -> None:
    token = await service.token()
    changed = await world.auth.admin.accounts.remove_key(service.account.service_account_id, service.kid, None)
    assert changed.keys == ()
    await assert_dead_everywhere(world, token, "ACCESS_TOKEN_REVOKED")
    (row,) = await world.audited("SERVICE_ACCOUNT_KEY_REMOVED")
    assert service.kid in row["details"]


async def test_the_same_key_twice_is_one_key_and_a_key_that_is_not_there_is_removed_already(
    world: World, service: Service
) -> None:
    token = await service.token()
    accounts, account_id = world.auth.admin.accounts, service.account.service_account_id
    assert await accounts.add_key(account_id, pem_of(service.private_key), None) == (service.account, service.kid)
    assert await accounts.remove_key(account_id, "another", None) == service.account
    await world.auth.verifier.verify(token.access_token)


async def test_an_account_has_at_most_10_keys_also_when_they_come_at_the_same_time(
    world: World, service: Service
) -> None:
    pems = [pem_of(key_material.generate("ES256")) for _ in range(12)]
    account_id = service.account.service_account_id
    outcomes = await outcomes_of(world.auth.admin.accounts.add_key(account_id, pem, None) for pem in pems)
    assert sorted(outcomes) == ["INVALID_FIELDS"] * 3 + ["OK"] * 9
    assert len(await world.read("SELECT FROM auth_service_keys")) == 10


async def test_a_disabled_account_gets_no_token_and_those_it_has_are_dead_everywhere(
    world: World, service: Service
) -> None:
    token, account_id = await service.token(), service.account.service_account_id
    disabled = await world.auth.admin.accounts.disable(account_id, None)
    assert disabled == await read_back(world, account_id)
    assert (await refusal_of(service.token())).reason == "SCOPE_DENIED"
    await assert_dead_everywhere(world, token, "SESSION_REVOKED")


async def test_a_server_hears_of_a_disabled_account_within_a_second(world: World, service: Service) -> None:
    token, another = (await service.token()).access_token, await world.another_server()
    await another.verifier.verify(token)
    listening = asyncio.create_task(another.revocations.run())
    await until(lambda: another.revocations.in_touch)
    await world.auth.admin.accounts.disable(service.account.service_account_id, None)
    await world.heard_by(another, service.account.service_account_id, seconds=1.0)
    assert (await refusal_of(another.verifier.verify(token))).reason == "SESSION_REVOKED"
    listening.cancel()


async def test_disabling_twice_is_the_same_as_once(world: World, service: Service) -> None:
    first = await world.auth.admin.accounts.disable(service.account.service_account_id, None)
    world.clock.advance(timedelta(days=1))
    assert await world.auth.admin.accounts.disable(service.account.service_account_id, None) == first
    assert len(await world.audited("SERVICE_ACCOUNT_DISABLED")) == 1


async def test_a_disabled_account_gets_neither_scopes_nor_keys_but_loses_keys(world: World, service: Service) -> None:
    accounts, account_id = world.auth.admin.accounts, service.account.service_account_id
    await accounts.disable(account_id, None)
    for call in (
        accounts.set_scopes(account_id, ("users.write",), None),
        accounts.add_key(account_id, pem_of(key_material.generate("ES256")), None),
    ):
        assert (await refusal_of(call)).reason == "SERVICE_ACCOUNT_DISABLED"
    assert (await accounts.remove_key(account_id, service.kid, None)).keys == ()


async def test_an_unknown_account_is_not_found(world: World) -> None:
    accounts, nobody = world.auth.admin.accounts, uuid4()
    for call in (
        accounts.set_scopes(nobody, SCOPES, None),
        accounts.disable(nobody, None),
        accounts.add_key(nobody, pem_of(key_material.generate("ES256")), None),
        accounts.remove_key(nobody, "kid", None),
        accounts.named("nobody"),
    ):
        assert (await refusal_of(call)).reason == "NOT_FOUND"


async def test_a_token_issued_while_the_account_changes_is_dead_or_has_the_new_scopes(
    world: World, service: Service
) -> None:
    account_id, accounts = service.account.service_account_id, world.auth.admin.accounts
    results = await asyncio.gather(
        *(service.token() for _ in range(5)),
        accounts.set_scopes(account_id, ("users.write",), None),
        *(service.token() for _ in range(5)),
    )
    tokens = [result for result in results if isinstance(result, ServiceToken)]
    assert len(tokens) == 10
    verdicts = [await outcomes_of([world.auth.verifier.verify(token.access_token)]) for token in tokens]
    of_before = [verdict for token, verdict in zip(tokens, verdicts, strict=True) if len(token.scopes) == 2]
    of_after = [verdict for token, verdict in zip(tokens, verdicts, strict=True) if len(token.scopes) == 1]
    assert of_before == [["ACCESS_TOKEN_REVOKED"]] * len(of_before)
    assert of_after == [["OK"]] * len(of_after)
