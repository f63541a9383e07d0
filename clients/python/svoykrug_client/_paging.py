"""Lists as asynchronous iterators."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from copy import deepcopy
from typing import Protocol, TypeVar

_Item = TypeVar("_Item")


class PageRequest(Protocol):
    """The request of a list."""

    page_token: str


class Page(Protocol):
    """A page of a list."""

    @property
    def next_page_token(self) -> str: ...


_Request = TypeVar("_Request", bound=PageRequest)
_Response = TypeVar("_Response", bound=Page)


async def pages(method: Callable[[_Request], Awaitable[_Response]], request: _Request) -> AsyncIterator[_Response]:
    """Yields the pages of a list, each fetched when it is asked for.

    Args:
        method: A list method of a stub, such as `client.purchases.ListMyPurchases`.
        request: The first page's request; it is left as it is.
    """
    request = deepcopy(request)
    while True:
        page = await method(request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def items(
    method: Callable[[_Request], Awaitable[_Response]],
    request: _Request,
    of: Callable[[_Response], Iterable[_Item]],
) -> AsyncIterator[_Item]:
    """Yields the rows of a list over all its pages.

    Args:
        method: A list method of a stub, such as `client.purchases.ListMyPurchases`.
        request: The first page's request.
        of: Takes the rows out of a page, such as `lambda page: page.purchases`.
    """
    async for page in pages(method, request):
        for item in of(page):
            yield item
