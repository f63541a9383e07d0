"""The circle of the demo: an admin, a service, the partner businesses, the members and a year of purchases."""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.businesses.v1.businesses_service_pb2 import CreateBusinessRequest, ListBusinessesRequest
from svoykrug.purchases.v1.purchases_service_pb2 import NewPurchase, RefundPurchaseRequest
from svoykrug.users.v1.users_service_pb2 import BatchCreateUsersRequest, NewUser

from demo.console import bar
from demo.source import ALL_PARTNERS, CURRENCY_CODE, phone_of
from svoykrug_client import Client, items

if TYPE_CHECKING:
    import pandas as pd

_NAMESPACE = uuid.UUID("8f0c5a52-5f0e-4d3b-9a39-2f7f5f3b6d10")
_USERS_A_CALL = 1_000
_NANOSECONDS = 1_000_000_000
_REFUNDS_AT_ONCE = 16
# The data has no refunds; the demo makes them for a stated 1 % of the receipts, chosen by this seed.
REFUND_SHARE = 0.01
REFUND_SEED = 20171201


@dataclass(frozen=True, slots=True)
class ImportTotals:
    """What became of the rows of all imports."""

    received: int = 0
    recorded: int = 0
    duplicate: int = 0
    rejected: int = 0


def request_id(name: str) -> str:
    """Returns a request id that is the same in every run, so that a second run gets the first one's answer."""
    return str(uuid.uuid5(_NAMESPACE, name))


async def create_businesses(admin: Client) -> dict[str, str]:
    """Creates the partner businesses that are not there yet; returns their ids by name."""
    listed = items(admin.businesses.ListBusinesses, ListBusinessesRequest(page_size=500), lambda page: page.businesses)
    ids = {business.name: business.id async for business in listed}
    for partner in ALL_PARTNERS:
        if partner.name not in ids:
            request = CreateBusinessRequest(
                name=partner.name, category=partner.category, request_id=request_id(f"business {partner.name}")
            )
            ids[partner.name] = (await admin.businesses.CreateBusiness(request)).business.id
    return ids


async def create_members(service: Client, households: list[int]) -> tuple[dict[int, str], int]:
    """Creates a member for each household; returns the user ids by household and how many are new."""
    user_ids: dict[int, str] = {}
    created = 0
    for start in range(0, len(households), _USERS_A_CALL):
        part = households[start : start + _USERS_A_CALL]
        users = [NewUser(phone=phone_of(household), display_name=f"Household {household}") for household in part]
        answer = await service.users.BatchCreateUsers(BatchCreateUsersRequest(users=users))
        user_ids |= {household: row.user_id for household, row in zip(part, answer.results, strict=True)}
        created += answer.created_count
    return user_ids, created


async def import_receipts(
    service: Client, business_ids: Mapping[str, str], receipts: "pd.DataFrame", user_ids: Mapping[int, str]
) -> ImportTotals:
    """Imports all receipts, one stream a business."""
    totals = ImportTotals()
    with bar("importing purchases", len(receipts)) as advance:
        for name, table in receipts.groupby("partner"):
            answer = await service.import_purchases(business_ids[str(name)], _rows(table, user_ids, advance))
            totals = ImportTotals(
                totals.received + answer.received_count,
                totals.recorded + answer.recorded_count,
                totals.duplicate + answer.duplicate_count,
                totals.rejected + answer.rejected_count,
            )
    return totals


def _rows(
    table: "pd.DataFrame", user_ids: Mapping[int, str], advance: Callable[[int], None]
) -> Callable[[], Iterator[NewPurchase]]:
    def rows() -> Iterator[NewPurchase]:
        times = table["purchase_time"].to_numpy().astype("datetime64[ns]").astype("int64")
        columns = (table["household"], table["basket"], table["amount_minor"], times)
        for household, basket, amount_minor, time in zip(*(column.tolist() for column in columns), strict=True):
            yield NewPurchase(
                user_id=user_ids[household],
                external_id=str(basket),
                amount_minor=amount_minor,
                currency_code=CURRENCY_CODE,
                purchase_time=Timestamp(seconds=time // _NANOSECONDS, nanos=time % _NANOSECONDS),
            )
            advance(1)

    return rows


def refunded(receipts: "pd.DataFrame") -> "pd.DataFrame":
    """Returns the receipts that the demo gives back in whole, with their `refund_time`: a day later, to the second."""
    paid = receipts[receipts["amount_minor"] > 0].sample(frac=REFUND_SHARE, random_state=REFUND_SEED)
    return paid.assign(refund_time=paid["purchase_time"].dt.floor("s") + timedelta(days=1))


async def refund_some(service: Client, business_ids: Mapping[str, str], receipts: "pd.DataFrame") -> tuple[int, int]:
    """Gives back the whole of a seeded 1 % of the receipts, a day after each.

    Returns:
        How many refunds are new, and how many were there already.
    """
    paid = refunded(receipts)
    times = paid["refund_time"].to_numpy().astype("datetime64[s]").astype("int64")
    columns = (paid["partner"].tolist(), paid["basket"].tolist(), paid["amount_minor"].tolist(), times.tolist())
    limit = asyncio.Semaphore(_REFUNDS_AT_ONCE)

    async def refund(partner: str, basket: int, amount_minor: int, time: int) -> bool:
        request = RefundPurchaseRequest(
            business_id=business_ids[partner],
            purchase_external_id=str(basket),
            external_id=f"refund of {basket}",
            amount_minor=amount_minor,
            currency_code=CURRENCY_CODE,
            refund_time=Timestamp(seconds=time),
        )
        async with limit:
            answer = await service.purchases.RefundPurchase(request)
        advance(1)
        return answer.duplicate

    with bar("refunding a seeded 1 % of the receipts", len(paid)) as advance:
        duplicates = await asyncio.gather(*(refund(*row) for row in zip(*columns, strict=True)))
    return len(paid) - sum(duplicates), sum(duplicates)
