"""Shows an export and an erasure of a member: `python -m demo.erase_member`.

She joins, buys at two businesses, gets a refund, shows a wallet code and brings a friend, all through the API of a
service in a fresh folder. She looks at everything that is kept about her, deletes her account, takes that back, and is
then erased by a superadmin. When the service has stopped, every column of every table of both stores is searched for
whatever led to her.
"""

import asyncio
import json
import shutil
import socket
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from rich.table import Table
from svoykrug import errors
from svoykrug.analytics.v1.analytics_service_pb2 import GetFreshnessRequest, GetFreshnessResponse
from svoykrug.businesses.v1.business_pb2 import CATEGORY_BEAUTY, CATEGORY_GASTRONOMY, Category
from svoykrug.businesses.v1.businesses_service_pb2 import CreateBusinessRequest
from svoykrug.purchases.v1.purchases_service_pb2 import NewPurchase, RecordPurchaseRequest, RefundPurchaseRequest
from svoykrug.users.v1.user_pb2 import (
    ERASURE_STATE_DONE,
    STORE_CLICKHOUSE,
    ErasureReceipt,
    ErasureState,
    Store,
    User,
)
from svoykrug.users.v1.users_service_pb2 import (
    DeleteMeRequest,
    EraseUserRequest,
    ExportMeRequest,
    ExportMeResponse,
    GetErasureReceiptRequest,
    GetMeRequest,
    GetMyWalletCodeRequest,
    RestoreMeRequest,
    UpdateMeRequest,
)

from demo.analysis import snapshot_at
from demo.console import console
from demo.search_stores import spellings
from demo.service import CONSENTS, Service, running, service_client, signed_in_admin
from demo.source import CURRENCY_CODE
from svoykrug_client import Client

PHONE, FRIEND_PHONE = "+79161234567", "+79031112233"
NAME, LATIN_NAME, EMAIL = "Аннушка", "annushka", "annushka@example.ru"
RECEIPTS = ("salon-0417", "bistro-2218", "back-0417")
WAIT_SECONDS = 60.0
REVOKED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Story:
    """What happened.

    Attributes:
        user_id: Who she was.
        receipt: What was erased.
        freshness: What both stores hold afterwards.
    """

    user_id: str
    receipt: ErasureReceipt
    freshness: GetFreshnessResponse


def main() -> None:
    """Runs the story and the search; ends with 1 when anything is left of her."""
    folder = Path(tempfile.mkdtemp(prefix="svoykrug-erasure-"))
    folder.chmod(0o711)
    try:
        sys.exit(asyncio.run(show(folder / "data")))
    finally:
        shutil.rmtree(folder)


async def show(folder: Path) -> int:
    """Runs everything in a folder; returns 0 when nothing is left of her and both stores are equal."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{probe.getsockname()[1]}"
    async with (
        running(folder, target) as service,
        await signed_in_admin(service) as chief,
        await service_client(service) as partner,
    ):
        story = await _story(service, chief, partner)
    console.print(
        f"\nBoth stores hold the same: {story.freshness.equal} ({story.freshness.postgres.entry_count} entries)"
    )
    left = await _left_of_her(folder, story.user_id)
    return 0 if story.freshness.equal and left == {(story.user_id, "audit_events")} else 1


async def _story(service: Service, chief: Client, partner: Client) -> Story:
    async with Client(service.target, insecure=True, language="en") as anna:
        user_id = await _join(service, anna, PHONE, f"iPhone, {NAME}")
        await _live(service, anna)
        await _buy(chief, partner)
        await _equal(partner)
        await snapshot_at(partner, datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0))
        _print_export([part async for part in anna.users.ExportMe(ExportMeRequest())])
        await _delete_and_restore(anna)
        ordered = (await chief.users.EraseUser(EraseUserRequest(user_id=user_id))).erasure
        receipt = await _done(anna, ordered.id)
        _print_receipt(receipt)
        return Story(user_id, receipt, await _equal(partner))


async def _join(service: Service, client: Client, phone: str, device_name: str, referral_code: str = "") -> str:
    lines_before = len(service.console)
    challenge = await client.start_sign_in(phone)
    code = await service.code_after(lines_before)
    answer = await client.complete_sign_in(
        challenge, code, consents=CONSENTS, referral_code=referral_code, device_name=device_name
    )
    return answer.user_id


async def _live(service: Service, anna: Client) -> None:
    profile = User(display_name=NAME, email=EMAIL, birth_date=Date(year=1988, month=3, day=8))
    mask = FieldMask(paths=["display_name", "email", "birth_date"])
    me = (await anna.users.UpdateMe(UpdateMeRequest(user=profile, update_mask=mask))).user
    await anna.users.GetMyWalletCode(GetMyWalletCodeRequest())
    async with Client(service.target, insecure=True) as friend:
        await _join(service, friend, FRIEND_PHONE, "Pixel", me.referral_code)


async def _buy(chief: Client, partner: Client) -> None:
    places: list[tuple[str, Category.ValueType]] = [("Salon", CATEGORY_BEAUTY), ("Bistro", CATEGORY_GASTRONOMY)]
    yesterday = datetime.now(UTC) - timedelta(days=1)
    business_ids = []
    for (name, category), external_id in zip(places, RECEIPTS, strict=False):
        creation = CreateBusinessRequest(name=name, category=category, request_id=str(uuid4()))
        business_ids.append((await chief.businesses.CreateBusiness(creation)).business.id)
        purchase = NewPurchase(
            phone=PHONE,
            external_id=external_id,
            amount_minor=450_000,
            currency_code=CURRENCY_CODE,
            purchase_time=_timestamp(yesterday),
        )
        await partner.purchases.RecordPurchase(RecordPurchaseRequest(business_id=business_ids[-1], purchase=purchase))
    await partner.purchases.RefundPurchase(
        RefundPurchaseRequest(
            business_id=business_ids[0],
            purchase_external_id=RECEIPTS[0],
            external_id=RECEIPTS[2],
            amount_minor=50_000,
            currency_code=CURRENCY_CODE,
            refund_time=_timestamp(yesterday + timedelta(hours=1)),
        )
    )


async def _delete_and_restore(anna: Client) -> None:
    deletion = (await anna.users.DeleteMe(DeleteMeRequest())).erasure
    console.print(f"\nShe deletes her account; it will be erased {deletion.erase_time.ToDatetime():%d %B %Y}.")
    with suppress(errors.UserDeleted):
        async with asyncio.timeout(REVOKED_SECONDS):
            while (await anna.users.GetMe(GetMeRequest())).user.id:
                """Her old token ends within a second on every server."""
    await anna.users.RestoreMe(RestoreMeRequest())
    me = (await anna.users.GetMe(GetMeRequest())).user
    console.print(f"She takes it back, and is {me.display_name} again. Then a superadmin has her erased at once.")


async def _equal(partner: Client) -> GetFreshnessResponse:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            freshness = await partner.analytics.GetFreshness(GetFreshnessRequest())
            if not (freshness.waiting_count or freshness.unproven_day_count):
                return freshness
            await asyncio.sleep(0.1)


async def _done(client: Client, erasure_id: str) -> ErasureReceipt:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = await client.users.GetErasureReceipt(GetErasureReceiptRequest(erasure_id=erasure_id))
            if answer.erasure.state == ERASURE_STATE_DONE:
                return answer.erasure
            await asyncio.sleep(0.1)


def _print_export(parts: list[ExportMeResponse]) -> None:
    shown = Table("store", "table", "what it is for", "rows", title="ExportMe: everything that is kept about her")
    for table in parts[-1].tables:
        shown.add_row(_store(table.store), table.table, table.purpose, f"{table.row_count}")
    console.print(shown)
    rows = Counter((row.store, row.table) for part in parts for row in part.rows)
    console.print(f"{sum(rows.values())} rows of {len(rows)} tables; for instance:")
    examples = {(row.store, row.table): row for part in parts for row in part.rows}
    for row in list(examples.values())[:2]:
        console.print(f"  {row.table}: {MessageToDict(row.columns)}", style="dim")


def _print_receipt(receipt: ErasureReceipt) -> None:
    shown = Table("store", "table", "deleted", "without a person", title=f"Receipt {receipt.id}")
    for table in receipt.tables:
        shown.add_row(_store(table.store), table.table, f"{table.deleted_count}", f"{table.anonymized_count}")
    console.print(shown)
    console.print(f"{ErasureState.Name(receipt.state)} at {receipt.done_time.ToDatetime():%d %B %Y %H:%M:%S} UTC")


async def _left_of_her(folder: Path, user_id: str) -> set[tuple[str, str]]:
    """Searches both stores of a service that has stopped, prints what was found, and returns it."""
    searched = [*spellings(PHONE), NAME, LATIN_NAME, EMAIL, *RECEIPTS, user_id]
    # A process of its own: this one uses gRPC, beside which PostgreSQL cannot be started.
    searching = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo.search_stores", str(folder), *searched), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await searching.communicate()
    if searching.returncode != 0:
        raise SystemExit("The stores could not be searched.")
    left = {(text, table) for text, table in json.loads(printed.splitlines()[-1])}
    shown = Table("searched in every column of both stores", "found in")
    for text in searched:
        shown.add_row(text, ", ".join(sorted(table for found, table in left if found == text)) or "nothing")
    console.print(shown)
    console.print("Her id alone is left, in the trail of what was done, and names nobody.")
    return left


def _store(store: Store.ValueType) -> str:
    return "ClickHouse" if store == STORE_CLICKHOUSE else "PostgreSQL"


def _timestamp(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


if __name__ == "__main__":
    main()
