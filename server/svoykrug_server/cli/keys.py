"""`svoykrug keys`: service accounts and signing keys, for the operator of the machine."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import uuid4

import typer

from svoykrug_server.cli.problems import CommandRefused, settings_of_environment

if TYPE_CHECKING:
    from svoykrug_server.auth.key_material import PrivateKey
    from svoykrug_server.auth.key_model import Algorithm, ServiceAccount, SigningKeyView
    from svoykrug_server.auth.key_rotation import KeyRotation
    from svoykrug_server.auth.service_accounts import ServiceAccounts

keys = typer.Typer(help="Keep service accounts, and the keys that sign access tokens.", no_args_is_help=True)

# An id is base64url: one in sixty-four begins with a dash, and is an id all the same.
_KID_MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True}
_ONE_KEY = "name either --key-file, for a new key pair, or --public-key, for one the service has"

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
SigningAlgorithm = Annotated[
    Literal["ES256", "RS256"] | None, typer.Option("--algorithm", help="How it signs; the server's setting by default.")
]
AtOnce = Annotated[bool, typer.Option("--at-once", help="Do not wait: for a key that replaces a stolen one.")]
RejectTokens = Annotated[
    bool, typer.Option("--reject-tokens", help="Refuse the tokens it signed from now on: for a key that leaked.")
]


@keys.command("create-service-account")
def create_service_account(name: Name, scope: Scopes, key_file: KeyFile = None, public_key: PublicKey = None) -> None:
    """Make a service account, with a key it has, or with a new pair whose private key stands in the one file alone."""
    if public_key is not None:
        _check_one_key(key_file)
        account_id = asyncio.run(_create_with_public_key(name, tuple(scope), _pem_in(public_key)))
        typer.echo(f"Service account {name} is {account_id}; it signs with the key of {public_key}.")
    else:
        place = _place_of(key_file)
        account_id = asyncio.run(_create_service_account(name, tuple(scope), place))
        typer.echo(f"Service account {name} is {account_id}; its private key is in {place}.")


@keys.command("list-service-accounts")
def list_service_accounts() -> None:
    """List the service accounts with their scopes and keys."""
    for line in asyncio.run(_service_account_lines()):
        typer.echo(line)


@keys.command("set-scopes")
def set_scopes(name: Name, scope: Scopes) -> None:
    """Replace what a service may ask for; the tokens it has are dead within a second, it gets new ones."""
    asyncio.run(_set_scopes(name, tuple(scope)))
    typer.echo(f"Service account {name} may {', '.join(sorted(scope))}.")


@keys.command("add-key")
def add_key(name: Name, key_file: KeyFile = None, public_key: PublicKey = None) -> None:
    """Give a service a further key, so that it can change keys without a pause: add, use, remove the old one."""
    if public_key is not None:
        _check_one_key(key_file)
        kid = asyncio.run(_add_key(name, _pem_in(public_key)))
        typer.echo(f"Service account {name} signs with key {kid} too.")
    else:
        place = _place_of(key_file)
        kid = asyncio.run(_add_new_key(name, place))
        typer.echo(f"Service account {name} signs with key {kid} too; its private key is in {place}.")


@keys.command("remove-key", context_settings=_KID_MAY_BEGIN_WITH_A_DASH)
def remove_key(name: Name, kid: Kid) -> None:
    """Take a key from a service; the tokens it has are dead within a second, it gets new ones with its other keys."""
    asyncio.run(_remove_key(name, kid))
    typer.echo(f"Service account {name} signs with key {kid} no more.")


@keys.command("disable-service-account")
def disable_service_account(name: Name) -> None:
    """Shut a service out: it gets no more tokens, and those it has are dead within a second."""
    asyncio.run(_disable(name))
    typer.echo(f"Service account {name} is disabled.")


@keys.command("list")
def list_signing_keys() -> None:
    """List the keys that sign access tokens, the newest first; retired ones until their tokens are dead."""
    for line in asyncio.run(_signing_key_lines()):
        typer.echo(line)


@keys.command("create")
def create_signing_key(algorithm: SigningAlgorithm = None) -> None:
    """Make and publish a signing key; activate it once verifiers know it."""
    key = asyncio.run(_create_signing_key(algorithm))
    typer.echo(f"Key {key.kid} is published; activate it from {key.ready_time:%Y-%m-%d %H:%M:%S} UTC.")


@keys.command("activate", context_settings=_KID_MAY_BEGIN_WITH_A_DASH)
def activate_signing_key(kid: Kid, at_once: AtOnce = False) -> None:
    """Let a published key sign; the one that signed until now retires, its tokens live on."""
    asyncio.run(_activate(kid, at_once))
    typer.echo(f"Key {kid} signs now.")


@keys.command("retire", context_settings=_KID_MAY_BEGIN_WITH_A_DASH)
def retire_signing_key(kid: Kid, reject_tokens: RejectTokens = False) -> None:
    """Retire a key that waits; with --reject-tokens refuse the tokens of a retired one from now on."""
    key = asyncio.run(_retire(kid, reject_tokens))
    typer.echo(f"Key {kid} is retired; its tokens are taken until {key.verify_until_time:%Y-%m-%d %H:%M:%S} UTC.")


def _check_one_key(key_file: Path | None) -> None:
    if key_file is not None:
        raise CommandRefused(_ONE_KEY)


def _place_of(key_file: Path | None) -> Path:
    """Returns the place for a new key, checked before anything is made whose key could not be kept."""
    if key_file is None:
        raise CommandRefused(_ONE_KEY)
    if key_file.exists():
        raise CommandRefused(f"{key_file} exists already; name a new file for the new key")
    if not os.access(key_file.parent, os.W_OK):
        raise CommandRefused(f"{key_file.parent} is not a folder that can be written")
    return key_file


def _pem_in(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandRefused(f"{file} cannot be read") from error


async def _create_service_account(name: str, scopes: tuple[str, ...], key_file: Path) -> str:
    from svoykrug_server.auth import key_material  # noqa: PLC0415  each command imports what it needs
    from svoykrug_server.auth.key_model import NewServiceAccount  # noqa: PLC0415  as above

    private_key = key_material.generate("ES256")
    new = NewServiceAccount(name, scopes, key_material.public_to_pem(private_key.public_key()))
    async with _service_accounts() as accounts:
        account = await accounts.create(new, uuid4(), None)
    _write_key(key_file, account, private_key)
    return str(account.service_account_id)


async def _create_with_public_key(name: str, scopes: tuple[str, ...], pem: bytes) -> str:
    from svoykrug_server.auth.key_model import NewServiceAccount  # noqa: PLC0415  each command imports what it needs

    async with _service_accounts() as accounts:
        account = await accounts.create(NewServiceAccount(name, scopes, pem), uuid4(), None)
    return str(account.service_account_id)


async def _add_new_key(name: str, key_file: Path) -> str:
    from svoykrug_server.auth import key_material  # noqa: PLC0415  each command imports what it needs

    private_key = key_material.generate("ES256")
    async with _service_accounts() as accounts:
        account_id = (await accounts.named(name)).service_account_id
        pem = key_material.public_to_pem(private_key.public_key())
        account, kid = await accounts.add_key(account_id, pem, None)
    _write_key(key_file, account, private_key)
    return kid


async def _add_key(name: str, pem: bytes) -> str:
    async with _service_accounts() as accounts:
        _, kid = await accounts.add_key((await accounts.named(name)).service_account_id, pem, None)
    return kid


async def _remove_key(name: str, kid: str) -> None:
    async with _service_accounts() as accounts:
        account = await accounts.named(name)
        if kid not in account.key_ids:
            raise CommandRefused(f"{name} has no key {kid}")
        await accounts.remove_key(account.service_account_id, kid, None)


async def _set_scopes(name: str, scopes: tuple[str, ...]) -> None:
    async with _service_accounts() as accounts:
        await accounts.set_scopes((await accounts.named(name)).service_account_id, scopes, None)


async def _service_account_lines() -> list[str]:
    listed: list[ServiceAccount] = []
    async with _service_accounts() as accounts:
        page = await accounts.page(0, "")
        listed += page.accounts
        while page.next_page_token:
            page = await accounts.page(0, page.next_page_token)
            listed += page.accounts
    return [
        f"{account.name}  {account.service_account_id}  {'disabled' if account.disable_time else 'enabled'}  "
        f"{','.join(sorted(account.scopes))}  {','.join(account.key_ids)}"
        for account in listed
    ]


async def _disable(name: str) -> None:
    async with _service_accounts() as accounts:
        account = await accounts.named(name)
        if account.disable_time is not None:
            raise CommandRefused(f"the service account {name} is disabled already")
        await accounts.disable(account.service_account_id, None)


async def _signing_key_lines() -> list[str]:
    async with _key_rotation() as rotation:
        listed = await rotation.listed()
    return [f"{key.kid}  {key.state.value}  {key.algorithm}  {key.create_time:%Y-%m-%d %H:%M} UTC" for key in listed]


async def _create_signing_key(algorithm: "Algorithm | None") -> "SigningKeyView":
    async with _key_rotation() as rotation:
        return await rotation.create(algorithm, uuid4(), None)


async def _activate(kid: str, at_once: bool) -> None:
    async with _key_rotation() as rotation:
        await rotation.activate(kid, None, skip_wait=at_once)


async def _retire(kid: str, reject_tokens: bool) -> "SigningKeyView":
    async with _key_rotation() as rotation:
        return await rotation.retire(kid, None, reject_tokens=reject_tokens)


def _write_key(key_file: Path, account: "ServiceAccount", private_key: "PrivateKey") -> None:
    """Writes the file that the client's `service_client` reads, for its owner's eyes alone."""
    from svoykrug_server.auth import key_material  # noqa: PLC0415  each command imports what it needs
    from svoykrug_server.storage.folder import write_atomically  # noqa: PLC0415  as above

    content = {
        "service_account_id": str(account.service_account_id),
        "key_id": key_material.thumbprint(private_key.public_key()),
        "audience": settings_of_environment().token_issuer,
        "private_key_pem": key_material.private_to_pem(private_key).decode(),
    }
    write_atomically(key_file, json.dumps(content, indent=2) + "\n", mode=0o600)


@asynccontextmanager
async def _service_accounts() -> AsyncIterator["ServiceAccounts"]:
    from svoykrug_server.auth.composition import service_accounts  # noqa: PLC0415  as above
    from svoykrug_server.kit.clock import SystemClock  # noqa: PLC0415  as above
    from svoykrug_server.parts import service_scopes  # noqa: PLC0415  each command imports what it needs
    from svoykrug_server.storage.stores import open_stores  # noqa: PLC0415  as above

    settings = settings_of_environment()
    async with open_stores(settings) as stores:
        yield service_accounts(settings, stores.postgres, stores.secrets, SystemClock(), service_scopes())


@asynccontextmanager
async def _key_rotation() -> AsyncIterator["KeyRotation"]:
    from svoykrug_server.auth.composition import key_rotation  # noqa: PLC0415  each command imports what it needs
    from svoykrug_server.kit.clock import SystemClock  # noqa: PLC0415  as above
    from svoykrug_server.storage.stores import open_stores  # noqa: PLC0415  as above

    settings = settings_of_environment()
    async with open_stores(settings) as stores:
        rotation = key_rotation(settings, stores.postgres, stores.secrets, SystemClock())
        await rotation.open()
        yield rotation
