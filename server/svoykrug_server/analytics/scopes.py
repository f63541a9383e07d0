"""What a request covers: one business, or the circle. No service hears anything of a sensitive business."""

from typing import Protocol
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import PermissionDenied


class Businesses(Protocol):
    """Knows which businesses are sensitive."""

    async def is_sensitive(self, business_id: UUID) -> bool:
        """Tells whether a business is; one that does not exist is not."""
        ...


class Scopes:
    """Reads the business that a request names, and refuses a service what only people of it and admins may see.

    The edge has checked that a person owns the business, or may see the circle.

    Args:
        businesses: Which are sensitive.
    """

    def __init__(self, businesses: Businesses) -> None:
        self._businesses = businesses

    async def named(self, caller: Caller, business_id: str) -> UUID | None:
        """Returns the business; None for the circle.

        Raises:
            PermissionDenied: A service asks for a sensitive business.
        """
        if not business_id:
            return None
        scope = UUID(business_id)
        if caller.is_service and await self._businesses.is_sensitive(scope):
            raise PermissionDenied
        return scope
