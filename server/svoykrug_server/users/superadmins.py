"""The rule that the circle keeps at least one superadmin: without one nobody could ever give roles again."""

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.errors import DomainError, FailedPrecondition
from svoykrug_server.storage.postgres import Transaction
from svoykrug_server.users import repository
from svoykrug_server.users.model import User


async def refusal_to_lose(tx: Transaction, user: User) -> DomainError | None:
    """Returns LAST_SUPERADMIN when a user is the only one who can be superadmin, else None.

    Whoever takes the role from her, bans, deletes or erases her asks this first, in the same transaction: two who ask
    at once about two superadmins wait for each other.
    """
    if user.status is not AccountStatus.ACTIVE or Role.SUPERADMIN not in user.roles:
        return None
    await repository.lock_superadmins(tx)
    return None if await repository.has_other_superadmin(tx, user.id) else FailedPrecondition("LAST_SUPERADMIN")
