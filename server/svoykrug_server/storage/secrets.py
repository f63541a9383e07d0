"""Named secrets of 32 bytes or more, each with a key id (kid), rotating.

A secret is called `<name>.<kid>`, such as `otp_pepper.1`, and is written in base64, standard or URL-safe. An operator
gives all of them as files in `SVOYKRUG_SECRETS_DIR`, or as one JSON object in `SVOYKRUG_SECRETS`; without either they
are made at the first start and kept in the data folder (0600). The latest kid (by length, then by name) is used for new
things, all of them for old ones. To rotate, add one with a later kid; remove the old one when nothing made with it is
alive any more.
"""

import base64
import binascii
import fcntl
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.folder import write_atomically

SECRET_BYTES = 32
"""How long a generated secret is, and how short a given one may be."""

FIRST_KID = "1"


class SecretName(StrEnum):
    """What a secret is for; one is never used for two things."""

    OTP_PEPPER = "otp_pepper"
    REFRESH_ROTATION = "refresh_rotation"
    PAGE_TOKEN = "page_token"  # noqa: S105  a name, not a secret
    EXTERNAL_ID = "external_id"
    """Keys of it are added and never removed: what was hashed with one is to be found for ever."""
    KEY_ENCRYPTION = "key_encryption"
    WALLET_CODE = "wallet_code"
    NUMBER_BAN = "number_ban"
    """One is kept for as long as bans of numbers last after a later one took over."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret. Its value never prints.

    Attributes:
        kid: Which of the secrets of this name it is; stored beside whatever was made with it.
        value: 32 bytes or more.
    """

    kid: str
    value: bytes = field(repr=False)


class SecretNotFound(Exception):
    """No secret of this name has this kid: it was removed, or never existed."""


class Secrets:
    """Every secret this server has.

    Args:
        by_name: All secrets of each name, the newest last.
    """

    def __init__(self, by_name: Mapping[SecretName, tuple[Secret, ...]]) -> None:
        self._by_name = by_name

    @classmethod
    def load(cls, generated: Path, folder: Path | None = None, inline: Mapping[str, str] | None = None) -> "Secrets":
        """Reads the secrets; makes the missing ones when none were given.

        Args:
            generated: The folder to keep generated ones in; it exists. Not touched when secrets are given.
            folder: The folder an operator keeps them in; nothing is ever written there.
            inline: The secrets themselves, base64 by `<name>.<kid>`; goes before `folder`.

        Raises:
            CannotStart: A given secret is missing, too short, or not base64.
        """
        if inline is None:
            if folder is None:
                _generate_missing(generated)
            inline = _read_folder(folder or generated)
        by_name: dict[SecretName, tuple[Secret, ...]] = {}
        for name in SecretName:
            called = [full for full in inline if full.startswith(f"{name}.")]
            if not called:
                raise CannotStart(f"The secret {name}.{FIRST_KID} is missing.", ExitCode.SETTINGS)
            by_name[name] = tuple(
                _decode(full, inline[full]) for full in sorted(called, key=lambda full: (len(full), full))
            )
        return cls(by_name)

    def current(self, name: SecretName) -> Secret:
        """Returns the secret to make new things with."""
        return self._by_name[name][-1]

    def find(self, name: SecretName, kid: str) -> Secret:
        """Returns the secret that something was made with.

        Raises:
            SecretNotFound: It was removed since.
        """
        for secret in self._by_name[name]:
            if secret.kid == kid:
                return secret
        raise SecretNotFound(f"no secret {name} has the kid {kid}")

    def all(self, name: SecretName) -> tuple[Secret, ...]:
        """Returns every secret of a name, the newest last."""
        return self._by_name[name]


def _generate_missing(folder: Path) -> None:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in SecretName:
            if not any(folder.glob(f"{name}.*")):
                text = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
                write_atomically(folder / f"{name}.{FIRST_KID}", text + "\n", mode=0o600)


def _read_folder(folder: Path) -> dict[str, str]:
    try:
        return {file.name: file.read_text() for name in SecretName for file in folder.glob(f"{name}.*")}
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"The secrets in {folder} cannot be read.", ExitCode.SETTINGS) from error


def _decode(full_name: str, text: str) -> Secret:
    standard = text.strip().replace("-", "+").replace("_", "/")
    try:
        value = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CannotStart(f"The secret {full_name} is not base64.", ExitCode.SETTINGS) from error
    if len(value) < SECRET_BYTES:
        raise CannotStart(
            f"The secret {full_name} has {len(value)} bytes; {SECRET_BYTES} are needed.", ExitCode.SETTINGS
        )
    return Secret(kid=full_name.partition(".")[2], value=value)
