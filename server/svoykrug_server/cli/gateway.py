"""`svoykrug gateway`: Envoy before servers that run elsewhere, until it is asked to stop."""

import asyncio

from svoykrug_server.config import Settings
from svoykrug_server.gateway.starting import NOT_FOUND, find_envoy, open_gateway
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.process import Stopping, set_up_log, tell


async def run_gateway(settings: Settings) -> None:
    """Runs the gateway until a signal; then it announces its end, waits as long as a server does, and stops.

    Raises:
        CannotStart: Something is wrong that a person must mend; the line says what.
    """
    set_up_log(settings)
    stopping = Stopping()
    stopping.listen()
    envoy = find_envoy(settings)
    if envoy is None:
        raise CannotStart(f"The gateway cannot start: {NOT_FOUND}.", ExitCode.GATEWAY)
    async with open_gateway(settings, envoy, settings.gateway_servers or settings.listen) as gateway:
        if settings.ready_file is not None:
            tell(settings.ready_file, (), 0, gateway.address)
        await stopping.wanted.wait()
        await gateway.announce_stop()
        waiting = asyncio.create_task(stopping.at_once.wait())
        await asyncio.wait([waiting], timeout=settings.drain_seconds)
        waiting.cancel()
        await gateway.finish_calls(stopping.at_once)
