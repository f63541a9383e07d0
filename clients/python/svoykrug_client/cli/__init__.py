"""The command line for operators: `svoykrug-cli`; it needs the extra `cli`.

What a person asked for and the server refused is one line on standard error and an exit code, never a traceback.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from svoykrug_client.cli.analytics import at_risk
from svoykrug_client.cli.connection import Connection
from svoykrug_client.cli.people import find_user, revoke_sessions
from svoykrug_client.cli.problems import explained
from svoykrug_client.cli.purchases import import_csv
from svoykrug_client.cli.signing_in import sign_in, sign_out

SESSION_FILE = Path(typer.get_app_dir("svoykrug-cli")) / "session.json"

app = typer.Typer(
    help="What an operator of Svoy Krug does daily.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def connect(
    context: typer.Context,
    target: Annotated[
        str, typer.Option(envvar="SVOYKRUG_CLI_TARGET", help="Where the service listens.")
    ] = "127.0.0.1:50051",
    insecure: Annotated[
        bool, typer.Option("--insecure", envvar="SVOYKRUG_CLI_INSECURE", help="Without TLS: a service on this machine.")
    ] = False,
    root_certificates: Annotated[
        Path | None, typer.Option(help="PEM file of whom to trust, when not the system's authorities.")
    ] = None,
    session: Annotated[
        Path, typer.Option(envvar="SVOYKRUG_CLI_SESSION", help="File of the session, for its owner's eyes alone.")
    ] = SESSION_FILE,
    language: Annotated[Literal["ru", "en"], typer.Option(help="The language of the server's texts.")] = "ru",
) -> None:
    """What an operator of Svoy Krug does daily."""
    context.obj = Connection(target, insecure, root_certificates, session, language)


for command in (sign_in, sign_out, find_user, revoke_sessions, import_csv, at_risk):
    app.command()(command)


def main() -> None:
    """Runs the command that the arguments name, and ends the process with its exit code."""
    with explained():
        app()
