"""Who takes part in the scenario: what the steps of every run share, prepared as an operator and an admin do."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.auth.v1.auth_admin_service_pb2 import SetDemoPhoneRequest
from svoykrug.users.v1.user_pb2 import CONSENT_KIND_PERSONAL_DATA, CONSENT_KIND_TERMS, ConsentGrant

from svoykrug_client import MemoryTokenStore, StoredSession
from svoykrug_client.sync import Client
from tests.clients.blocking import until
from tests.clients.server_process import ServerProcess
from tests.conftest import reachable_folder

CONSENTS = [
    ConsentGrant(kind=kind, version="2026-11", granted=True)
    for kind in (CONSENT_KIND_TERMS, CONSENT_KIND_PERSONAL_DATA)
]
DEMO_CODE = "424242"
_ADMIN_PHONE = "+79990000001"
_SCOPES = ("purchases.write", "analytics.read")


class CountingStore(MemoryTokenStore):
    """Keeps the session in memory, and counts the refreshes: the id of each is stored before it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.refreshes = 0

    def save(self, session: StoredSession | None) -> None:
        """Keeps the session; None forgets it."""
        self.refreshes += bool(session and session.request_id)
        super().save(session)


@dataclass(frozen=True, slots=True)
class Phones:
    """The phones of one run.

    Attributes:
        anna: Signs in with the code of her SMS.
        boris: Signs in with `DEMO_CODE`, as often as needed.
        stranger: Never signs in.
    """

    anna: str
    boris: str
    stranger: str

    @classmethod
    def of_run(cls, number: int) -> "Phones":
        """Returns the phones of a run that no other run uses."""
        return cls(*(f"+7999000{number}00{person}" for person in (1, 2, 3)))


@dataclass(frozen=True, slots=True)
class World:
    """A running server and who is known there.

    Attributes:
        server: The server.
        admin_session: The session of the first superadmin.
        key_file: The key of a service account.
    """

    server: ServerProcess
    admin_session: MemoryTokenStore
    key_file: Path


@contextmanager
def running_world(runs: Sequence[Phones]) -> Iterator[World]:
    """Runs a server for one block.

    Args:
        runs: The phones of the runs that it serves.
    """
    folder = reachable_folder("svoykrug-clients-")
    server = ServerProcess(folder)
    try:
        server.start()
        try:
            yield _prepared(World(server, MemoryTokenStore(), folder / "service-key.json"), runs)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _prepared(world: World, runs: Sequence[Phones]) -> World:
    server = world.server
    server.operate("admin", "grant", _ADMIN_PHONE, "superadmin")
    scopes = [word for scope in _SCOPES for word in ("--scope", scope)]
    server.operate("keys", "create-service-account", "crm", *scopes, "--key-file", str(world.key_file))
    with Client(server.target, insecure=True, token_store=world.admin_session) as admin:
        challenge = admin.start_sign_in(_ADMIN_PHONE)
        until(lambda: bool(server.codes()), 60)
        admin.complete_sign_in(challenge, server.codes()[-1], consents=CONSENTS)
        expire_time = Timestamp()
        expire_time.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
        for run in runs:
            demo = SetDemoPhoneRequest(phone=run.boris, code=DEMO_CODE, expire_time=expire_time)
            admin.auth_admin.SetDemoPhone(demo)
    return world
