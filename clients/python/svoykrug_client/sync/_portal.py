"""The event loop that does the work of all synchronous clients of a process, in a thread of its own."""

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, TypeVar

from svoykrug_client._caller import RUN_IN_CALLER, Errand

_Answer = TypeVar("_Answer")
_Errands = SimpleQueue[Callable[[], None] | None]


class Portal:
    """Lets any thread run coroutines in an event loop; the loop lives as long as the program."""

    def __init__(self) -> None:
        self._process = os.getpid()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="svoykrug-client", daemon=True)
        self._thread.start()
        started.wait()
        atexit.register(self._stop)

    def _serve(self, started: threading.Event) -> None:
        # Not asyncio.run: it waits for the loop's worker threads in one more thread, and no thread starts any more when
        # the program ends (Python 3.12). Those threads have ended by then.
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._live(started))
        self._loop.close()

    async def _live(self, started: threading.Event) -> None:
        self._stopped = asyncio.Event()
        started.set()
        await self._stopped.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()

    def _stop(self) -> None:
        if self._is_open:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    @property
    def _is_open(self) -> bool:
        # A forked process has the loop, but not the thread that it ran in.
        return os.getpid() == self._process and not self._loop.is_closed()

    def run(self, work: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        """Runs a coroutine and returns its answer; meanwhile this thread does what `in_caller` gives it.

        An exception in this thread, such as the KeyboardInterrupt of Ctrl-C, cancels the coroutine.

        Raises:
            RuntimeError: The process was forked from one that had called a synchronous client, or it is ending.
            concurrent.futures.CancelledError: The call was cancelled, by closing its client for instance.
        """
        if not self._is_open:
            raise RuntimeError("no calls here: the process has ended, or it was forked after its first client was made")
        errands: _Errands = SimpleQueue()
        call = asyncio.run_coroutine_threadsafe(_attended(work, errands), self._loop)
        call.add_done_callback(lambda _: errands.put(None))
        try:
            while (errand := errands.get()) is not None:
                errand()
            return call.result()
        except BaseException:
            call.cancel()
            raise

    def post(self, work: Callable[[], object]) -> None:
        """Has the loop do something soon; nothing is left to do once the process ends."""
        if self._is_open:
            self._loop.call_soon_threadsafe(work)


@cache
def portal() -> Portal:
    """Returns the portal of this process."""
    return Portal()


async def _attended(work: Callable[[], Coroutine[Any, Any, _Answer]], errands: _Errands) -> _Answer:
    RUN_IN_CALLER.set(partial(_ask, errands))
    return await work()


async def _ask(errands: _Errands, errand: Errand) -> Any:
    answer: concurrent.futures.Future[Any] = concurrent.futures.Future()
    errands.put(lambda: _perform(errand, answer))
    return await asyncio.wrap_future(answer)


def _perform(errand: Errand, answer: "concurrent.futures.Future[Any]") -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(errand())
    except Exception as failure:  # noqa: BLE001  # it comes out of the call
        answer.set_exception(failure)
