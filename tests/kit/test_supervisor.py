import asyncio

from svoykrug_server.kit.supervisor import Supervisor
from tests.waiting import until


async def test_a_job_that_fails_is_started_again_until_it_succeeds() -> None:
    starts = []

    async def job() -> None:
        starts.append(True)
        if len(starts) < 4:
            raise RuntimeError("not yet")

    supervisor = Supervisor(first_delay_seconds=0.001)
    supervisor.start("job", job)
    await until(lambda: supervisor.states["job"].done)
    assert (len(starts), supervisor.states["job"].running) == (4, False)
    assert supervisor.states["job"].failures == 3
    await supervisor.stop()


async def test_jobs_are_stopped_the_last_first_each_when_the_one_after_it_has_ended() -> None:
    ended: list[str] = []
    supervisor = Supervisor()

    def job_called(name: str) -> None:
        async def job() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(name)

        supervisor.start(name, job)

    job_called("first")
    job_called("second")
    await until(lambda: all(state.running for state in supervisor.states.values()))
    await asyncio.sleep(0)
    await supervisor.stop()
    assert ended == ["second", "first"]


async def test_a_job_that_waits_for_its_next_start_stops_at_once() -> None:
    async def job() -> None:
        raise RuntimeError("always")

    supervisor = Supervisor(first_delay_seconds=1000)
    supervisor.start("job", job)
    await until(lambda: supervisor.states["job"].failures == 1)
    assert not supervisor.states["job"].done
    async with asyncio.timeout(10):
        await supervisor.stop()
