"""What is known of the call in progress, for whoever is working for it."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Literal

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import Unauthenticated

Locale = Literal["ru", "en"]


class CallContext:
    """One call in progress. It lives as long as the call and belongs to one task.

    Attributes:
        method: The full name, such as `/svoykrug.users.v1.UsersService/GetMe`.
        request_id: The id sent in `x-request-id`, or one made here; it is in the trailers and every log line.
        locale: The language of texts for a person.
        caller: Who proved to be calling; None in a public method.
    """

    __slots__ = ("_address_of", "_time_remaining", "caller", "locale", "method", "request_id")

    def __init__(
        self,
        method: str,
        request_id: str,
        locale: Locale,
        address_of: Callable[[], str],
        time_remaining: Callable[[], float | None],
        caller: Caller | None = None,
    ) -> None:
        self.method = method
        self.request_id = request_id
        self.locale = locale
        self.caller = caller
        self._address_of = address_of
        self._time_remaining = time_remaining

    @property
    def peer_address(self) -> str:
        """The caller's network address: IPv4, IPv6 as its /64, or `unix`. It is personal data: never log it."""
        return self._address_of()

    @property
    def remaining_seconds(self) -> float | None:
        """The seconds until the call's deadline; None when it has none."""
        return self._time_remaining()


_current: ContextVar[CallContext] = ContextVar("svoykrug_call")


def enter(call: CallContext) -> None:
    """Makes a call the current one of this task and of the tasks it starts."""
    _current.set(call)


def current() -> CallContext:
    """Returns the call in progress.

    Raises:
        LookupError: No call is in progress: this is background work.
    """
    return _current.get()


def find_current() -> CallContext | None:
    """Returns the call in progress, or None in background work."""
    return _current.get(None)


def current_caller() -> Caller:
    """Returns who is calling, in a method that is not public.

    Raises:
        Unauthenticated: The method is public, so nobody was asked to prove anything.
    """
    caller = _current.get().caller
    if caller is None:
        raise Unauthenticated("TOKEN_MISSING")
    return caller
