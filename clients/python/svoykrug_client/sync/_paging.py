"""Lists as iterators."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from svoykrug_client import _paging

_Request = TypeVar("_Request", bound=_paging.PageRequest)
_Response = TypeVar("_Response", bound=_paging.Page)
_Item = TypeVar("_Item")


def pages(method: Callable[[_Request], _Response], request: _Request) -> Iterator[_Response]:
    """Yields the pages of a list, each fetched when it is asked for.

    Args:
        method: A list method of a stub, such as `client.purchases.ListMyPurchases`.
        request: The first page's request; it is left as it is.
    """
    return _without_waiting(_paging.pages(_answered(method), request))


def items(
    method: Callable[[_Request], _Response], request: _Request, of: Callable[[_Response], Iterable[_Item]]
) -> Iterator[_Item]:
    """Yields the rows of a list over all its pages.

    Args:
        method: A list method of a stub, such as `client.purchases.ListMyPurchases`.
        request: The first page's request.
        of: Takes the rows out of a page, such as `lambda page: page.purchases`.
    """
    return _without_waiting(_paging.items(_answered(method), request, of))


def _answered(method: Callable[[_Request], _Response]) -> Callable[[_Request], Awaitable[_Response]]:
    async def call(request: _Request) -> _Response:
        return method(request)

    return call


def _without_waiting(source: AsyncIterator[_Item]) -> Iterator[_Item]:
    """Iterates over what never waits for an event loop: each step ends at once, with the next item or the end."""
    while True:
        try:
            anext(source).__await__().__next__()
        except StopIteration as step:
            yield step.value
        except StopAsyncIteration:
            return
