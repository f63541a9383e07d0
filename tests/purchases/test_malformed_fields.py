"""Fields that no well-made client sends: they are refused by name, and never reach a store."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.auth.v1.auth_service_pb2 import CompleteSignInRequest
from svoykrug.purchases.v1.purchases_service_pb2 import NewPurchase, RefundPurchaseRequest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.purchases.convert import rows_from_proto
from svoykrug_server.purchases.row_rules import judge
from svoykrug_server.rpc.validation import validate
from tests.purchases.circle import NOON, RULES

YESTERDAY_SECONDS = int(datetime(2026, 4, 30, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000, 2_147_483_647])
def test_a_time_with_impossible_nanoseconds_is_out_of_range(nanos: int) -> None:
    purchase = NewPurchase(
        phone="+79990000001",
        external_id="receipt",
        purchase_time=Timestamp(seconds=YESTERDAY_SECONDS, nanos=nanos),
    )
    (rejection,) = judge(rows_from_proto([purchase]), RULES, ManualClock(NOON)).rejections
    assert (rejection.reason, rejection.field) == ("PURCHASE_TIME_OUT_OF_RANGE", "purchase_time")


def test_the_last_nanosecond_of_a_second_is_a_time() -> None:
    time = Timestamp(seconds=YESTERDAY_SECONDS, nanos=999_999_999)
    purchase = NewPurchase(phone="+79990000001", external_id="receipt", purchase_time=time)
    assert not judge(rows_from_proto([purchase]), RULES, ManualClock(NOON)).rejections


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (RefundPurchaseRequest(purchase_external_id="\0"), "purchase_external_id"),
        (RefundPurchaseRequest(purchase_id="no id", external_id="\0"), "external_id"),
        (CompleteSignInRequest(device_name="\0"), "device_name"),
    ],
)
def test_a_control_character_is_refused_by_the_field_it_stands_in(
    request_: RefundPurchaseRequest | CompleteSignInRequest, field: str
) -> None:
    with pytest.raises(InvalidFields) as caught:
        validate(request_)
    assert field in {violation.path for violation in caught.value.violations}
