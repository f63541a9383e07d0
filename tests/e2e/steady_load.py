"""People and programs who call both servers at a steady pace and renew their tokens; every answer is counted."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import grpc
import jwt
from svoykrug.auth.v1.auth_service_pb2 import (
    GetJwksRequest,
    IntrospectTokenRequest,
    IssueServiceTokenRequest,
    ListSessionsRequest,
)
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_server.auth import key_material
from svoykrug_server.auth.key_material import PrivateKey
from tests.e2e.circle import Circle, Metadata, Person
from tests.rpc.rich import RichError

CALLS_A_SECOND = 200
RENEWAL_SECONDS = 3.0
"""How old a token gets here before it is renewed; it could live 10 seconds."""


class App(ABC):
    """Somebody who holds an access token and gets a new one every few seconds, one at a time."""

    renewal = ""
    """The method that gives a new token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.renewal_began = time.monotonic()
        self.renewing = False

    @property
    def kid(self) -> str:
        """The key that signed the access token."""
        kid: str = jwt.get_unverified_header(self.token)["kid"]
        return kid

    @property
    def metadata(self) -> Metadata:
        """What it calls with."""
        return (("authorization", f"Bearer {self.token}"),)

    @abstractmethod
    async def renew(self, circle: Circle) -> None:
        """Gets a new access token."""

    @abstractmethod
    def call(self, circle: Circle, number: int) -> tuple[str, Awaitable[object]]:
        """Returns the method called next, and the call."""


class PersonApp(App):
    """A person's app.

    Args:
        person: Who she is, with her tokens.
    """

    renewal = "RefreshTokens"

    def __init__(self, person: Person) -> None:
        super().__init__(person.tokens.access_token)
        self._person = person

    async def renew(self, circle: Circle) -> None:
        """Refreshes her tokens."""
        await circle.refresh(self._person)
        self.token = self._person.tokens.access_token

    def call(self, circle: Circle, number: int) -> tuple[str, Awaitable[object]]:
        """Reads the keys, her sessions or her profile."""
        if number % 10 == 0:
            return "GetJwks", circle.auth.GetJwks(GetJwksRequest())
        if number % 3 == 0:
            return "ListSessions", circle.auth.ListSessions(ListSessionsRequest(), metadata=self.metadata)
        return "GetMe", circle.users.GetMe(GetMeRequest(), metadata=self.metadata)


class ProgramApp(App):
    """A service that looks at the tokens of people.

    Args:
        account_id: Its service account.
        private_key: Its key.
        shown: Whose tokens it is shown.
        token: Its first access token.
    """

    renewal = "IssueServiceToken"

    def __init__(self, account_id: str, private_key: PrivateKey, shown: App, token: str = "") -> None:
        super().__init__(token)
        self._account_id = account_id
        self._private_key = private_key
        self._shown = shown

    async def renew(self, circle: Circle) -> None:
        """Exchanges a new assertion."""
        claims = {"iss": self._account_id, "sub": self._account_id, "aud": "svoykrug", "jti": str(uuid4())}
        kid = key_material.thumbprint(self._private_key.public_key())
        assertion = jwt.encode(
            {**claims, "exp": int(time.time()) + 60}, self._private_key, algorithm="ES256", headers={"kid": kid}
        )
        self.token = (await circle.auth.IssueServiceToken(IssueServiceTokenRequest(assertion=assertion))).access_token

    def call(self, circle: Circle, number: int) -> tuple[str, Awaitable[object]]:  # noqa: ARG002  all calls are alike
        """Looks at a person's token, which must be good."""
        return "IntrospectToken", self._look(circle)

    async def _look(self, circle: Circle) -> None:
        request = IntrospectTokenRequest(token=self._shown.token)
        if not (await circle.auth.IntrospectToken(request, metadata=self.metadata)).active:
            raise NotActive


class NotActive(Exception):
    """A token that is good was called not active."""


class SteadyLoad:
    """Calls both servers in turn, 200 times a second.

    Args:
        circles: The servers.
        apps: Who calls.
    """

    def __init__(self, circles: tuple[Circle, Circle], apps: Sequence[App]) -> None:
        self._circles = circles
        self._apps = apps
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How many calls of each method ended in which way: `OK`, or the reason of the refusal."""
        self.seconds = 0.0
        """For how long calls were started."""

    @property
    def calls(self) -> int:
        """How many calls have ended."""
        return self.outcomes.total()

    @property
    def failures(self) -> dict[tuple[str, str], int]:
        """What did not end well."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome[1] != "OK"}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Makes calls for the length of the block, then awaits the last answers."""
        calling = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._stopping = True
            await calling

    async def _run(self) -> None:
        # A call that is late is made up for, so the pace holds on a busy machine.
        began, number = time.monotonic(), 0
        while not self._stopping:
            due = int((time.monotonic() - began) * CALLS_A_SECOND)
            while number < due:
                self._start(number)
                number += 1
            await asyncio.sleep(1 / CALLS_A_SECOND)
        self.seconds = time.monotonic() - began
        await asyncio.gather(*self._running)

    def _start(self, number: int) -> None:
        circle = self._circles[number % 2]
        app = self._apps[number // 2 % len(self._apps)]
        if time.monotonic() - app.renewal_began > RENEWAL_SECONDS and not app.renewing:
            call = self._renewed(circle, app)
        else:
            call = self._counted(*app.call(circle, number))
        task = asyncio.create_task(call)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _renewed(self, circle: Circle, app: App) -> None:
        app.renewing, app.renewal_began = True, time.monotonic()
        await self._counted(app.renewal, app.renew(circle))
        app.renewing = False

    async def _counted(self, method: str, call: Awaitable[object]) -> None:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            rich = "grpc-status-details-bin" in dict(error.trailing_metadata() or ())
            self.outcomes[method, RichError.of(error).reason if rich else str(error.code())] += 1
        except NotActive:
            self.outcomes[method, "NOT_ACTIVE"] += 1
        else:
            self.outcomes[method, "OK"] += 1
