from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf import descriptor_pb2
from svoykrug.access.v1 import access_pb2

from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.rpc.access import STANDARD_SERVICES, AccessRule, AccessRuleError
from svoykrug_server.rpc.method import methods_of
from tests.callers import admin, person, service
from tests.rpc.conftest import Edge, StartEdge, TokenTable
from tests.rpc.probe import PACKAGE, ProbeRequest, add_file, add_service, probe_method
from tests.rpc.test_interceptor import refused, requests

SALON, CLINIC = uuid4(), uuid4()
CALLERS = {
    "member": person(),
    "staff": person(None, Role.MEMBER, staff={SALON: StaffRole.STAFF}),
    "owner": person(None, Role.MEMBER, staff={SALON: StaffRole.OWNER}),
    "admin": admin(),
    "superadmin": person(None, Role.SUPERADMIN),
    "deleted": replace(person(), roles=frozenset(), deleted=True),
    "service": service("probe.read"),
    "other service": service("probe.write"),
}
ADMITTED = {
    "Mine": {"member", "staff", "owner", "admin"},
    "Leave": {"member", "staff", "owner", "admin", "deleted"},
    "Serve": {"admin", "superadmin", "service"},
    "Reign": {"superadmin"},
    "Sell": {"staff", "owner", "admin", "superadmin"},
    "Own": {"owner"},
}


@pytest.mark.parametrize("method", sorted(ADMITTED))
@pytest.mark.parametrize("who", sorted(CALLERS))
async def test_exactly_the_callers_of_the_rule_are_admitted(
    edge: Edge, tokens: TokenTable, method: str, who: str
) -> None:
    call = getattr(edge.stub, method)(ProbeRequest(business_id=str(SALON)), metadata=tokens.sign_in(CALLERS[who]))
    if who in ADMITTED[method]:
        assert (await call).business_id == str(SALON)
    else:
        error = await refused(call)
        deleted = (grpc.StatusCode.FAILED_PRECONDITION, "USER_DELETED")
        refusal = (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert (error.code, error.reason) == (deleted if who == "deleted" else refusal)


@pytest.mark.parametrize("named", [str(CLINIC), str(UUID(int=0)), "", "not a business"])
async def test_staff_of_one_business_is_refused_at_another_one_that_exists_or_not(
    edge: Edge, tokens: TokenTable, named: str
) -> None:
    hers = tokens.sign_in(CALLERS["staff"])
    error = await refused(edge.stub.Sell(ProbeRequest(business_id=named), metadata=hers))
    assert error.reason == "PERMISSION_DENIED"


async def test_a_caller_is_authorised_before_the_request_is_validated(edge: Edge, tokens: TokenTable) -> None:
    wrong = ProbeRequest(text="much too long for it", business_id=str(CLINIC))
    error = await refused(edge.stub.Sell(wrong, metadata=tokens.sign_in(CALLERS["staff"])))
    assert error.reason == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("header", "reason"), [(None, "TOKEN_MISSING"), ("Basic abc", "TOKEN_INVALID"), ("Bearer", "TOKEN_INVALID")]
)
async def test_a_caller_without_a_good_token_is_unauthenticated(edge: Edge, header: str | None, reason: str) -> None:
    metadata = () if header is None else (("authorization", header),)
    error = await refused(edge.stub.Mine(ProbeRequest(), metadata=metadata))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)


async def test_a_public_method_does_not_look_at_a_token(edge: Edge) -> None:
    assert await edge.stub.Echo(ProbeRequest(), metadata=(("authorization", "Bearer dead"),)) == ProbeRequest()


async def test_a_stream_is_authorised_by_its_first_message_before_the_servicer_sees_it(
    start_edge: StartEdge, tokens: TokenTable
) -> None:
    called = []

    async def upload(stream: AsyncIterator[Any], context: Any) -> Any:
        called.append(True)
        received = [message async for message in stream]
        return received[-1]

    edge = await start_edge({"Upload": upload})
    hers = tokens.sign_in(CALLERS["staff"])
    foreign, own = ProbeRequest(business_id=str(CLINIC)), ProbeRequest(business_id=str(SALON))
    assert (await refused(edge.stub.Upload(requests(foreign, own), metadata=hers))).reason == "PERMISSION_DENIED"
    assert (await refused(edge.stub.Upload(requests(), metadata=hers))).reason == "PERMISSION_DENIED"
    assert called == []
    last = ProbeRequest(text="last")
    assert await edge.stub.Upload(requests(own, last), metadata=hers) == last
    admins = tokens.sign_in(CALLERS["admin"])
    assert await edge.stub.Upload(requests(last), metadata=admins) == last


async def test_a_server_refuses_to_start_when_a_method_has_no_rule(start_edge: StartEdge) -> None:
    name = "RulelessService"
    methods = [probe_method("Open", None), probe_method("Fine", access_pb2.Rule(callers=[access_pb2.CALLER_PUBLIC]))]
    add_file("svoykrug/probe/v1/ruleless.proto", descriptor_pb2.ServiceDescriptorProto(name=name, method=methods))
    edge = await start_edge()
    with pytest.raises(AccessRuleError, match=r"RulelessService\.Open: has no"):
        add_service(edge.server.methods, {}, f"{PACKAGE}.{name}")


CONTRADICTIONS = {
    "names no caller": access_pb2.Rule(),
    "or an unspecified one": access_pb2.Rule(callers=[access_pb2.CALLER_UNSPECIFIED]),
    "stand alone": access_pb2.Rule(callers=[access_pb2.CALLER_PUBLIC, access_pb2.CALLER_MEMBER]),
    "scope is named": access_pb2.Rule(callers=[access_pb2.CALLER_SERVICE]),
    "scope is named exactly": access_pb2.Rule(callers=[access_pb2.CALLER_MEMBER], scope="probe.read"),
    "business_field is named": access_pb2.Rule(callers=[access_pb2.CALLER_BUSINESS_OWNER]),
    "business_field is named exactly": access_pb2.Rule(
        callers=[access_pb2.CALLER_MEMBER], business_field="business_id"
    ),
    "no string field rows.amount": access_pb2.Rule(
        callers=[access_pb2.CALLER_BUSINESS_STAFF], business_field="rows.amount_minor"
    ),
    "no string field nowhere": access_pb2.Rule(callers=[access_pb2.CALLER_BUSINESS_STAFF], business_field="nowhere"),
}


def test_rules_that_contradict_themselves_are_all_named_at_start() -> None:
    methods = [probe_method(f"Method{number}", rule) for number, rule in enumerate(CONTRADICTIONS.values())]
    service_proto = descriptor_pb2.ServiceDescriptorProto(name="CrookedService", method=methods)
    add_file("svoykrug/probe/v1/crooked.proto", service_proto)
    with pytest.raises(AccessRuleError) as caught:
        methods_of(f"{PACKAGE}.CrookedService")
    complaints = str(caught.value).split("; ")
    assert len(complaints) == len(CONTRADICTIONS)
    for complaint, expected in zip(complaints, CONTRADICTIONS, strict=True):
        assert expected in complaint


def test_every_standard_service_is_public_and_channelz_is_for_this_machine_only() -> None:
    rules = {name: service.rule for name, service in STANDARD_SERVICES.items()}
    assert rules["grpc.health.v1.Health"] == AccessRule(public=True)
    assert rules["grpc.channelz.v1.Channelz"] == AccessRule(public=True, loopback_only=True)
    assert all(rule.public for rule in rules.values())


def test_a_service_with_a_persons_role_name_as_scope_is_no_admin() -> None:
    rule = AccessRule(roles=frozenset({Role.ADMIN}))
    impostor: Caller = service("admin")
    assert not rule.admits(impostor)
