"""The Python client's people on the whole server: a member, the first admin, a service account."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

from svoykrug.auth.v1.auth_service_pb2 import CompleteSignInResponse

from svoykrug_client import Client
from svoykrug_server.auth import key_material
from svoykrug_server.auth.composition import auth_options, service_accounts
from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.auth.key_model import NewServiceAccount
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.parts import service_scopes
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.commands import GrantRole
from tests.auth.world import random_secrets
from tests.conftest import isolated_settings
from tests.e2e.circle import CONSENTS, Circle

ADMIN_PHONE = "+79990000001"
ANNA_PHONE = "+79990000002"


async def sign_in(client: Client, circle: Circle, phone: str) -> CompleteSignInResponse:
    """Signs a person in as an app does, with the code she was sent."""
    challenge = await client.start_sign_in(phone)
    code = circle.code_of(challenge_id_from_text(challenge.challenge_id))
    return await client.complete_sign_in(challenge, code, consents=CONSENTS, device_name="test")


async def grant_superadmin(postgres: Postgres) -> None:
    """Makes the first superadmin, as the command line does."""
    clock = SystemClock()
    ends = SessionEnds(auth_options(isolated_settings()).session, clock)
    await GrantRole(postgres, clock, ends)(ADMIN_PHONE, Role.SUPERADMIN)


async def create_service_account(postgres: Postgres, key_file: Path, *scopes: str) -> None:
    """Makes a service account and writes its key file, as the command line does."""
    settings = isolated_settings()
    private_key = key_material.generate("ES256")
    accounts = service_accounts(settings, postgres, random_secrets(), SystemClock(), service_scopes())
    new = NewServiceAccount("crm", scopes, key_material.public_to_pem(private_key.public_key()))
    account = await accounts.create(new, uuid4(), None)
    content = {
        "service_account_id": str(account.service_account_id),
        "key_id": account.key_ids[0],
        "audience": settings.token_issuer,
        "private_key_pem": key_material.private_to_pem(private_key).decode(),
    }
    await asyncio.to_thread(key_file.write_text, json.dumps(content), "utf-8")
