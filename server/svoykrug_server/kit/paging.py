"""Pages: a size cut to its limit, and tokens that carry a position but no authority."""

import base64
import binascii
import hashlib
import hmac
import json

from svoykrug_server.kit.errors import InvalidFields

_TAG_BYTES = 8


def page_size(asked: int, *, default: int, most: int) -> int:
    """Returns how many rows a page holds.

    Args:
        asked: What the request says; 0 means the default, more than `most` is cut to it.
        default: The size of a page when the request says nothing.
        most: The largest page.

    Raises:
        InvalidFields: `asked` is negative.
    """
    if asked < 0:
        raise InvalidFields.of("page_size", "must not be negative")
    return min(asked or default, most)


class PageTokens:
    """Makes and reads page tokens.

    A token holds the last row's key of the page before, tied by an HMAC to the list it was made for, so that one
    made for another
    filter is refused instead of giving a wrong page. It carries no authority: each page is authorised anew.

    Args:
        key: The secret of the HMAC; 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, listing: str, position: list[str | int]) -> str:
        """Returns the token of a position in a list.

        Args:
            listing: What is listed, with every filter: two different lists have different texts.
            position: The sort key of the last row of the page before.
        """
        body = json.dumps(position, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._tag(listing, body) + body).rstrip(b"=").decode()

    def read(self, listing: str, token: str) -> list[str | int] | None:
        """Returns the position a token holds, or None for an empty token: the first page.

        Raises:
            InvalidFields: The token is damaged or was made for another list; reason INVALID_PAGE_TOKEN.
        """
        if not token:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise _invalid() from error
        tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(listing, body)):
            raise _invalid()
        position: list[str | int] = json.loads(body)
        return position

    def _tag(self, listing: str, body: bytes) -> bytes:
        return hmac.digest(self._key, listing.encode() + b"\0" + body, hashlib.sha256)[:_TAG_BYTES]


def _invalid() -> InvalidFields:
    return InvalidFields.of("page_token", "was not made by this list", "INVALID_PAGE_TOKEN")
