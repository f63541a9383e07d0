"""CSV imports through the whole edge: uploaded, tried, written, matched, and kept from others."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import grpc
import pytest
from svoykrug.common.v1.error_reason_pb2 import ErrorReason
from svoykrug.operations.v1 import operation_pb2
from svoykrug.purchases.v1 import purchase_pb2
from svoykrug.purchases.v1 import purchases_service_pb2 as pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import (
    PurchasesServiceStub,
    add_PurchasesServiceServicer_to_server,
)

from svoykrug_server.kit.caller import StaffRole
from svoykrug_server.operations.convert import operation_to_proto
from svoykrug_server.purchases.csv.convert import format_from_proto, format_to_proto
from svoykrug_server.purchases.csv.model import CsvFormat
from svoykrug_server.purchases.servicer import PurchasesServicer
from tests.callers import admin, person, service
from tests.purchases.circle import Circle
from tests.purchases.csv.running import file_of, runner_of
from tests.serving import Metadata, Refusal, Served, refusal_of, serving

DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


@dataclass(frozen=True, slots=True)
class Shop:
    """A business that answers over the network, and its staff."""

    circle: Circle
    served: Served
    business_id: UUID
    staff: Metadata

    @property
    def stub(self) -> PurchasesServiceStub:
        return PurchasesServiceStub(self.served.channel)

    @property
    def id(self) -> str:
        return str(self.business_id)

    async def start(self) -> purchase_pb2.CsvImport:
        request = pb.StartCsvImportRequest(business_id=self.id, request_id=str(uuid4()))
        return (await self.stub.StartCsvImport(request, metadata=self.staff)).csv_import

    async def upload(self, content: bytes) -> str:
        started = await self.start()
        await self.stub.UploadCsvChunk(
            pb.UploadCsvChunkRequest(business_id=self.id, csv_import_id=started.id, chunk=content), metadata=self.staff
        )
        return started.id

    async def read(self, import_id: str, *, dry_run: bool) -> purchase_pb2.CsvImport:
        finish = pb.FinishCsvImportRequest(business_id=self.id, csv_import_id=import_id, dry_run=dry_run)
        operation = (await self.stub.FinishCsvImport(finish, metadata=self.staff)).operation
        assert operation.kind == operation_pb2.OPERATION_KIND_IMPORT_CSV
        assert await runner_of(self.circle).run_one()
        return await self.get(import_id)

    async def get(self, import_id: str, language: str = "ru") -> purchase_pb2.CsvImport:
        request = pb.GetCsvImportRequest(business_id=self.id, csv_import_id=import_id)
        metadata = (*self.staff, ("accept-language", language))
        return (await self.stub.GetCsvImport(request, metadata=metadata)).csv_import


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
        business_id = await circle.add_business()
        staff = served.tokens.sign_in(person(staff={business_id: StaffRole.STAFF}))
        yield Shop(circle, served, business_id, staff)


async def test_a_file_is_uploaded_tried_written_and_its_stray_row_matched(shop: Shop) -> None:
    member = await shop.circle.add_member("+79991234567")
    content = file_of("8 999 123-45-67;A-1;1 234,56;01/05/2026", "8 999 777-66-55;A-2;10;02/05/2026")
    import_id = await shop.upload(content.replace(b"\r\n", b"\n"))

    tried = await shop.read(import_id, dry_run=True)
    written = await shop.read(import_id, dry_run=False)
    listed = await shop.stub.ListRejectedRows(pb.ListRejectedRowsRequest(business_id=shop.id), metadata=shop.staff)
    [row] = listed.rows
    matched = await shop.stub.MatchRejectedRow(
        pb.MatchRejectedRowRequest(business_id=shop.id, row_id=row.id, user_id=str(member.user_id)), metadata=shop.staff
    )
    await shop.stub.DiscardRejectedRow(
        pb.DiscardRejectedRowRequest(business_id=shop.id, row_id=row.id), metadata=shop.staff
    )

    assert tried.state == purchase_pb2.CSV_IMPORT_STATE_TRIED
    assert written.state == purchase_pb2.CSV_IMPORT_STATE_WRITTEN
    assert (written.row_count, written.recorded_count, written.rejected_count) == (2, 1, 1)
    assert tried.format == format_to_proto(CsvFormat("utf-8", ";", "Телефон", "Чек", "Сумма", "Дата", "day"))
    assert [(preview.phone, preview.amount_minor) for preview in tried.preview_rows] == [
        ("+79991234567", 123_456),
        ("+79997776655", 1_000),
    ]
    assert list(written.rejected_rows) == [
        purchase_pb2.CsvRejectedRow(
            line_number=3, external_id="A-2", reason=ErrorReason.ERROR_REASON_MEMBER_UNKNOWN, column="Телефон"
        )
    ]
    assert (row.phone, row.external_id) == ("+79997776655", "A-2")
    assert (matched.purchase.user_id, matched.purchase.amount_minor) == (str(member.user_id), 1_000)


async def test_why_a_file_could_not_be_read_is_said_in_the_callers_language(shop: Shop) -> None:
    import_id = await shop.upload(b"a;b;c\r\n1;2;3\r\n")

    failed = await shop.read(import_id, dry_run=True)

    assert failed.state == purchase_pb2.CSV_IMPORT_STATE_FAILED
    assert failed.problem == "Не найден столбец: телефон. Укажите его название."
    assert (await shop.get(import_id, "en")).problem == "No column was recognised as the phone. Say which one it is."


async def test_another_business_and_a_member_see_and_touch_nothing(shop: Shop) -> None:
    import_id = await shop.upload(file_of("8 999 777-66-55;A-2;10;02/05/2026"))
    other_id = str(await shop.circle.add_business())
    other = shop.served.tokens.sign_in(person(staff={UUID(other_id): StaffRole.OWNER}))
    stub = shop.stub

    for named in (shop.id, other_id):
        calls: list[Awaitable[object]] = [
            stub.UploadCsvChunk(
                pb.UploadCsvChunkRequest(business_id=named, csv_import_id=import_id, chunk=b"x"), metadata=other
            ),
            stub.FinishCsvImport(pb.FinishCsvImportRequest(business_id=named, csv_import_id=import_id), metadata=other),
            stub.GetCsvImport(pb.GetCsvImportRequest(business_id=named, csv_import_id=import_id), metadata=other),
            stub.MatchRejectedRow(
                pb.MatchRejectedRowRequest(business_id=named, row_id=str(uuid4()), user_id=str(uuid4())), metadata=other
            ),
        ]
        assert [await refusal_of(call) for call in calls] == [DENIED] * len(calls)
    member = shop.served.tokens.sign_in(person())
    assert (
        await refusal_of(stub.ListRejectedRows(pb.ListRejectedRowsRequest(business_id=shop.id), metadata=member))
        == DENIED
    )


async def test_a_service_that_may_only_write_reads_the_report_of_its_file_with_every_fault(shop: Shop) -> None:
    importer = replace(shop, staff=shop.served.tokens.sign_in(service("purchases.write")))
    lines = ("8 999 777-66-55;A-1;-1;02/05/1990", "7,9E+10;;1;soon", "8 999 777-66-55;A-3;1;02/05/2026")
    import_id = await importer.upload(file_of(*lines))

    tried = await importer.read(import_id, dry_run=True)
    request = pb.ListCsvRejectionsRequest(business_id=shop.id, csv_import_id=import_id)
    listed = await shop.stub.ListCsvRejections(request, metadata=importer.staff)

    assert (tried.rejected_count, tried.reported_count) == (3, 3)
    assert listed.rows == tried.rejected_rows
    assert [(ErrorReason.Name(row.reason)[13:], row.column) for row in listed.rows] == [
        ("AMOUNT_OUT_OF_RANGE", "Сумма"),
        ("INVALID_FIELDS", "Чек"),
        ("MEMBER_UNKNOWN", "Телефон"),
    ]
    further = [
        [(ErrorReason.Name(fault.reason)[13:], fault.column) for fault in row.further_faults] for row in listed.rows
    ]
    assert further == [
        [("PURCHASE_TIME_OUT_OF_RANGE", "Дата")],
        [("INVALID_FIELDS", "Телефон"), ("INVALID_FIELDS", "Дата")],
        [],
    ]


async def test_services_need_the_scope_of_imports_and_admins_learn_what_does_not_exist(shop: Shop) -> None:
    request = pb.GetCsvImportRequest(business_id=shop.id, csv_import_id=str(uuid4()))
    writer = shop.served.tokens.sign_in(service("purchases.write"))
    reader = shop.served.tokens.sign_in(service("purchases.read"))

    assert (await refusal_of(shop.stub.GetCsvImport(request, metadata=reader))).reason == "PERMISSION_DENIED"
    for caller in (writer, shop.served.tokens.sign_in(admin())):
        assert (await refusal_of(shop.stub.GetCsvImport(request, metadata=caller))).reason == "NOT_FOUND"


async def test_a_gap_and_a_malformed_format_are_refused(shop: Shop) -> None:
    started = await shop.start()
    gap = pb.UploadCsvChunkRequest(business_id=shop.id, csv_import_id=started.id, offset_bytes=5, chunk=b"x")
    hostile = pb.StartCsvImportRequest(
        business_id=shop.id,
        request_id=str(uuid4()),
        format=purchase_pb2.CsvFormat(encoding="latin-1", delimiter=":", phone_column="a\x00b", date_order="week"),
    )

    assert await refusal_of(shop.stub.UploadCsvChunk(gap, metadata=shop.staff)) == Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "IMPORT_OUT_OF_ORDER"
    )
    assert (await refusal_of(shop.stub.StartCsvImport(hostile, metadata=shop.staff))).paths == (
        "format.encoding",
        "format.delimiter",
        "format.phone_column",
        "format.date_order",
    )


def test_a_format_comes_back_as_it_went() -> None:
    csv_format = CsvFormat("koi8-r", "|", "a", "b", "c", "d", "year")
    assert format_from_proto(format_to_proto(csv_format)) == csv_format


async def test_the_largest_page_of_the_longest_refused_rows_fits_into_a_message(shop: Shop) -> None:
    longest = "Т" * 200
    lines = [f"+79990000000;{number:05}{'Ж' * 95};1;01.05.2026" for number in range(5_001)]
    import_id = await shop.upload(file_of(*lines, header=f"{longest};Чек;Сумма;Дата"))
    await shop.read(import_id, dry_run=True)
    request = pb.ListCsvRejectionsRequest(business_id=shop.id, csv_import_id=import_id, page_size=5_000)

    first = await shop.stub.ListCsvRejections(request, metadata=shop.staff)
    request.page_token = first.next_page_token
    last = await shop.stub.ListCsvRejections(request, metadata=shop.staff)

    assert (len(first.rows), len(last.rows), last.next_page_token) == (5_000, 1, "")
    assert last.rows[0].reason == ErrorReason.ERROR_REASON_MEMBER_UNKNOWN
    assert (last.rows[0].line_number, last.rows[0].column) == (5_002, longest)
