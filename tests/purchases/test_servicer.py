"""PurchasesService over the network, through the whole edge."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.common.v1.error_reason_pb2 import ErrorReason
from svoykrug.purchases.v1 import purchases_service_pb2 as pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import (
    PurchasesServiceStub,
    add_PurchasesServiceServicer_to_server,
)

from svoykrug_server.kit.caller import Caller, StaffRole
from svoykrug_server.operations.convert import operation_to_proto
from svoykrug_server.purchases.servicer import PurchasesServicer
from tests.callers import person, service
from tests.purchases.circle import NOON, Circle, Member
from tests.serving import Metadata, Refusal, Served, refusal_of, serving
from tests.waiting import until


@dataclass(frozen=True, slots=True)
class Shop:
    """A business that answers over the network, a member, and who may call."""

    circle: Circle
    served: Served
    business_id: UUID
    member: Member

    @property
    def stub(self) -> PurchasesServiceStub:
        return PurchasesServiceStub(self.served.channel)

    def as_caller(self, caller: Caller) -> Metadata:
        return self.served.tokens.sign_in(caller)

    @property
    def staff(self) -> Metadata:
        return self.as_caller(person(staff={self.business_id: StaffRole.STAFF}))


@pytest.fixture
async def shop(circle: Circle) -> AsyncIterator[Shop]:
    servicer = PurchasesServicer(
        circle.purchases,
        circle.refunds,
        circle.imports,
        circle.csv.uploads,
        circle.kept_rows,
        operation_to_proto,
    )
    async with serving(lambda server: add_PurchasesServiceServicer_to_server(servicer, server)) as served:
        yield Shop(circle, served, await circle.add_business(), await circle.add_member())


def instant(at: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def receipt(shop: Shop, external_id: str = "receipt", amount_minor: int = 1_000) -> pb.NewPurchase:
    return pb.NewPurchase(
        phone=shop.member.phone, external_id=external_id, amount_minor=amount_minor, purchase_time=instant(NOON)
    )


def refund_request(shop: Shop, amount_minor: int, refund_time: Timestamp | None = None) -> pb.RefundPurchaseRequest:
    return pb.RefundPurchaseRequest(
        business_id=str(shop.business_id),
        purchase_external_id="receipt",
        external_id="back",
        amount_minor=amount_minor,
        refund_time=refund_time or instant(NOON),
    )


async def test_a_purchase_is_recorded_refunded_read_and_listed(shop: Shop) -> None:
    business_id = str(shop.business_id)
    recorded = await shop.stub.RecordPurchase(
        pb.RecordPurchaseRequest(business_id=business_id, purchase=receipt(shop)), metadata=shop.staff
    )
    refunded = await shop.stub.RefundPurchase(refund_request(shop, 300), metadata=shop.staff)
    read = await shop.stub.GetPurchase(
        pb.GetPurchaseRequest(business_id=business_id, purchase_id=recorded.purchase.id), metadata=shop.staff
    )
    mine = await shop.stub.ListMyPurchases(
        pb.ListMyPurchasesRequest(), metadata=shop.as_caller(person(shop.member.user_id))
    )
    listed = await shop.stub.ListPurchases(pb.ListPurchasesRequest(business_id=business_id), metadata=shop.staff)

    assert not recorded.duplicate
    assert recorded.purchase.purchase_time.ToDatetime(UTC) == NOON
    assert (recorded.purchase.user_id, recorded.purchase.currency_code) == (str(shop.member.user_id), "RUB")
    assert (refunded.refund.amount_minor, refunded.purchase.refunded_minor) == (300, 300)
    assert read.purchase == refunded.purchase
    assert [purchase.id for purchase in mine.purchases] == [recorded.purchase.id]
    assert [purchase.refunded_minor for purchase in listed.purchases] == [300]


async def test_whoever_imports_reads_what_a_stream_that_broke_refused_by_the_id_in_its_initial_metadata(
    shop: Shop,
) -> None:
    business_id, importer = str(shop.business_id), shop.as_caller(service("purchases.write"))
    bad = pb.NewPurchase(phone="nobody", external_id="bad", amount_minor=-1, purchase_time=instant(NOON))

    async def endless() -> AsyncIterator[pb.ImportPurchasesRequest]:
        yield pb.ImportPurchasesRequest(business_id=business_id, purchases=[receipt(shop, "good"), bad])
        yield pb.ImportPurchasesRequest(business_id=business_id)
        await asyncio.Event().wait()

    call = shop.stub.ImportPurchases(endless(), metadata=importer)
    import_id = str(dict(await call.initial_metadata())["x-import-id"])
    request = pb.ListImportRejectionsRequest(business_id=business_id, import_id=import_id)

    async def listed() -> list[pb.RejectedRow]:
        return list((await shop.stub.ListImportRejections(request, metadata=importer)).rows)

    async def is_listed() -> bool:
        return bool(await listed())

    await until(is_listed, seconds=60)
    call.cancel()

    assert await listed() == [
        pb.RejectedRow(
            row_number=1,
            external_id="bad",
            reason=ErrorReason.ERROR_REASON_INVALID_FIELDS,
            field="phone",
            further_faults=[pb.RowFault(reason=ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_RANGE, field="amount_minor")],
        )
    ]
    reader = shop.as_caller(service("purchases.read"))
    assert (await refusal_of(shop.stub.ListImportRejections(request, metadata=reader))).reason == "PERMISSION_DENIED"


async def test_a_batch_and_a_stream_give_counts_and_rejected_rows(shop: Shop) -> None:
    rows = [receipt(shop, "a"), receipt(shop, "a"), receipt(shop, "b", -1)]
    batch = await shop.stub.BatchRecordPurchases(
        pb.BatchRecordPurchasesRequest(business_id=str(shop.business_id), purchases=rows), metadata=shop.staff
    )

    async def requests() -> AsyncIterator[pb.ImportPurchasesRequest]:
        yield pb.ImportPurchasesRequest(business_id=str(shop.business_id), purchases=rows)
        yield pb.ImportPurchasesRequest(business_id=str(shop.business_id), purchases=[receipt(shop, "c")])
        yield pb.ImportPurchasesRequest(
            business_id=str(shop.business_id), purchases=[pb.NewPurchase(phone="+79990000009", external_id="d")]
        )

    imported = await shop.stub.ImportPurchases(requests(), metadata=shop.as_caller(service("purchases.write")))

    assert (batch.recorded_count, batch.duplicate_count) == (1, 1)
    assert (imported.received_count, imported.recorded_count, imported.duplicate_count) == (5, 1, 2)
    assert [(row.row_number, row.reason, row.field) for row in imported.rejected_rows] == [
        (2, ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_RANGE, "amount_minor"),
        (4, ErrorReason.ERROR_REASON_PURCHASE_TIME_OUT_OF_RANGE, "purchase_time"),
    ]
    request = pb.ListImportRejectionsRequest(
        business_id=str(shop.business_id), import_id=imported.import_id, page_size=1
    )
    first = await shop.stub.ListImportRejections(request, metadata=shop.staff)
    request.page_token = first.next_page_token
    last = await shop.stub.ListImportRejections(request, metadata=shop.staff)
    assert ([*first.rows, *last.rows], last.next_page_token) == (list(imported.rejected_rows), "")


async def test_refusals_travel_with_their_status_reason_and_field(shop: Shop) -> None:
    business_id = str(shop.business_id)
    await shop.stub.RecordPurchase(
        pb.RecordPurchaseRequest(business_id=business_id, purchase=receipt(shop)), metadata=shop.staff
    )
    other = pb.RecordPurchaseRequest(business_id=business_id, purchase=receipt(shop, amount_minor=1))
    unknown = pb.RecordPurchaseRequest(business_id=business_id, purchase=receipt(shop, "new"))
    unknown.purchase.phone = "+79990000009"
    far = Timestamp(seconds=10**12)

    assert await refusal_of(shop.stub.RecordPurchase(other, metadata=shop.staff)) == Refusal(
        grpc.StatusCode.ALREADY_EXISTS, "EXTERNAL_ID_CONFLICT", ("purchase.external_id",)
    )
    assert await refusal_of(shop.stub.RecordPurchase(unknown, metadata=shop.staff)) == Refusal(
        grpc.StatusCode.FAILED_PRECONDITION, "MEMBER_UNKNOWN", ("purchase.phone",)
    )
    assert await refusal_of(shop.stub.RefundPurchase(refund_request(shop, 1_001), metadata=shop.staff)) == Refusal(
        grpc.StatusCode.FAILED_PRECONDITION, "REFUND_EXCEEDS_PURCHASE", ("amount_minor",)
    )
    refused = await refusal_of(shop.stub.RefundPurchase(refund_request(shop, 1, far), metadata=shop.staff))
    assert (refused.code, refused.paths) == (grpc.StatusCode.INVALID_ARGUMENT, ("refund_time",))


async def test_a_purchase_and_a_refund_with_several_bad_fields_are_told_all_of_them_at_once(shop: Shop) -> None:
    business_id, ancient = str(shop.business_id), Timestamp(seconds=1)
    bad = pb.NewPurchase(phone="nobody", external_id="", amount_minor=-1, currency_code="USD", purchase_time=ancient)
    twice = pb.NewPurchase(phone=shop.member.phone, external_id="a", currency_code="EUR", purchase_time=ancient)
    back = refund_request(shop, -1, ancient)
    back.currency_code = "USD"

    recorded = await refusal_of(
        shop.stub.RecordPurchase(pb.RecordPurchaseRequest(business_id=business_id, purchase=bad), metadata=shop.staff)
    )
    dated = await refusal_of(
        shop.stub.RecordPurchase(pb.RecordPurchaseRequest(business_id=business_id, purchase=twice), metadata=shop.staff)
    )
    refunded = await refusal_of(shop.stub.RefundPurchase(back, metadata=shop.staff))

    fields = ("external_id", "phone", "amount_minor", "currency_code", "purchase_time")
    assert recorded == Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", tuple(f"purchase.{field}" for field in fields)
    )
    assert (dated.reason, dated.paths) == ("INVALID_FIELDS", ("purchase.currency_code", "purchase.purchase_time"))
    assert (refunded.reason, refunded.paths) == ("INVALID_FIELDS", ("amount_minor", "currency_code", "refund_time"))


async def test_others_than_the_business_may_not_touch_its_purchases(shop: Shop) -> None:
    request = pb.RecordPurchaseRequest(business_id=str(shop.business_id), purchase=receipt(shop))
    callers = [person(shop.member.user_id), person(staff={uuid4(): StaffRole.OWNER}), service("analytics.read")]
    reasons = [
        (await refusal_of(shop.stub.RecordPurchase(request, metadata=shop.as_caller(caller)))).code
        for caller in callers
    ]
    assert reasons == [grpc.StatusCode.PERMISSION_DENIED] * 3
    assert await shop.circle.ledger() == []


async def test_an_oversize_batch_is_refused_whole(shop: Shop) -> None:
    rows = [receipt(shop, f"r{number}") for number in range(1_001)]
    request = pb.BatchRecordPurchasesRequest(business_id=str(shop.business_id), purchases=rows)
    refused = await refusal_of(shop.stub.BatchRecordPurchases(request, metadata=shop.staff))
    assert (refused.code, refused.paths) == (grpc.StatusCode.INVALID_ARGUMENT, ("purchases",))
    assert shop.circle.wakes == 0
