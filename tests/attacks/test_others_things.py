"""Another's ids in every method that takes ids: each is refused like an id of nothing, and nothing of hers changes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from sqlalchemy import insert
from svoykrug.analytics.v1 import analytics_service_pb2 as analytics_pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.auth.v1 import auth_service_pb2 as auth_pb
from svoykrug.operations.v1 import operation_pb2
from svoykrug.operations.v1 import operations_service_pb2 as operations_pb
from svoykrug.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as users_pb

from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.schema.churn import churn_models, churn_scorings
from tests.attacks.cast import PHONES, Cast
from tests.attacks.kinds import ROW_BY_METHOD, ROWS, Kind
from tests.attacks.plausible import request_for
from tests.attacks.wire import answer_to, methods_of
from tests.rpc.rich import RichError
from tests.serving import refusal_of
from tests.waiting import until

_MAY_KNOW_ALL = frozenset({Kind.ADMIN, Kind.SUPERADMIN, Kind.SERVICE_WITH_SCOPE})
_ANALYTICS, _PURCHASES = "svoykrug.analytics.v1.AnalyticsService", "svoykrug.purchases.v1.PurchasesService"
_AUTH, _OPERATIONS = "svoykrug.auth.v1.AuthService", "svoykrug.operations.v1.OperationsService"

# Which thing of another's each field is tried with; fields that name a business are tried by a test of their own.
THINGS = {
    f"{_ANALYTICS}.GetSegmentSummary snapshot_id": "snapshot",
    f"{_ANALYTICS}.ListSegmentMembers snapshot_id": "snapshot",
    f"{_ANALYTICS}.StreamSegmentMembers snapshot_id": "snapshot",
    f"{_ANALYTICS}.GetSegmentMovements from_snapshot_id": "snapshot",
    f"{_ANALYTICS}.GetSegmentMovements to_snapshot_id": "snapshot",
    f"{_ANALYTICS}.GetMemberInsight user_id": "buyer",
    f"{_ANALYTICS}.GetMemberHistory user_id": "buyer",
    f"{_ANALYTICS}.GetChurnModel churn_model_id": "churn model",
    f"{_ANALYTICS}.PromoteChurnModel churn_model_id": "churn model",
    f"{_ANALYTICS}.ListAtRiskMembers scoring_id": "scoring",
    f"{_PURCHASES}.GetPurchase purchase_id": "purchase",
    f"{_PURCHASES}.RefundPurchase purchase_id": "purchase",
    f"{_PURCHASES}.RefundPurchase purchase_external_id": "receipt",
    f"{_PURCHASES}.UploadCsvChunk csv_import_id": "csv import",
    f"{_PURCHASES}.FinishCsvImport csv_import_id": "csv import",
    f"{_PURCHASES}.GetCsvImport csv_import_id": "csv import",
    f"{_PURCHASES}.ListCsvRejections csv_import_id": "csv import",
    f"{_PURCHASES}.MatchRejectedRow row_id": "kept row",
    f"{_OPERATIONS}.GetOperation operation_id": "operation",
    f"{_OPERATIONS}.CancelOperation operation_id": "operation",
    f"{_OPERATIONS}.WatchOperation operation_id": "operation",
    f"{_AUTH}.RevokeSession session_id": "session",
    f"{_AUTH}.CompletePhoneChange challenge_id": "challenge",
    f"{_AUTH}.CompleteSignIn challenge_id": "challenge",
}
# Ids that are no secret thing of anybody's, each for a reason.
OPEN = {
    f"{_AUTH}.ResendCode challenge_id": "it is 128 random bits, and who holds it is sent nothing but her own code",
    "svoykrug.users.v1.UsersService.GetErasureReceipt erasure_id": "it is not to be guessed, and says nothing personal",
    "svoykrug.businesses.v1.BusinessesService.AddStaff user_id": "an owner chooses whom she likes",
    "svoykrug.businesses.v1.BusinessesService.RemoveStaff user_id": "it counts at her own business only",
    f"{_PURCHASES}.RecordPurchase purchase.user_id": "every business may sell to every member",
    f"{_PURCHASES}.BatchRecordPurchases purchases.user_id": "every business may sell to every member",
    f"{_PURCHASES}.ImportPurchases purchases.user_id": "every business may sell to every member",
    f"{_PURCHASES}.MatchRejectedRow user_id": "every business may sell to every member",
    f"{_PURCHASES}.DiscardRejectedRow row_id": "it counts at her own business only",
    f"{_PURCHASES}.ListImportRejections import_id": "it counts at her own business only; a test below names another's",
    "svoykrug.users.v1.UsersService.UpdateMe user.id": "it is not read; a test below names another's",
    "svoykrug.users.v1.UsersService.UpdateMe user.staff_roles.business_id": "it is not read, as the mask refuses it",
}


@dataclass(frozen=True, slots=True)
class Hers:
    """What the people of `here` have, and one of `elsewhere` must not touch.

    Attributes:
        things: The ids by name.
        cast: The callers.
    """

    things: dict[str, str]
    cast: Cast


@pytest.fixture
async def hers(cast: Cast, postgres: Postgres) -> Hers:
    """One thing of each kind: a purchase, a snapshot, a churn model, an operation, a session, a challenge."""
    owner, channel = cast.metadata_of(Kind.OWNER_HERE), cast.circle.channel
    purchase_id = await _purchase(cast)
    snapshots: Any = AnalyticsServiceStub(channel)
    asked = analytics_pb.CreateSnapshotRequest(business_id=cast.here, request_id=str(uuid4()))
    operation = (await snapshots.CreateSnapshot(asked, metadata=owner)).operation
    snapshot_id = await _snapshot(cast, operation.id)
    sessions = await cast.circle.auth.ListSessions(
        auth_pb.ListSessionsRequest(), metadata=cast.metadata_of(Kind.MEMBER)
    )
    change = auth_pb.StartPhoneChangeRequest(phone=next(PHONES))
    started = await cast.circle.auth.StartPhoneChange(change, metadata=cast.metadata_of(Kind.MEMBER))
    return Hers(
        {
            "purchase": purchase_id,
            "receipt": "receipt-1",
            "csv import": await _csv_import(cast),
            "kept row": await _kept_row(cast),
            "buyer": cast.people[Kind.MEMBER].user_id,
            "operation": operation.id,
            "snapshot": snapshot_id,
            "churn model": (churn_model_id := await _churn_model(postgres, cast.here)),
            "scoring": await _scoring(postgres, cast.here, churn_model_id),
            "session": sessions.sessions[0].id,
            "challenge": started.challenge.challenge_id,
        },
        cast,
    )


async def _purchase(cast: Cast, external_id: str = "receipt-1") -> str:
    purchase = purchases_pb.NewPurchase(
        user_id=cast.people[Kind.MEMBER].user_id, external_id=external_id, amount_minor=100_000, currency_code="RUB"
    )
    purchase.purchase_time.GetCurrentTime()
    request = purchases_pb.RecordPurchaseRequest(business_id=cast.here, purchase=purchase)
    stub = PurchasesServiceStub(cast.circle.channel)
    return (await stub.RecordPurchase(request, metadata=cast.metadata_of(Kind.STAFF_HERE))).purchase.id


async def _csv_import(cast: Cast) -> str:
    request = purchases_pb.StartCsvImportRequest(business_id=cast.here, request_id=str(uuid4()))
    stub = PurchasesServiceStub(cast.circle.channel)
    return (await stub.StartCsvImport(request, metadata=cast.metadata_of(Kind.STAFF_HERE))).csv_import.id


async def _import(cast: Cast) -> str:
    """Imports a row that names nobody, and returns the id of the import."""
    stray = purchases_pb.NewPurchase(phone=next(PHONES), external_id="stray", amount_minor=100)
    stray.purchase_time.GetCurrentTime()
    batch = purchases_pb.ImportPurchasesRequest(business_id=cast.here, purchases=[stray])
    stub = PurchasesServiceStub(cast.circle.channel)
    return (await stub.ImportPurchases(iter([batch]), metadata=cast.metadata_of(Kind.STAFF_HERE))).import_id


async def _kept_row(cast: Cast) -> str:
    await _import(cast)
    stub, staff = PurchasesServiceStub(cast.circle.channel), cast.metadata_of(Kind.STAFF_HERE)
    listing = purchases_pb.ListRejectedRowsRequest(business_id=cast.here)
    [row] = (await stub.ListRejectedRows(listing, metadata=staff)).rows
    return row.id


async def _snapshot(cast: Cast, operation_id: str) -> str:
    request = operations_pb.GetOperationRequest(operation_id=operation_id)
    operations = OperationsServiceStub(cast.circle.channel)
    ended: list[operation_pb2.Operation] = []

    async def has_ended() -> bool:
        answer = await operations.GetOperation(request, metadata=cast.metadata_of(Kind.OWNER_HERE))
        ended[:] = [answer.operation]
        return answer.operation.state not in {
            operation_pb2.OPERATION_STATE_QUEUED,
            operation_pb2.OPERATION_STATE_RUNNING,
        }

    await until(has_ended, seconds=60)
    listing = analytics_pb.ListSnapshotsRequest(business_id=cast.here)
    snapshots = AnalyticsServiceStub(cast.circle.channel)
    [snapshot] = (await snapshots.ListSnapshots(listing, metadata=cast.metadata_of(Kind.OWNER_HERE))).snapshots
    return snapshot.id


async def _churn_model(postgres: Postgres, business_id: str) -> str:
    model_id, now = uuid4(), datetime.now(UTC)
    values = {
        "id": model_id,
        "business_id": UUID(business_id),
        "horizon_days": 90,
        "population_days": 0,
        "test_cutoff_time": now,
        "training_cutoff_times": [now],
        "watermark": now,
        "algorithm": "unused",
        "features": [],
        "card": {},
        "document": {},
        "create_time": now,
    }
    async with postgres.transaction() as tx:
        await tx.execute(insert(churn_models).values(values))
    return str(model_id)


async def _scoring(postgres: Postgres, business_id: str, churn_model_id: str) -> str:
    scoring_id, now = uuid4(), datetime.now(UTC)
    values = {
        "id": scoring_id,
        "model_id": UUID(churn_model_id),
        "business_id": UUID(business_id),
        "cutoff_time": now,
        "watermark": now,
        "scored_count": 0,
        "create_time": now,
        "build_id": scoring_id,
        "backtest": False,
    }
    async with postgres.transaction() as tx:
        await tx.execute(insert(churn_scorings).values(values))
    return str(scoring_id)


def _id_fields(message: Descriptor, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Yields the paths of a request's fields that name something."""
    for field in message.fields:
        path = f"{prefix}{field.name}"
        if field.message_type is not None and depth < 3 and field.message_type.full_name.startswith("svoykrug."):
            yield from _id_fields(field.message_type, f"{path}.", depth + 1)
        elif field.name in {"id", "kid"} or field.name.endswith(("_id", "_ids")):
            yield path


def _attackable() -> Iterator[tuple[MethodDescriptor, str]]:
    """Yields every method and field by which somebody could name what she may not know."""
    for method in methods_of(service for service in ROWS if service.startswith("svoykrug.")):
        if ROW_BY_METHOD[method.full_name].kinds <= _MAY_KNOW_ALL:
            continue
        for path in _id_fields(method.input_type):
            if path.rpartition(".")[2] not in {"request_id", "external_id"}:
                yield method, path


def _names_business(path: str) -> bool:
    return path in {"business_id", "business.id"}


def test_every_field_that_names_something_is_tried_or_open_for_a_reason() -> None:
    found = {f"{method.full_name} {path}" for method, path in _attackable() if not _names_business(path)}
    assert found == set(THINGS) | set(OPEN)


async def test_a_business_of_others_is_refused_by_every_method_like_one_that_does_not_exist(cast: Cast) -> None:
    tried = [method for method, path in _attackable() if _names_business(path)]
    assert len(tried) >= 25
    for method in tried:
        for kind in (Kind.STAFF_ELSEWHERE, Kind.OWNER_ELSEWHERE, Kind.STAFF_OF_ARCHIVED, Kind.MEMBER):
            theirs = await _refused(cast, kind, method, request_for(method, cast.here))
            nobodys = await _refused(cast, kind, method, request_for(method, str(uuid4())))
            circles = await _refused(cast, kind, method, request_for(method, ""))
            assert theirs == nobodys == circles == ("PERMISSION_DENIED", theirs[1]), (method.full_name, kind)


async def test_a_thing_of_others_is_refused_by_every_method_like_one_that_does_not_exist(hers: Hers) -> None:
    methods = {method.full_name: method for method in methods_of(ROWS)}
    told_apart = []
    for place, thing in THINGS.items():
        name, path = place.split(" ")
        learned = []
        for value in (hers.things[thing], _nothing_like(thing)):
            request = request_for(methods[name], hers.cast.elsewhere, **_named(hers, path, value))
            learned.append(await _refused(hers.cast, Kind.OWNER_ELSEWHERE, methods[name], request))
        if learned[0] != learned[1]:
            told_apart.append((place, learned))
    assert told_apart == []
    await _all_is_as_it_was(hers)


async def _all_is_as_it_was(hers: Hers) -> None:
    cast, member = hers.cast, hers.cast.metadata_of(Kind.MEMBER)
    listed = await cast.circle.auth.ListSessions(auth_pb.ListSessionsRequest(), metadata=member)
    assert hers.things["session"] in {session.id for session in listed.sessions}
    reading = purchases_pb.GetPurchaseRequest(business_id=cast.here, purchase_id=hers.things["purchase"])
    purchases = PurchasesServiceStub(cast.circle.channel)
    answer = await purchases.GetPurchase(reading, metadata=cast.metadata_of(Kind.OWNER_HERE))
    assert answer.purchase.refunded_minor == 0
    asking = operations_pb.ListOperationsRequest()
    operations = OperationsServiceStub(cast.circle.channel)
    assert not (await operations.ListOperations(asking, metadata=cast.metadata_of(Kind.OWNER_ELSEWHERE))).operations


async def test_the_refused_rows_of_anothers_import_are_none(cast: Cast) -> None:
    stub, import_id = PurchasesServiceStub(cast.circle.channel), await _import(cast)
    listed = {}
    for kind, business_id in ((Kind.STAFF_HERE, cast.here), (Kind.OWNER_ELSEWHERE, cast.elsewhere)):
        request = purchases_pb.ListImportRejectionsRequest(business_id=business_id, import_id=import_id)
        listed[kind] = (await stub.ListImportRejections(request, metadata=cast.metadata_of(kind))).rows
    assert [row.external_id for row in listed[Kind.STAFF_HERE]] == ["stray"]
    assert not listed[Kind.OWNER_ELSEWHERE]


async def test_a_profile_that_names_another_id_changes_the_callers_own(cast: Cast) -> None:
    other = cast.people[Kind.STAFF_ELSEWHERE]
    request = users_pb.UpdateMeRequest(
        user=user_pb2.User(id=other.user_id, display_name="Чужое"), update_mask=FieldMask(paths=["display_name"])
    )
    changed = await cast.circle.users.UpdateMe(request, metadata=cast.metadata_of(Kind.MEMBER))
    assert (changed.user.id, changed.user.display_name) == (cast.people[Kind.MEMBER].user_id, "Чужое")
    hers = await cast.circle.users.GetMe(users_pb.GetMeRequest(), metadata=other.metadata)
    assert hers.user.display_name == ""


async def test_a_page_token_opens_nothing_to_another(hers: Hers) -> None:
    cast = hers.cast
    stub, request = PurchasesServiceStub(cast.circle.channel), purchases_pb.ListMyPurchasesRequest(page_size=1)
    await _purchase(cast, "receipt-2")
    page = await stub.ListMyPurchases(request, metadata=cast.metadata_of(Kind.MEMBER))
    assert page.next_page_token
    request.page_token = page.next_page_token
    assert (await stub.ListMyPurchases(request, metadata=cast.metadata_of(Kind.MEMBER))).purchases
    refusal = await refusal_of(stub.ListMyPurchases(request, metadata=cast.metadata_of(Kind.STAFF_HERE)))
    assert refusal.reason == "INVALID_PAGE_TOKEN"


def _named(hers: Hers, path: str, value: str) -> dict[str, object]:
    """Returns the fields to send: the id, and all that would be right if it were the caller's own."""
    if path == "challenge_id":
        code = hers.cast.circle.code_of(challenge_id_from_text(hers.things["challenge"]))
        return {"challenge_id": value, "code": code}
    if path == "purchase_external_id":
        return {"purchase_external_id": value, "amount_minor": 1}
    return {path: value}


def _nothing_like(thing: str) -> str:
    return "A" * 22 if thing == "challenge" else str(uuid4())


async def _refused(cast: Cast, kind: Kind, method: MethodDescriptor, request: Message) -> tuple[str, tuple[bytes, ...]]:
    """Returns all that a caller learns from a refusal: the reason and every detail but the request's own id."""
    error = await answer_to(cast.circle.channel, method, [request.SerializeToString()], cast.metadata_of(kind))
    assert error is not None, f"{method.full_name} answered {kind}"
    rich = RichError.of(error)
    details = (packed for packed in rich.status.details if not packed.type_url.endswith("RequestInfo"))
    return rich.reason, (rich.status.message.encode(), *(packed.SerializeToString() for packed in details))
