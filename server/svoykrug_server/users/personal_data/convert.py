"""Protobuf <-> model for exports and erasures."""

from google.protobuf.struct_pb2 import Struct
from svoykrug.users.v1 import user_pb2, users_service_pb2

from svoykrug_server.rpc.context import Locale
from svoykrug_server.rpc.timestamps import timestamp_from
from svoykrug_server.storage.personal_data import Store
from svoykrug_server.users.personal_data.model import (
    ErasedTable,
    Erasure,
    ErasureState,
    ExportedRow,
    ExportedTable,
    ExportPart,
)

STORES = {
    Store.POSTGRES: user_pb2.STORE_POSTGRES,
    Store.CLICKHOUSE: user_pb2.STORE_CLICKHOUSE,
}
ERASURE_STATES = {
    ErasureState.SCHEDULED: user_pb2.ERASURE_STATE_SCHEDULED,
    ErasureState.RUNNING: user_pb2.ERASURE_STATE_RUNNING,
    ErasureState.DONE: user_pb2.ERASURE_STATE_DONE,
    ErasureState.CANCELLED: user_pb2.ERASURE_STATE_CANCELLED,
}


def erasure_to_proto(erasure: Erasure) -> user_pb2.ErasureReceipt:
    """Returns an erasure as its receipt."""
    return user_pb2.ErasureReceipt(
        id=str(erasure.id),
        state=ERASURE_STATES[erasure.state],
        request_time=timestamp_from(erasure.request_time),
        erase_time=timestamp_from(erasure.erase_time),
        done_time=None if erasure.done_time is None else timestamp_from(erasure.done_time),
        tables=map(_erased_table_to_proto, erasure.tables),
    )


def export_part_to_proto(part: ExportPart, locale: Locale) -> users_service_pb2.ExportMeResponse:
    """Returns a part of an export, its texts in a language."""
    return users_service_pb2.ExportMeResponse(
        rows=map(_row_to_proto, part.rows), tables=[_exported_table_to_proto(table, locale) for table in part.tables]
    )


def _erased_table_to_proto(table: ErasedTable) -> user_pb2.ErasedTable:
    return user_pb2.ErasedTable(
        store=STORES[table.store],
        table=table.table,
        deleted_count=table.deleted_count,
        anonymized_count=table.anonymized_count,
    )


def _row_to_proto(row: ExportedRow) -> users_service_pb2.ExportedRow:
    columns = Struct()
    columns.update(dict(row.columns))
    return users_service_pb2.ExportedRow(store=STORES[row.store], table=row.table, columns=columns)


def _exported_table_to_proto(table: ExportedTable, locale: Locale) -> users_service_pb2.ExportedTable:
    return users_service_pb2.ExportedTable(
        store=STORES[table.store],
        table=table.table,
        purpose=table.purpose.ru if locale == "ru" else table.purpose.en,
        row_count=table.row_count,
    )
