"""`svoykrug-cli sign-in` and `sign-out`."""

from typing import Annotated

import typer
from svoykrug.auth.v1.auth_service_pb2 import Challenge
from svoykrug.users.v1.user_pb2 import CONSENT_KIND_PERSONAL_DATA, CONSENT_KIND_TERMS, ConsentGrant

from svoykrug_client import errors
from svoykrug_client.cli.connection import connection_of
from svoykrug_client.cli.output import PROGRESS
from svoykrug_client.cli.problems import CommandRefused
from svoykrug_client.sync import Client


def sign_in(
    context: typer.Context,
    phone: Annotated[str, typer.Argument(help="In any spelling, such as +79991234567.")],
    accept_terms: Annotated[
        str, typer.Option(help="At your first sign-in: the version of the terms and of the data policy you agree to.")
    ] = "",
) -> None:
    """Sign in with the code that comes by SMS; the session stays in a file that only you may read."""
    kinds = (CONSENT_KIND_TERMS, CONSENT_KIND_PERSONAL_DATA) if accept_terms else ()
    consents = [ConsentGrant(kind=kind, version=accept_terms, granted=True) for kind in kinds]
    with connection_of(context).open() as client:
        challenge = client.start_sign_in(phone)
        while not _is_right(client, challenge, PROGRESS.input("Code: "), consents):
            typer.echo("That is not the code.", err=True)
    typer.echo(f"Signed in; the session is kept in {connection_of(context).session}.", err=True)


def _is_right(client: Client, challenge: Challenge, code: str, consents: list[ConsentGrant]) -> bool:
    try:
        client.complete_sign_in(challenge, code.strip(), consents=consents, device_name="svoykrug-cli")
    except errors.CodeWrong:
        return False
    except errors.ConsentRequired as refusal:
        what = "agree to the terms and the data policy with --accept-terms VERSION, such as --accept-terms 2026-11"
        raise CommandRefused(f"this phone signs in for the first time: {what}") from refusal
    return True


def sign_out(context: typer.Context) -> None:
    """End the session on the server, and forget it here."""
    with connection_of(context).signed_in() as client:
        client.sign_out()
    typer.echo("Signed out.", err=True)
