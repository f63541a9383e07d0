from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.rpc.timestamps import timestamp_from


@given(st.datetimes(timezones=st.timezones()))
def test_an_instant_is_written_as_protobufs_own_slower_way_writes_it(instant: datetime) -> None:
    expected = Timestamp()
    try:
        expected.FromDatetime(instant.astimezone(UTC))
    except (OverflowError, ValueError):
        return
    assert timestamp_from(instant) == expected
