import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from svoykrug_server.auth import key_material
from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.repository import service_accounts
from svoykrug_server.storage.postgres import Postgres
from tests.conftest import isolated_settings


class Operator:
    """Somebody at the server's command line."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
        self._environment |= {"SVOYKRUG_DATABASE_URL": url, "SVOYKRUG_DATA_DIR": str(data_dir)}

    async def runs(self, *arguments: str) -> tuple[int, str]:
        """Runs `svoykrug keys` as a process and returns its exit code and what it said."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "svoykrug_server", "keys", *arguments),
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), timeout=60)
        assert process.returncode is not None
        return process.returncode, output.decode()


def files_in(folder: Path) -> list[Path]:
    """Returns what is in a folder."""
    return list(folder.iterdir())


@pytest.fixture
def operator(postgres_url: str, data_dir: Path) -> Operator:
    """An operator of a server on a fresh Postgres."""
    return Operator(postgres_url, data_dir)


async def test_a_service_account_is_made_with_a_key_that_only_its_owner_can_read_and_that_signs_it_in(
    operator: Operator, postgres: Postgres, tmp_path: Path
) -> None:
    file = tmp_path / "crm.json"
    code, said = await operator.runs("create-service-account", "crm", "--scope", "users.write", "--key-file", str(file))
    assert code == 0, said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    assert "PRIVATE KEY" not in said
    async with postgres.read() as connection:
        account = await service_accounts.named(connection, "crm")
    assert account is not None
    assert (str(account.service_account_id), account.key_ids) == (kept["service_account_id"], (kept["key_id"],))
    private_key = serialization.load_pem_private_key(kept["private_key_pem"].encode(), None)
    assert isinstance(private_key, key_material.PrivateKey)
    assert key_material.thumbprint(private_key.public_key()) == kept["key_id"]
    assert jwt.encode({"jti": str(uuid4())}, private_key, algorithm="ES256")
    assert kept["audience"] == auth_options(isolated_settings()).party.issuer


async def test_a_service_account_is_made_with_the_public_key_that_a_service_has(
    operator: Operator, tmp_path: Path
) -> None:
    key, file = key_material.generate("RS256").public_key(), tmp_path / "public.pem"
    file.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    code, said = await operator.runs(
        "create-service-account", "crm", "--scope", "users.write", "--public-key", str(file)
    )
    assert code == 0, said
    _, listed = await operator.runs("list-service-accounts")
    assert key_material.thumbprint(key) in listed
    assert "enabled" in listed


async def test_a_service_account_is_disabled_once(operator: Operator, tmp_path: Path) -> None:
    arguments = ("create-service-account", "crm", "--scope", "users.write", "--key-file")
    assert (await operator.runs(*arguments, str(tmp_path / "one.json")))[0] == 0
    assert (await operator.runs("disable-service-account", "crm"))[0] == 0
    code, said = await operator.runs("disable-service-account", "crm")
    assert (code, said) == (1, "svoykrug: the service account crm is disabled already\n")


async def test_a_service_changes_its_key_without_a_pause(operator: Operator, tmp_path: Path) -> None:
    arguments = ("create-service-account", "crm", "--scope", "users.write", "--key-file")
    assert (await operator.runs(*arguments, str(tmp_path / "old.json")))[0] == 0
    code, said = await operator.runs("add-key", "crm", "--key-file", str(tmp_path / "new.json"))
    assert code == 0, said
    old, new = [json.loads((tmp_path / name).read_text()) for name in ("old.json", "new.json")]
    assert old["service_account_id"] == new["service_account_id"]
    code, said = await operator.runs("remove-key", "crm", old["key_id"])
    assert code == 0, said
    _, listed = await operator.runs("list-service-accounts")
    assert new["key_id"] in listed
    assert old["key_id"] not in listed
    code, said = await operator.runs("remove-key", "crm", old["key_id"])
    assert (code, said) == (1, f"svoykrug: crm has no key {old['key_id']}\n")


async def test_a_service_gets_other_scopes_and_an_unknown_one_is_refused_with_those_there_are(
    operator: Operator, tmp_path: Path
) -> None:
    arguments = ("create-service-account", "crm", "--scope", "users.write", "--key-file")
    assert (await operator.runs(*arguments, str(tmp_path / "key.json")))[0] == 0
    code, said = await operator.runs("set-scopes", "crm", "--scope", "users.read", "--scope", "users.read_phone")
    assert (code, said) == (0, "Service account crm may users.read, users.read_phone.\n")
    assert "users.read,users.read_phone" in (await operator.runs("list-service-accounts"))[1]
    code, said = await operator.runs("set-scopes", "crm", "--scope", "root.all")
    assert code == 1
    assert "scopes[0] must be one of analytics.read, " in said


async def test_a_signing_key_is_made_waits_signs_and_the_tokens_of_the_one_before_are_rejected(
    operator: Operator,
) -> None:
    code, said = await operator.runs("create", "--algorithm", "RS256")
    assert code == 0, said
    new = said.split()[1]
    code, said = await operator.runs("activate", new)
    assert code == 1
    assert "ready_time" in said
    assert (await operator.runs("activate", new, "--at-once"))[0] == 0
    _, listed = await operator.runs("list")
    states = {line.split()[0]: line.split()[1:3] for line in listed.splitlines()}
    assert states.pop(new) == ["active", "RS256"]
    ((old, state),) = states.items()
    assert state == ["retired", "ES256"]
    code, said = await operator.runs("retire", old, "--reject-tokens")
    assert code == 0, said
    assert old not in (await operator.runs("list"))[1]
    code, said = await operator.runs("retire", new)
    assert (code, said) == (1, "svoykrug: Refused: SIGNING_KEY_STATE (state active)\n")


async def test_the_id_of_a_key_may_begin_with_a_dash(operator: Operator) -> None:
    for kid in ("-Qf2", "--reject-token"):
        for command in (("activate", kid), ("retire", kid, "--reject-tokens"), ("remove-key", "crm", kid)):
            code, said = await operator.runs(*command)
            assert code == 1, said
            assert "Usage" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scope", "users.write"), "--key-file"),
        (("--scope", "nonsense", "--key-file", "{folder}/key.json"), "scope"),
        (("--scope", "users.write", "--key-file", "{folder}/missing/key.json"), "folder"),
        (("--scope", "users.write", "--public-key", "{folder}/missing.pem"), "cannot be read"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line(
    operator: Operator, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    filled = [argument.format(folder=tmp_path) for argument in arguments]
    code, output = await operator.runs("create-service-account", "crm", *filled)
    assert code == 1
    assert said in output
    assert len(output.splitlines()) == 1
    assert not files_in(tmp_path)
