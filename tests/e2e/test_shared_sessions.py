"""Two users of one token file and the real rule of the server: a bad network makes no thief of either."""

from pathlib import Path

import pytest
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_client import Client, FileTokenStore, errors
from svoykrug_server.storage.postgres import Postgres
from tests.client.late_store import LateStore
from tests.clients.cutting_proxy import cutting_proxy
from tests.e2e.circle import Circle
from tests.e2e.python_client import ANNA_PHONE, sign_in

ME = GetMeRequest()
LOST = (errors.ConnectionLost, errors.DeadlineExceeded)
NOWHERE = "127.0.0.1:1"


async def test_two_users_of_a_file_stay_signed_in_after_more_than_a_minute_offline(
    circle: Circle, postgres: Postgres, tmp_path: Path
) -> None:
    file = FileTokenStore(tmp_path / "session.json")
    async with Client(circle.target, insecure=True, token_store=file) as client:
        await sign_in(client, circle, ANNA_PHONE)
    late = LateStore(tmp_path / "session.json", file.load())
    with cutting_proxy(circle.target) as network:
        network.cutting = True
        async with Client(network.target, insecure=True, token_store=file) as one:
            with pytest.raises(LOST):
                await one.users.GetMe(ME)
        assert network.cuts > 0
    async with Client(NOWHERE, insecure=True, token_store=late) as other:
        with pytest.raises(LOST):
            await other.users.GetMe(ME)
    async with postgres.transaction() as tx:
        # Longer ago than tasks may race for.
        driver = await tx.driver()
        await driver.execute("UPDATE auth_sessions SET rotate_time = rotate_time - interval '61 seconds'")
    for store in (file, late):
        async with Client(circle.target, insecure=True, token_store=store) as client:
            assert (await client.users.GetMe(ME)).user.phone == ANNA_PHONE
