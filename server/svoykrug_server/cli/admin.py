"""`svoykrug admin`: what only the operator of the machine may do with people."""

import asyncio
from typing import Annotated

import typer

from svoykrug_server.cli.problems import settings_of_environment
from svoykrug_server.config import Settings
from svoykrug_server.kit.caller import Role

admin = typer.Typer(help="Give a person a role; the way the first superadmin is made.", no_args_is_help=True)


@admin.callback()
def people() -> None:
    """Give a person a role; the way the first superadmin is made."""


@admin.command()
def grant(
    phone: Annotated[str, typer.Argument(help="In any spelling, such as +79991234567.")],
    role: Annotated[Role, typer.Argument(help="admin or superadmin.")],
) -> None:
    """Give whoever has the phone a role in the circle; works beside a running server, and twice is the same as once."""
    typer.echo(asyncio.run(_grant(settings_of_environment(), phone, role)))


async def _grant(settings: Settings, phone: str, role: Role) -> str:
    from svoykrug_server.auth.composition import auth_options  # noqa: PLC0415  each command imports what it needs
    from svoykrug_server.auth.session_ends import SessionEnds  # noqa: PLC0415  as above
    from svoykrug_server.kit.clock import SystemClock  # noqa: PLC0415  as above
    from svoykrug_server.storage.stores import open_stores  # noqa: PLC0415  as above
    from svoykrug_server.users.commands import GrantRole  # noqa: PLC0415  as above

    async with open_stores(settings) as stores:
        ends = SessionEnds(auth_options(settings).session, SystemClock())
        done = await GrantRole(stores.postgres, SystemClock(), ends)(phone, role)
    if not done.changed:
        return f"User {done.user_id} is {role.value} already."
    who = "a new user, who claims it by signing in with that phone" if done.created else "at once; her tokens refresh"
    return f"User {done.user_id} is {role.value} now: {who}."
