"""`svoykrug-cli find-user` and `revoke-sessions`."""

from itertools import islice
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table
from svoykrug.auth.v1.auth_admin_service_pb2 import RevokeUserSessionsRequest
from svoykrug.users.v1.user_pb2 import Role, Tier, User, UserState
from svoykrug.users.v1.users_service_pb2 import GetUserRequest, ListUsersRequest

from svoykrug_client.cli.connection import connection_of
from svoykrug_client.cli.output import PROGRESS, RESULTS, name_of, shown
from svoykrug_client.cli.problems import CommandRefused
from svoykrug_client.sync import Client, items


def find_user(
    context: typer.Context,
    who: Annotated[
        str, typer.Argument(help="A phone or its last 4 digits or more, the beginning of a name, or an id.")
    ],
    most: Annotated[int, typer.Option(min=1, max=500, help="How many to show.")] = 20,
) -> None:
    """Find people by phone, name or id."""
    with connection_of(context).signed_in() as client:
        users = _found(client, who, most)
    if not users:
        raise CommandRefused("nobody is found")
    table = Table("id", "phone", "name", "state", "tier", "roles", box=None)
    for user in users:
        table.add_row(
            user.id,
            user.phone,
            shown(user.display_name),
            name_of(UserState, user.state).lower(),
            name_of(Tier, user.tier).lower(),
            ", ".join(name_of(Role, role).lower() for role in user.roles),
        )
    RESULTS.print(table)


def _found(client: Client, who: str, most: int) -> list[User]:
    if _is_id(who):
        return [client.users.GetUser(GetUserRequest(user_id=who)).user]
    request = ListUsersRequest(page_size=most)
    if any(character.isalpha() for character in who):
        request.name = who
    else:
        request.phone = who
    return list(islice(items(client.users.ListUsers, request, lambda page: page.users), most))


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def revoke_sessions(
    context: typer.Context,
    user_id: Annotated[str, typer.Argument(help="Whose, a UUID: see find-user.")],
    session_id: Annotated[str, typer.Option(help="Only this session, a UUID.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End a person's sessions: she is signed out everywhere within a second."""
    what = "one session" if session_id else "every session"
    if not yes and PROGRESS.input(f"End {what} of {user_id}? Type yes: ") != "yes":
        raise typer.Abort
    with connection_of(context).signed_in() as client:
        request = RevokeUserSessionsRequest(user_id=user_id, session_id=session_id)
        answer = client.auth_admin.RevokeUserSessions(request)
    RESULTS.print(f"sessions ended: {answer.revoked_count}")
