"""The server is killed with SIGKILL between handing an SMS over and marking it: the same message goes out again."""

import json
import signal
from pathlib import Path

import grpc
from svoykrug.auth.v1.auth_service_pb2 import StartSignInRequest
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub

from svoykrug_server.storage.stores import open_stores
from tests.auth.sms_providers import API_KEY, SmscProvider, listening
from tests.auth.world import PHONE
from tests.crash.server_process import settings_of, started
from tests.waiting import until


async def test_a_server_killed_before_it_marks_a_message_sends_it_again_with_the_same_id(data_dir: Path) -> None:
    provider = SmscProvider()
    async with listening(provider), open_stores(settings_of(data_dir)) as stores:
        settings = {"SMS_PROVIDERS": json.dumps(["smsc"]), "SMSC_API_KEY": API_KEY, "SMSC_URL": provider.url}
        async with (
            started(data_dir, "sms.handed_over:1", **settings) as server,
            grpc.aio.insecure_channel(await server.target()) as channel,
        ):
            await AuthServiceStub(channel).StartSignIn(StartSignInRequest(phone=PHONE))
            await server.process.wait()
        assert server.process.returncode == -signal.SIGKILL

        connection = await stores.postgres.dedicated()
        rows = await connection.fetch("SELECT state, attempt_count FROM sms_messages")
        assert [tuple(row) for row in rows] == [("queued", 1)]
        # The lease of the dead worker ends.
        await connection.execute("UPDATE sms_messages SET next_attempt_time = create_time")
        async with started(data_dir, **settings):

            async def is_sent() -> bool:
                return bool(await connection.fetchval("SELECT state = 'sent' AND attempt_count = 2 FROM sms_messages"))

            await until(is_sent, 60.0)
        await connection.close()
    first, second = provider.received
    assert first.form == second.form
    assert first.form["phones"] == PHONE
