"""What purchases keep about a person, and what becomes of it when she is erased."""

from svoykrug_server.purchases.erasure_repository import HER_ENTRIES, LedgerErasure
from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.storage.personal_data import (
    Declared,
    Delete,
    Impersonal,
    PersonalRows,
    Purpose,
    Rewrite,
    Store,
    WarehouseRows,
)

_IMPERSONAL = (
    Impersonal(Store.POSTGRES, "csv_imports", "counts and forms of uploaded files"),
    Impersonal(Store.POSTGRES, "import_reports", "counts of refused rows"),
    Impersonal(
        Store.POSTGRES,
        "csv_chunks",
        "files of businesses as they came, read by the import alone; gone once written, and after 7 days",
    ),
    Impersonal(Store.POSTGRES, "outbox", "counts of what is on its way to the warehouse"),
    Impersonal(Store.POSTGRES, "sealed_batches", "counts and hashes of batches"),
    Impersonal(Store.POSTGRES, "relay_state", "how far the relay is"),
    Impersonal(Store.POSTGRES, "proven_days", "totals of businesses and days"),
    Impersonal(Store.CLICKHOUSE, "kept_entries", "ids of entries, while what is older is let go; else empty"),
)


def declared(hashes: ExternalIdHashes) -> Declared:
    """Returns what purchases keep.

    The ledger comes first: its lock must be had before any row that a purchase's transaction locks after it.

    Args:
        hashes: What stands for an external id once nobody is behind it.
    """
    ledger = PersonalRows(
        "purchase_entries",
        Purpose("Your purchases and refunds", "Ваши покупки и возвраты"),
        HER_ENTRIES,
        Rewrite(LedgerErasure(hashes).erase),
        secrets=frozenset({"external_id_hash"}),
    )
    rejected = PersonalRows(
        "rejected_rows",
        Purpose("Purchases of yours that wait for somebody to match them", "Покупки, ждущие сопоставления"),
        "kept.user_id = :user_id OR kept.phone = :phone",
        Delete(),
    )
    csv_rows = PersonalRows(
        "csv_rows",
        Purpose("Rows of uploaded files that name your phone", "Строки загруженных файлов с вашим телефоном"),
        "kept.phone = :phone",
        Delete(),
    )
    refused = PersonalRows(
        "import_rejections",
        Purpose("Rows of imports that name you and were refused", "Отклонённые строки загрузок, где указаны вы"),
        "kept.user_id = :user_id OR kept.phone = :phone",
        Delete(),
    )
    shipped = WarehouseRows(
        "purchases", Purpose("Your purchases, for analytics", "Ваши покупки, для аналитики"), "entry_id"
    )
    return Declared(personal=(ledger, rejected, refused, csv_rows), warehouse=(shipped,), impersonal=_IMPERSONAL)
