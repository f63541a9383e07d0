"""A person deletes her account, comes back, and is erased, over the network; and what she may call in between."""

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from svoykrug.auth.v1 import auth_service_pb2 as auth_pb
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import ManualClock, SystemClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.commands import GrantRole
from tests.conftest import isolated_settings
from tests.e2e.circle import Circle, Person
from tests.e2e.running import running
from tests.serving import Refusal, refusal_of
from tests.waiting import until

ANNA_PHONE, CHIEF_PHONE = "+79161234567", "+79990000001"
DELETED = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "USER_DELETED")
ME = pb.GetMeRequest()


@pytest.fixture
async def anna(circle: Circle) -> Person:
    return await circle.sign_in(ANNA_PHONE)


async def refused_me(circle: Circle, person: Person, refusal: Refusal) -> None:
    """Waits until a person's own profile is refused her for a reason."""

    async def is_refused() -> bool:
        try:
            await circle.users.GetMe(ME, metadata=person.metadata)
        except grpc.aio.AioRpcError:
            return True
        return False

    await until(is_refused)
    assert await refusal_of(circle.users.GetMe(ME, metadata=person.metadata)) == refusal


async def delete(circle: Circle, person: Person) -> user_pb2.ErasureReceipt:
    """Deletes a person's account, and gives her the tokens that she has from then on."""
    erasure = (await circle.users.DeleteMe(pb.DeleteMeRequest(), metadata=person.metadata)).erasure
    await refused_me(circle, person, Refusal(grpc.StatusCode.UNAUTHENTICATED, "ACCESS_TOKEN_REVOKED"))
    await circle.refresh(person)
    return erasure


async def test_who_deleted_her_account_can_do_what_is_left_to_her_and_nothing_else(
    circle: Circle, anna: Person
) -> None:
    erasure = await delete(circle, anna)
    hers = anna.metadata
    assert await refusal_of(circle.users.GetMe(ME, metadata=hers)) == DELETED
    assert await refusal_of(circle.auth.ListSessions(auth_pb.ListSessionsRequest(), metadata=hers)) == DELETED
    assert (await circle.users.DeleteMe(pb.DeleteMeRequest(), metadata=hers)).erasure == erasure
    parts = [part async for part in circle.users.ExportMe(pb.ExportMeRequest(), metadata=hers)]
    kept = {row.table: row.columns for part in parts for row in part.rows}
    assert kept["users"]["phone"] == ANNA_PHONE
    assert kept["erasures"]["id"] == erasure.id
    assert parts[-1].tables
    await circle.auth.SignOut(auth_pb.SignOutRequest(), metadata=hers)


async def test_restoring_brings_everything_back_after_a_refresh(circle: Circle, anna: Person) -> None:
    before = (await circle.users.GetMe(ME, metadata=anna.metadata)).user
    await delete(circle, anna)
    restored = (await circle.users.RestoreMe(pb.RestoreMeRequest(), metadata=anna.metadata)).user
    await circle.refresh(anna)
    assert (await circle.users.GetMe(ME, metadata=anna.metadata)).user == restored
    assert (restored.id, restored.roles, restored.state) == (before.id, before.roles, before.state)


async def test_a_superadmin_has_her_erased_and_anybody_who_knows_the_id_reads_the_receipt(
    circle: Circle, postgres: Postgres, anna: Person
) -> None:
    chief = await chief_of(circle, postgres)
    ordered = await circle.users.EraseUser(pb.EraseUserRequest(user_id=anna.user_id), metadata=chief.metadata)
    request = pb.GetErasureReceiptRequest(erasure_id=ordered.erasure.id)

    async def done() -> bool:
        receipt = (await circle.users.GetErasureReceipt(request)).erasure
        return receipt.state == user_pb2.ERASURE_STATE_DONE

    await until(done)
    receipt = (await circle.users.GetErasureReceipt(request)).erasure
    counts = {table.table: (table.deleted_count, table.anonymized_count) for table in receipt.tables}
    assert (counts["users"], counts["member_links"], counts["auth_sessions"]) == ((1, 0), (1, 0), (1, 0))
    assert {table.store for table in receipt.tables} == {user_pb2.STORE_POSTGRES, user_pb2.STORE_CLICKHOUSE}
    ended = Refusal(grpc.StatusCode.UNAUTHENTICATED, "SESSION_REVOKED")
    await refused_me(circle, anna, ended)


async def test_only_a_superadmin_erases_others(circle: Circle, postgres: Postgres, anna: Person) -> None:
    chief = await chief_of(circle, postgres)
    request = pb.EraseUserRequest(user_id=chief.user_id)
    refusal = await refusal_of(circle.users.EraseUser(request, metadata=anna.metadata))
    assert refusal == Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_a_receipt_that_does_not_exist_cannot_be_told_from_one_that_is_not_yours(circle: Circle) -> None:
    request = pb.GetErasureReceiptRequest(erasure_id="11111111-2222-4333-8444-555555555555")
    refusal = await refusal_of(circle.users.GetErasureReceipt(request))
    assert refusal == Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def chief_of(circle: Circle, postgres: Postgres) -> Person:
    """Makes the first superadmin at the command line, and signs her in."""
    clock = SystemClock()
    ends = SessionEnds(auth_options(isolated_settings()).session, clock)
    await GrantRole(postgres, clock, ends)(CHIEF_PHONE, Role.SUPERADMIN)
    return await circle.sign_in(CHIEF_PHONE)


@pytest.fixture
async def in_summer(postgres: Postgres, warehouse: Warehouse, clock: ManualClock) -> AsyncIterator[Circle]:
    """The whole server at a time that a test moves on."""
    async with running(postgres, warehouse, clock, erasure_interval_seconds=0.05) as server:
        yield server.circle


async def test_30_days_after_she_deleted_her_account_she_is_erased_and_can_join_anew(
    in_summer: Circle, clock: ManualClock
) -> None:
    anna = await in_summer.sign_in(ANNA_PHONE)
    erasure = await delete(in_summer, anna)
    clock.advance(timedelta(days=29))
    again = await in_summer.sign_in(ANNA_PHONE)
    assert (again.user_id, again.new_user) == (anna.user_id, False)
    assert await refusal_of(in_summer.users.GetMe(ME, metadata=again.metadata)) == DELETED
    clock.advance(timedelta(days=1))

    async def done() -> bool:
        request = pb.GetErasureReceiptRequest(erasure_id=erasure.id)
        return (await in_summer.users.GetErasureReceipt(request)).erasure.state == user_pb2.ERASURE_STATE_DONE

    await until(done)
    anew = await in_summer.sign_in(ANNA_PHONE)
    assert anew.new_user
    assert anew.user_id != anna.user_id
