"""IntrospectToken tells what the edge knows, and of a token that is not good nothing at all."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import grpc
import jwt
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from svoykrug.auth.v1 import auth_service_pb2 as pb
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub, add_AuthServiceServicer_to_server
from svoykrug.users.v1 import user_pb2

from svoykrug_server.auth import key_material
from svoykrug_server.auth.servicer import AuthServicer
from svoykrug_server.kit.caller import Role
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.auth.cable import Cable
from tests.auth.forgery import hs256
from tests.auth.services import Service
from tests.auth.world import CALL, OTHER_PHONE, PHONE, World, compose
from tests.serving import Metadata, Refusal, refusal_of

INACTIVE = pb.IntrospectTokenResponse(active=False)


@dataclass(frozen=True, slots=True)
class Console:
    """An internal service that was shown a token."""

    world: World
    stub: AuthServiceStub
    registry: CollectorRegistry
    metadata: Metadata

    async def looks_at(self, token: str) -> pb.IntrospectTokenResponse:
        """Asks what a token is good for."""
        return await self.stub.IntrospectToken(pb.IntrospectTokenRequest(token=token), metadata=self.metadata)


@pytest.fixture
async def console(world: World) -> AsyncIterator[Console]:
    """A service with the scope, and a real server with the edge and the real verifier."""
    registry = CollectorRegistry()
    server = RpcServer(RpcOptions(listen=("127.0.0.1:0",), grace_seconds=1), world.auth.verifier, registry)
    add_AuthServiceServicer_to_server(AuthServicer(world.auth.use_cases), server.methods)
    await server.start()
    service = await Service.made(world, "console", ("tokens.introspect",))
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        yield Console(world, AuthServiceStub(channel), registry, by((await service.token()).access_token))
    await server.stop()


def by(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


async def test_a_persons_token_tells_who_she_is_and_what_she_may(console: Console) -> None:
    signed_in = await console.world.sign_in_as(PHONE, Role.ADMIN)
    seen = await console.looks_at(signed_in.tokens.access_token)
    claims: dict[str, Any] = jwt.decode(signed_in.tokens.access_token, options={"verify_signature": False})
    assert seen.active
    assert (seen.subject_id, seen.session_id) == (str(signed_in.user_id), str(signed_in.session.session_id))
    assert (seen.token_id, seen.expire_time.seconds) == (claims["jti"], claims["exp"])
    assert list(seen.roles) == [user_pb2.ROLE_MEMBER, user_pb2.ROLE_ADMIN]
    assert not seen.scopes


async def test_a_services_token_tells_its_scopes_and_no_session(console: Console) -> None:
    service = await Service.made(console.world)
    token = await service.token()
    seen = await console.looks_at(token.access_token)
    assert (seen.active, seen.subject_id) == (True, str(service.account.service_account_id))
    assert (seen.session_id, list(seen.scopes)) == ("", ["purchases.write", "users.write"])
    assert seen.expire_time.ToDatetime(UTC) == token.expire_time
    assert not seen.roles


async def test_an_admin_may_ask_too_and_nobody_else(console: Console) -> None:
    world = console.world
    token = (await world.sign_in(OTHER_PHONE)).tokens.access_token
    chief = (await world.sign_in_as(PHONE, Role.ADMIN)).tokens.access_token
    other = (await (await Service.made(world)).token()).access_token
    request = pb.IntrospectTokenRequest(token=token)
    assert (await console.stub.IntrospectToken(request, metadata=by(chief))).active
    for metadata, refusal in (
        ((), Refusal(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")),
        (by(token), Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")),
        (by(other), Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")),
    ):
        assert await refusal_of(console.stub.IntrospectToken(request, metadata=metadata)) == refusal


async def test_a_token_of_a_session_that_ended_is_not_active(console: Console) -> None:
    world = console.world
    signed_in = await world.sign_in()
    assert (await console.looks_at(signed_in.tokens.access_token)).active
    await world.auth.use_cases.sessions.sign_out(await world.caller_of(signed_in), CALL)
    assert await console.looks_at(signed_in.tokens.access_token) == INACTIVE


async def test_a_stale_token_is_not_active(console: Console) -> None:
    world = console.world
    signed_in = await world.sign_in()
    async with world.postgres.transaction() as tx:
        await world.auth.ends.revoke_for_user(tx, signed_in.user_id)
    await world.heard_by(world.auth, signed_in.session.session_id)
    assert await console.looks_at(signed_in.tokens.access_token) == INACTIVE


async def test_a_token_of_a_disabled_service_or_a_removed_key_is_not_active(console: Console) -> None:
    accounts = console.world.auth.admin.accounts
    for name in ("disabled", "changed"):
        service = await Service.made(console.world, name)
        token = (await service.token()).access_token
        if name == "disabled":
            await accounts.disable(service.account.service_account_id, None)
        else:
            await accounts.remove_key(service.account.service_account_id, service.kid, None)
        assert await console.looks_at(token) == INACTIVE


async def test_a_token_of_a_rejected_signing_key_is_not_active(console: Console) -> None:
    world = console.world
    token, leaked = (await world.sign_in()).tokens.access_token, world.auth.use_cases.keys.active.kid
    new = await world.auth.admin.keys.create(None, uuid4(), None)
    await world.auth.admin.keys.activate(new.kid, None, skip_wait=True)
    fresh = await Service.made(world, "console-2", ("tokens.introspect",))
    metadata = by((await fresh.token()).access_token)
    await world.auth.admin.keys.retire(leaked, None, reject_tokens=True)
    request = pb.IntrospectTokenRequest(token=token)
    assert await console.stub.IntrospectToken(request, metadata=metadata) == INACTIVE


async def test_an_expired_token_is_not_active(console: Console) -> None:
    world = console.world
    token = (await world.sign_in()).tokens.access_token
    world.clock.advance(timedelta(minutes=15, seconds=30))
    service = await Service.made(world, "console-2", ("tokens.introspect",))
    request = pb.IntrospectTokenRequest(token=token)
    asking = console.stub.IntrospectToken(request, metadata=by((await service.token()).access_token))
    assert await asking == INACTIVE


async def test_the_token_of_a_person_who_deleted_her_account_is_not_active(console: Console) -> None:
    world = console.world
    await world.sign_in()
    async with world.postgres.transaction() as tx:
        await (await tx.driver()).execute("UPDATE users SET status = 'deleted'")
    assert await console.looks_at((await world.sign_in()).tokens.access_token) == INACTIVE


async def test_forged_and_foreign_tokens_are_not_active(console: Console) -> None:
    world = console.world
    good = (await world.sign_in()).tokens.access_token
    claims: dict[str, Any] = jwt.decode(good, options={"verify_signature": False})
    ours = world.auth.use_cases.keys.active
    header = {"typ": "at+jwt", "kid": ours.kid}
    der = key_material.public_to_der(ours.private_key.public_key())
    foreign = key_material.generate("ES256")
    for token in (
        jwt.encode(claims, "", algorithm="none", headers=header),
        hs256(der, {"alg": "HS256", **header}, claims),
        jwt.encode(claims, foreign, algorithm="ES256", headers=header),
        jwt.encode(claims | {"aud": "another"}, ours.private_key, algorithm="ES256", headers=header),
        jwt.encode(claims, ours.private_key, algorithm="ES256", headers=header | {"typ": "JWT"}),
        good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        (await Service.made(world)).assertion(),
        (await world.sign_in(OTHER_PHONE)).tokens.refresh_token,
        "x",
        "a.b.c",
        "é" * 100,
        "A" * 8192,
    ):
        assert await console.looks_at(token) == INACTIVE


async def test_when_revocations_may_have_been_missed_and_nobody_can_be_asked_the_answer_is_unavailable(
    world: World,
) -> None:
    token = (await world.sign_in()).tokens.access_token
    async with Cable(world.url).laid() as cable:
        postgres = await Postgres.connect(PostgresOptions(cable.url, read_connections=1))
        auth = compose(postgres, world.secrets, world.clock, world.options, world.phones)
        await auth.open()
        assert await auth.use_cases.introspection.look_at(token) is not None
        cable.cut()
        with pytest.raises(Exception, match="STORE_UNAVAILABLE"):
            await auth.use_cases.introspection.look_at(token)
        await postgres.close()


async def test_a_token_that_was_looked_at_stands_in_no_log_metric_or_audit_event(
    console: Console, capfd: pytest.CaptureFixture[str]
) -> None:
    tokens = [(await console.world.sign_in()).tokens.access_token, "not-a-token-but-somebodys-secret"]
    for token in tokens:
        await console.looks_at(token)
    await refusal_of(console.looks_at(""))
    shown = "".join(capfd.readouterr()) + generate_latest(console.registry).decode()
    shown += str(await console.world.read("SELECT * FROM audit_events"))
    assert "IntrospectToken" in shown
    for token in tokens:
        assert token not in shown
        assert token[-40:] not in shown
