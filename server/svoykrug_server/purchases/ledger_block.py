"""Ledger rows on their way to the warehouse: from binary COPY to Arrow columns without a Python object a row.

Every column that goes to the warehouse has a fixed width, so COPY's output is an array of records of one size. numpy
reads it in place; turning big-endian numbers round is all the work there is.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from svoykrug_server.purchases.model import us_of_instant

_SIGNATURE = b"PGCOPY\n\xff\r\n\x00"
_HEADER_BYTES = len(_SIGNATURE) + 8
_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH_US = 946_684_800_000_000
_CONTENT_HASH_BYTES = 16

_FIELDS: tuple[tuple[str, str], ...] = (
    ("entry_id", "V16"),
    ("purchase_id", "V16"),
    ("business_id", "V16"),
    ("member_id", ">i8"),
    ("amount_minor", ">i8"),
    ("purchase_time", ">i8"),
    ("kind", ">i2"),
    ("sensitive", "u1"),
    ("currency", "S3"),
    ("batch_id", ">i8"),
)
_RECORD = np.dtype(
    [("field_count", ">i2"), *(part for name, kind in _FIELDS for part in ((f"{name}_bytes", ">i4"), (name, kind)))]
)


class LedgerBlock:
    """Some ledger rows, as COPY gave them.

    Args:
        copied: The output of `COPY (SELECT ...) TO STDOUT (FORMAT binary)` with the columns entry_id, purchase_id,
            business_id, member_id, amount_minor, purchase_time, kind, sensitive, currency_code, and the outbox
            entry's batch_id.

    Raises:
        ValueError: It is not such an output: a column has another width or is null.
    """

    def __init__(self, copied: bytes) -> None:
        if not (copied.startswith(_SIGNATURE) and copied.endswith(_TRAILER)):
            raise ValueError("not the output of a binary COPY")
        rows = memoryview(copied)[_HEADER_BYTES : -len(_TRAILER)]
        if len(rows) % _RECORD.itemsize:
            raise ValueError("a row has another width than the ledger's columns")
        self._rows: npt.NDArray[Any] = np.frombuffer(rows, _RECORD)
        self.content_hash = hashlib.blake2b(rows, digest_size=_CONTENT_HASH_BYTES).digest()
        for name, kind in _FIELDS:
            if (self._rows[f"{name}_bytes"] != np.dtype(kind).itemsize).any():
                raise ValueError(f"the ledger's column {name} has a value of another width")

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def batch_ids(self) -> list[int]:
        """The batches that the rows are in, each once."""
        return [int(batch_id) for batch_id in np.unique(self._rows["batch_id"])]

    @property
    def sum_minor(self) -> int:
        """The signed sum of the amounts in minor units."""
        return int(self._rows["amount_minor"].sum(dtype=np.int64))

    def to_arrow(self, ingest_times: Mapping[int, datetime]) -> pa.Table:
        """Returns the rows as the warehouse's table takes them.

        Args:
            ingest_times: When each batch was sealed.
        """
        batch_ids = self._rows["batch_id"].astype(np.int64)
        known_ids = np.array(sorted(ingest_times), dtype=np.int64)
        known_times = np.array([us_of_instant(ingest_times[int(id_)]) for id_ in known_ids], dtype=np.int64)
        instant = pa.timestamp("us", "UTC")
        return pa.table(
            {
                "entry_id": self._uuids("entry_id"),
                "purchase_id": self._uuids("purchase_id"),
                "business_id": self._uuids("business_id"),
                "member_id": _column(self._rows["member_id"].astype(np.int64), pa.int64()),
                "kind": _column(self._rows["kind"].astype(np.int8), pa.int8()),
                "amount_minor": _column(self._rows["amount_minor"].astype(np.int64), pa.int64()),
                "currency": self._currencies(),
                "purchase_time": _column(self._rows["purchase_time"].astype(np.int64) + _POSTGRES_EPOCH_US, instant),
                "ingest_time": _column(known_times[np.searchsorted(known_ids, batch_ids)], instant),
                "sensitive": _column(self._rows["sensitive"].astype(np.uint8), pa.uint8()),
                "batch_id": _column(batch_ids, pa.int64()),
            }
        )

    def _uuids(self, name: str) -> pa.Array:
        return _column(np.ascontiguousarray(self._rows[name]), pa.binary(16))

    def _currencies(self) -> pa.Array:
        codes, places = np.unique(self._rows["currency"], return_inverse=True)
        ends = np.arange(len(codes) + 1, dtype=np.int32) * codes.itemsize
        names = pa.StringArray.from_buffers(len(codes), pa.py_buffer(ends), pa.py_buffer(codes.tobytes()))
        return pa.DictionaryArray.from_arrays(_column(places.astype(np.int32), pa.int32()), names)


def _column(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Returns values as an Arrow column of the same width.

    `pa.array` would import pandas first: a second in which the event loop answers nobody.
    """
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values.tobytes())])
