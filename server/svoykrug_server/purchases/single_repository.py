"""SQL that writes down one purchase, in one statement where nothing stands against it."""

from datetime import datetime
from uuid import UUID

from svoykrug_server.kit.ids import uuid7
from svoykrug_server.purchases.external_ids import ExternalIdHashes
from svoykrug_server.purchases.model import Purchase, PurchaseRows, instant_of_us
from svoykrug_server.purchases.ports import LedgerFollower
from svoykrug_server.purchases.row_rules import buyer_columns
from svoykrug_server.storage.postgres import Transaction

# Who has bought here, where the business sells and knows neither this receipt nor one of its hashes? (then it is
# written with its outbox entry, and does not wait for its member any more)
_WRITE = """
    WITH buyer AS MATERIALIZED (
        SELECT user_id, member_id FROM member_links
        WHERE user_id = coalesce(
            (SELECT id FROM users WHERE phone = CAST($3 AS text)), CAST($4 AS uuid)
        )
    ), numbered AS MATERIALIZED (
        SELECT nextval('outbox_number') AS outbox_id, business.sensitive, buyer.member_id
        FROM businesses AS business CROSS JOIN buyer
        WHERE business.id = CAST($1 AS uuid) AND business.status <> 'archived' AND NOT EXISTS (
            SELECT FROM purchase_entries
            WHERE business_id = CAST($1 AS uuid) AND external_id_hash = ANY(CAST($5 AS bytea[]))
        )
    ), written AS (
        INSERT INTO purchase_entries (
            entry_id, purchase_id, business_id, member_id, outbox_id, amount_minor, purchase_time, kind, sensitive,
            currency_code, external_id
        )
        SELECT CAST($6 AS uuid), CAST($6 AS uuid), CAST($1 AS uuid), member_id, outbox_id,
            CAST($7 AS bigint), CAST($8 AS timestamptz), 1, sensitive,
            CAST($9 AS text), CAST($2 AS text)
        FROM numbered
        ON CONFLICT (business_id, external_id) DO NOTHING
        RETURNING outbox_id
    ), appended AS (
        INSERT INTO outbox (outbox_id, business_id, entry_count, record_time)
        SELECT outbox_id, CAST($1 AS uuid), 1, CAST($10 AS timestamptz) FROM written
        RETURNING outbox_id, entry_count
    ), followed AS (
        {follower}
    ), not_waiting AS (
        DELETE FROM rejected_rows
        WHERE business_id = CAST($1 AS uuid) AND external_id = CAST($2 AS text)
            AND EXISTS (SELECT FROM written)
    )
    SELECT (SELECT id FROM users WHERE id = buyer.user_id AND status <> 'deleted') AS user_id FROM written, buyer
"""


class SingleRepository:
    """Writes single purchases.

    Args:
        hashes: What stands for the external ids of members who have been erased.
        follower: What is done with each outbox entry.
        currency_code: The circle's currency, ISO 4217.
    """

    def __init__(self, hashes: ExternalIdHashes, follower: LedgerFollower, currency_code: str) -> None:
        self._hashes = hashes
        self._write = _WRITE.format(follower=follower)
        self._currency_code = currency_code

    async def write(self, tx: Transaction, business_id: UUID, rows: PurchaseRows, now: datetime) -> Purchase | None:
        """Writes the only one of some rows, which keeps its own rules, and returns it as it can be read.

        Returns:
            None, with nothing written, unless the business sells, the member is known, and the external id is new.
        """
        [user_id], [phone] = buyer_columns(rows)
        entry_id, external_id = uuid7(now), rows.external_ids[0]
        amount_minor, purchase_time = rows.amounts_minor[0], instant_of_us(rows.times_us[0])
        written = await tx.fetchrow(
            self._write,
            business_id,
            external_id,
            phone,
            user_id,
            list(self._hashes.possible(business_id, external_id)),
            entry_id,
            amount_minor,
            purchase_time,
            self._currency_code,
            now,
        )
        if written is None:
            return None
        return Purchase(
            id=entry_id,
            business_id=business_id,
            user_id=written["user_id"],
            external_id=external_id,
            amount_minor=amount_minor,
            currency_code=self._currency_code,
            refunded_minor=0,
            purchase_time=purchase_time,
            create_time=now,
        )
