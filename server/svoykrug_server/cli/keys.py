"""`svoykrug keys`: service accounts and signing keys, for the operator of the machine."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svoykrug_server.cli.problems import CommandRefused, settings_of_environment

if TYPE_CHECKING:
    from svoykrug_server.auth.service_accounts import ServiceAccounts
    from svoykrug_server.auth.signing_keys import SigningKeys

keys = typer.Typer(help="Keep service accounts, and the keys that sign access tokens.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Lower case letters, digits and dashes, such as crm-import.")]
Kid = Annotated[str, typer.Argument(help="The key's id, as `svoykrug keys list` shows it.")]
Scopes = Annotated[
    list[str], typer.Option("--scope", help="What it may ask for, such as users.write; repeat for more.")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="Where the new key is written, for its owner's eyes alone.")
]
PublicKey = Annotated[
    Path | None,
    typer.Option("--public-key", help="The PEM file of the public key (P-256, or RSA of 2048 bits) the service has."),
]
AtOnce = Annotated[bool, typer.Option("--at-once", help="Do not wait: for a key that replaces a stolen one.")]


@keys.command("create-service-account")
def create_service_account(name: Name, scope: Scopes, key_file: KeyFile = None, public_key: PublicKey = None) -> None:
    """Make a service account, with a key it has, or with a new pair whose private key stands in the one file alone."""
    if (key_file is None) == (public_key is None):
        raise CommandRefused("name either --key-file, for a new key pair, or --public-key, for one the service has")
    if public_key is not None:
        account_id = asyncio.run(_create_with_public_key(name, frozenset(scope), _pem_in(public_key)))
        typer.echo(f"Service account {name} is {account_id}; it signs with the key of {public_key}.")
    elif key_file is not None:
        _check_place(key_file)
        account_id = asyncio.run(_create_service_account(name, frozenset(scope), key_file))
        typer.echo(f"Service account {name} is {account_id}; its private key is in {key_file}.")


@keys.command("list-service-accounts")
def list_service_accounts() -> None:
    """List the service accounts with their scopes and keys."""
    for line in asyncio.run(_service_account_lines()):
        typer.echo(line)


@keys.command("disable-service-account")
def disable_service_account(name: Name) -> None:
    """Shut a service out: it gets no more tokens, and those it has are dead within a second."""
    asyncio.run(_disable(name))
    typer.echo(f"Service account {name} is disabled.")


@keys.command("list")
def list_signing_keys() -> None:
    """List the keys that sign access tokens, the oldest first."""
    for line in asyncio.run(_signing_key_lines()):
        typer.echo(line)


@keys.command("create")
def create_signing_key() -> None:
    """Make and publish a signing key; activate it once verifiers know it."""
    typer.echo(f"Key {asyncio.run(_create_signing_key())} is published; activate it later.")


@keys.command("activate")
def activate_signing_key(kid: Kid, at_once: AtOnce = False) -> None:
    """Let a published key sign; the one that signed until now retires, its tokens live on."""
    asyncio.run(_activate(kid, at_once))
    typer.echo(f"Key {kid} signs now.")


@keys.command("retire")
def retire_signing_key(kid: Kid) -> None:
    """Take a key out at once: its tokens are refused from now on."""
    asyncio.run(_retire(kid))
    typer.echo(f"Key {kid} is retired.")


def _check_place(key_file: Path) -> None:
    """Refuses a place for a new key before an account is made whose key could not be kept."""
    if key_file.exists():
        raise CommandRefused(f"{key_file} exists already; name a new file for the new key")
    if not os.access(key_file.parent, os.W_OK):
        raise CommandRefused(f"{key_file.parent} is not a folder that can be written")


def _pem_in(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandRefused(f"{file} cannot be read") from error


async def _create_service_account(name: str, scopes: frozenset[str], key_file: Path) -> str:
    from svoykrug_server.auth import key_material  # noqa: PLC0415  each command imports what it needs
    from svoykrug_server.storage.folder import write_atomically  # noqa: PLC0415  as above

    private_key = key_material.generate("ES256")
    async with _service_accounts() as accounts:
        account = await accounts.create(name, scopes, private_key.public_key())
    content = {
        "service_account_id": str(account.service_account_id),
        "key_id": account.key_ids[0],
        "audience": settings_of_environment().token_issuer,
        "private_key_pem": key_material.private_to_pem(private_key).decode(),
    }
    write_atomically(key_file, json.dumps(content, indent=2) + "\n", mode=0o600)
    return str(account.service_account_id)


async def _create_with_public_key(name: str, scopes: frozenset[str], pem: bytes) -> str:
    from svoykrug_server.auth import key_material  # noqa: PLC0415  each command imports what it needs

    try:
        public_key = key_material.public_from_pem(pem)
    except ValueError as error:
        raise CommandRefused(
            "the file does not hold the PEM of a P-256 public key, or an RSA one of 2048 bits"
        ) from error
    async with _service_accounts() as accounts:
        account = await accounts.create(name, scopes, public_key)
    return str(account.service_account_id)


async def _service_account_lines() -> list[str]:
    async with _service_accounts() as accounts:
        listed = await accounts.listed()
    return [
        f"{account.name}  {account.service_account_id}  {'disabled' if account.disable_time else 'enabled'}  "
        f"{','.join(sorted(account.scopes))}  {','.join(account.key_ids)}"
        for account in listed
    ]


async def _disable(name: str) -> None:
    async with _service_accounts() as accounts:
        await accounts.disable(name)


async def _signing_key_lines() -> list[str]:
    async with _signing_keys() as signing:
        listed = await signing.listed()
    return [f"{key.kid}  {key.state.value}  {key.algorithm}  {key.create_time:%Y-%m-%d %H:%M} UTC" for key in listed]


async def _create_signing_key() -> str:
    async with _signing_keys() as signing:
        return await signing.create()


async def _activate(kid: str, at_once: bool) -> None:
    async with _signing_keys() as signing:
        await signing.activate(kid, at_once=at_once)


async def _retire(kid: str) -> None:
    async with _signing_keys() as signing:
        await signing.retire(kid)


@asynccontextmanager
async def _service_accounts() -> AsyncIterator["ServiceAccounts"]:
    from svoykrug_server.auth.composition import service_accounts  # noqa: PLC0415  each command imports what it needs
    from svoykrug_server.kit.clock import SystemClock  # noqa: PLC0415  as above
    from svoykrug_server.storage.stores import open_stores  # noqa: PLC0415  as above

    settings = settings_of_environment()
    async with open_stores(settings) as stores:
        with _refusals():
            yield service_accounts(settings, stores.postgres, SystemClock())


@asynccontextmanager
async def _signing_keys() -> AsyncIterator["SigningKeys"]:
    from svoykrug_server.auth.composition import signing_keys  # noqa: PLC0415  each command imports what it needs
    from svoykrug_server.kit.clock import SystemClock  # noqa: PLC0415  as above
    from svoykrug_server.storage.stores import open_stores  # noqa: PLC0415  as above

    settings = settings_of_environment()
    async with open_stores(settings) as stores:
        with _refusals():
            signing = signing_keys(settings, stores.postgres, stores.secrets, SystemClock())
            await signing.open()
            yield signing


@contextmanager
def _refusals() -> Iterator[None]:
    """Makes what the keys refuse the command's refusal."""
    from svoykrug_server.auth.key_model import KeysRefused  # noqa: PLC0415  each command imports what it needs

    try:
        yield
    except KeysRefused as refusal:
        raise CommandRefused(str(refusal)) from refusal
