"""Who may have a role above a member's: the same rule for the RPC and the command line."""

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.errors import DomainError, FailedPrecondition

ELEVATED = frozenset({Role.ADMIN, Role.SUPERADMIN})


def refusal_to_gain(
    status: AccountStatus, *, demo: bool, has_phone: bool, unclaimed_may: bool = False
) -> DomainError | None:
    """Returns USER_STATE, with the state as metadata, for somebody who gets no role above a member's; None for others.

    Args:
        status: Whether she can sign in.
        demo: Whether a demo phone's fixed code opens her account.
        has_phone: Whether she has a number. Nobody can sign in to an account without one, until an admin gives it the
            next: a role that waits there is his who gets that number.
        unclaimed_may: Whether somebody who has not signed in yet may get one. The operator may give her one, since the
            first superadmin has to come from somewhere; an admin may not, since a phone mistyped is a stranger's.
    """
    if demo:
        return FailedPrecondition("USER_STATE", metadata={"state": "demo"})
    if not has_phone:
        return FailedPrecondition("USER_STATE", metadata={"state": "no_phone"})
    if status is AccountStatus.ACTIVE or (unclaimed_may and status is AccountStatus.UNCLAIMED):
        return None
    return FailedPrecondition("USER_STATE", metadata={"state": status.value})
