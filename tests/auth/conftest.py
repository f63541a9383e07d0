import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from tests.auth.world import Phones, World, compose, random_secrets
from tests.conftest import isolated_settings
from tests.waiting import until


@pytest.fixture
async def world(postgres: Postgres, postgres_url: str, clock: ManualClock) -> AsyncIterator[World]:
    """One server's auth on a fresh Postgres, its keys made, its revocations heard."""
    secrets, phones = random_secrets(), Phones()
    options = auth_options(isolated_settings())
    auth = compose(postgres, secrets, clock, options, phones)
    await auth.open()
    listening = asyncio.create_task(auth.revocations.run())
    await until(lambda: auth.revocations.in_touch)
    yield World(postgres, postgres_url, clock, secrets, options, auth, phones)
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
