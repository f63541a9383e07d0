"""Use case: a service asks whether an access token that it was shown is good now (the shape of RFC 7662)."""

from svoykrug_server.auth.verifier import AccessTokenVerifier
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import Unauthenticated


class Introspection:
    """Looks at access tokens, with the eyes of the edge.

    Args:
        verifier: Tells who holds an access token, revocations included.
    """

    def __init__(self, verifier: AccessTokenVerifier) -> None:
        self._verifier = verifier

    async def look_at(self, token: str) -> Caller | None:
        """Returns who holds a token, or None when it is not good, whatever the reason.

        The token of a person who deleted her account is good for getting it back and for nothing that a service does
        for her: it is not good here.

        Raises:
            StoreUnavailable: Revocations may have been missed, and Postgres cannot be asked.
        """
        try:
            caller = await self._verifier.verify(token)
        except Unauthenticated:
            return None
        return None if caller.deleted else caller
