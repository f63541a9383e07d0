"""Every method of every registered service x every kind of caller, through the network, with real tokens.

What each cell must be is said three times: by the rule in the proto, by the row in `kinds.py`, by what the server does.
Let in means that the call came through the edge to the servicer; `Doors` sees it.
"""

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from svoykrug_server.kit.caller import Role, StaffRole
from svoykrug_server.rpc.access import STANDARD_SERVICES, AccessRule, rule_of
from tests.attacks.cast import Cast
from tests.attacks.doors import Doors
from tests.attacks.kinds import ROW_BY_METHOD, ROWS, STRANGERS, Kind
from tests.attacks.plausible import request_for
from tests.attacks.wire import answer_to, methods_of, path_of, reflected_services
from tests.e2e.running import Running
from tests.rpc.rich import RichError

CHANNELZ = "grpc.channelz.v1.Channelz"
# Behind these doors the caller's own session or account would end or come back, and her other cells with it.
CLOSED = frozenset(
    {
        "/svoykrug.auth.v1.AuthService/SignOut",
        "/svoykrug.users.v1.UsersService/DeleteMe",
        "/svoykrug.users.v1.UsersService/RestoreMe",
    }
)
# Behind every other door an admin, and a service with the scope, is told what does not exist, and denied nothing.
ALL_SEEING = frozenset({Kind.ADMIN, Kind.SUPERADMIN, Kind.SERVICE_WITH_SCOPE})
OWN_THINGS = {
    "svoykrug.auth.v1.AuthService.RevokeSession": ALL_SEEING,
    "svoykrug.operations.v1.OperationsService.GetOperation": {Kind.SERVICE_WITH_SCOPE},
    "svoykrug.operations.v1.OperationsService.CancelOperation": {Kind.SERVICE_WITH_SCOPE},
    "svoykrug.operations.v1.OperationsService.WatchOperation": {Kind.SERVICE_WITH_SCOPE},
    "svoykrug.users.v1.UsersService.GetErasureReceipt": ALL_SEEING,
}


def expected_by_rule(rule: AccessRule, kind: Kind) -> bool:
    """Tells whether the rule in the proto lets a kind of caller in."""
    if rule.public or kind in STRANGERS:
        return rule.public
    if kind is Kind.DELETED:
        return rule.deleted
    if kind in {Kind.SERVICE_WITH_SCOPE, Kind.SERVICE_WITHOUT_SCOPE}:
        return bool(rule.scope) and kind is Kind.SERVICE_WITH_SCOPE
    roles = {Role.MEMBER}
    if kind in {Kind.ADMIN, Kind.SUPERADMIN}:
        roles.add(Role(kind.name.lower()))
    here = {Kind.STAFF_HERE: StaffRole.STAFF, Kind.OWNER_HERE: StaffRole.OWNER}
    return bool(rule.roles & roles) or here.get(kind) in rule.business_roles


def rule_for(method: MethodDescriptor) -> AccessRule:
    """Returns the rule of a method, of ours or of gRPC's own."""
    standard = STANDARD_SERVICES.get(method.containing_service.full_name)
    return rule_of(method) if standard is None else standard.rule


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Returns the reason of a refusal; of gRPC's own services, which have no catalogue, the status code."""
    trailers = dict(error.trailing_metadata() or ())
    return RichError.of(error).reason if "grpc-status-details-bin" in trailers else error.code().name


def disagreements(methods: list[MethodDescriptor]) -> Iterator[str]:
    """Yields where the rules in the protos and the rows written by hand differ."""
    for method in methods:
        rule, row = rule_for(method), ROW_BY_METHOD[method.full_name]
        if rule.scope != row.scope:
            yield f"{method.full_name} wants the scope {rule.scope!r}, its row says {row.scope!r}"
        for kind in Kind:
            if expected_by_rule(rule, kind) != (kind in row.kinds):
                yield f"{method.full_name} and its row disagree about {kind}"


async def test_every_registered_method_has_a_row_and_every_row_a_method(server: Running) -> None:
    services = set(server.server._interceptor.services)
    assert await reflected_services(server.circle.channel) == services - {CHANNELZ}
    assert {method.full_name for method in methods_of(services)} == set(ROW_BY_METHOD)


def test_the_rules_in_the_protos_say_what_the_rows_say() -> None:
    assert list(disagreements(methods_of(ROWS))) == []


def test_a_rule_that_says_more_or_less_than_its_row_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    erase, ban = "svoykrug.users.v1.UsersService.EraseUser", "svoykrug.users.v1.UsersService.BanUser"
    changed = dict(ROW_BY_METHOD) | {erase: ROW_BY_METHOD[ban], ban: ROW_BY_METHOD[erase]}
    monkeypatch.setattr("tests.attacks.test_access_matrix.ROW_BY_METHOD", changed)
    assert list(disagreements(methods_of(ROWS))) == [
        f"{ban} and its row disagree about {Kind.ADMIN}",
        f"{erase} and its row disagree about {Kind.ADMIN}",
    ]


@pytest.mark.timeout(300)
async def test_every_kind_of_caller_comes_into_exactly_the_methods_of_its_rows(
    server: Running, cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    doors, wrong, cells = Doors(server.server, CLOSED), list[str](), 0
    methods = methods_of(ROWS)
    for kind in Kind:
        for method in methods:
            wrong += await _what_is_wrong(cast, doors, kind, method)
            cells += 1
    assert wrong == [], "\n".join(wrong)
    assert cells == len(Kind) * len(ROW_BY_METHOD)
    with capsys.disabled():
        print(f"\naccess matrix: {len(methods)} methods x {len(Kind)} kinds of caller = {cells} cells")  # noqa: T201 - the count is a result of this test


async def _what_is_wrong(cast: Cast, doors: Doors, kind: Kind, method: MethodDescriptor) -> list[str]:
    row, path = ROW_BY_METHOD[method.full_name], path_of(method)
    request = request_for(method, cast.here).SerializeToString()
    before = doors.passed[path]
    error = await answer_to(cast.circle.channel, method, [request], cast.metadata_of(kind, row.scope), seconds=20)
    reason = "" if error is None else reason_of(error)
    expected = row.reason_for(kind)
    cell = f"{method.full_name} x {kind}"
    if doors.passed[path] > before:
        if expected:
            return [f"{cell}: let in, must be {expected}"]
        denied = reason == "PERMISSION_DENIED" and kind in ALL_SEEING - OWN_THINGS.get(method.full_name, set())
        return [f"{cell}: let in, and then {reason}"] if denied or reason == "INTERNAL" else []
    if expected == reason != "":
        return []
    return [f"{cell}: {reason or error}, must be {expected or 'let in'}"]
