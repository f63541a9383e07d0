"""Keyed hashes that stand for external ids once nobody is behind a purchase.

A partner's receipt number leads back to a person in the partner's own books. Its hash under a key that only this server
has leads nowhere, and is still the same when the partner sends the number again.
"""

import hmac
from collections.abc import Iterator, Sequence
from uuid import UUID


class ExternalIdHashes:
    """Makes the hashes: HMAC-SHA-256 of business and external id, 32 bytes.

    Args:
        keys: The keys, the newest last. None may ever be taken away: what was hashed with it would be found no more.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def of(self, business_id: UUID, external_id: str) -> bytes:
        """Returns the hash that is kept."""
        return _hash(self._keys[-1], business_id, external_id)

    def possible(self, business_id: UUID, external_id: str) -> Iterator[bytes]:
        """Yields the hashes that may have been kept, one for each key."""
        for key in self._keys:
            yield _hash(key, business_id, external_id)


def _hash(key: bytes, business_id: UUID, external_id: str) -> bytes:
    return hmac.digest(key, business_id.bytes + external_id.encode(), "sha256")
