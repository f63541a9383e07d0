"""Asks again whether the caller of a long call may still make it: a stream may last for days."""

from typing import Any

from grpc.aio import ServicerContext

from svoykrug_server.rpc.access import HEADER, TokenVerifier, bearer_token


class StandingChecks:
    """Checks the token of a call in progress again.

    A caller who signs out, is banned, loses a role or whose token expires has no valid token from then on. Her client
    gets another, if it can, and calls again.

    Args:
        verifier: Tells who holds an access token.
    """

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def check(self, context: ServicerContext[Any, Any]) -> None:
        """Refuses a caller who may not go on.

        Raises:
            Unauthenticated: TOKEN_EXPIRED, ACCESS_TOKEN_REVOKED or SESSION_REVOKED.
            StoreUnavailable: Revocations may have been missed, and PostgreSQL cannot be asked.
        """
        headers = dict(context.invocation_metadata() or ())
        await self._verifier.verify(bearer_token(str(headers.get(HEADER, ""))))
