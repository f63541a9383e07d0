"""Whom the commands talk to, and as whom."""

from dataclasses import dataclass
from pathlib import Path

import typer

from svoykrug_client.cli.problems import CommandRefused, NotSignedIn
from svoykrug_client.sync import Client, FileTokenStore


@dataclass(frozen=True, slots=True)
class Connection:
    """The options that every command has.

    Attributes:
        target: Where the service listens.
        insecure: Without TLS.
        root_certificates: A PEM file of whom to trust.
        session: The file of the session.
        language: `ru` or `en`.
    """

    target: str
    insecure: bool
    root_certificates: Path | None
    session: Path
    language: str

    def open(self) -> Client:
        """Returns a client, signed in or not.

        Raises:
            CommandRefused: A file cannot be read.
        """
        try:
            self.session.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            store = FileTokenStore(self.session)
            store.load()
            roots = self.root_certificates.read_bytes() if self.root_certificates else None
        except (OSError, ValueError) as error:
            raise CommandRefused(str(error)) from error
        return Client(
            self.target,
            insecure=self.insecure,
            root_certificates_pem=roots,
            token_store=store,
            language=self.language,
        )

    def signed_in(self) -> Client:
        """Returns the client of whoever signed in.

        Raises:
            NotSignedIn: Nobody did.
            CommandRefused: A file cannot be read.
        """
        if not self.session.exists():
            raise NotSignedIn("nobody is signed in: svoykrug-cli sign-in PHONE")
        return self.open()


def connection_of(context: typer.Context) -> Connection:
    """Returns the options that stood before the command."""
    return context.ensure_object(Connection)
