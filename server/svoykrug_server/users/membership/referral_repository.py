"""SQL about who brought whom."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from svoykrug_server.storage.postgres import ReadConnection
from svoykrug_server.users.membership.model import Referral

# Whom did this user bring before a place in the list, the newest first? (not those who deleted their account)
_LIST = """
    SELECT id, display_name, join_time FROM users
    WHERE referrer_id = $1 AND status <> 'deleted' AND (join_time, id) < ($2, $3)
    ORDER BY join_time DESC, id DESC LIMIT $4
"""

# How many did this user bring?
_COUNT = "SELECT count(*) FROM users WHERE referrer_id = $1 AND status <> 'deleted'"


async def brought_by(
    connection: ReadConnection, user_id: UUID, before: tuple[datetime, UUID], limit: int
) -> Sequence[Referral]:
    """Returns whom a user brought before a place in the list, the newest first."""
    return [Referral(*row) for row in await connection.fetch(_LIST, user_id, *before, limit)]


async def count_brought_by(connection: ReadConnection, user_id: UUID) -> int:
    """Returns how many members a user brought."""
    count: int = await connection.fetchval(_COUNT, user_id)
    return count
