"""The client."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from google.type.date_pb2 import Date
from svoykrug import errors
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.auth.v1.auth_admin_service_pb2_grpc import AuthAdminServiceStub
from svoykrug.auth.v1.auth_service_pb2 import (
    Challenge,
    CompleteSignInRequest,
    CompleteSignInResponse,
    SignOutRequest,
    StartSignInRequest,
)
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from svoykrug.businesses.v1.businesses_service_pb2_grpc import BusinessesServiceStub
from svoykrug.operations.v1.operation_pb2 import Operation
from svoykrug.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesResponse, NewPurchase
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1.user_pb2 import ConsentGrant
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceStub

from svoykrug_client._calls import Calls, DownloadCalls, UnaryCalls, UploadCalls
from svoykrug_client._credentials import SESSION_OVER, ServiceCredentials, SessionCredentials
from svoykrug_client._methods import service_config
from svoykrug_client._streaming import CancellingChannel
from svoykrug_client._waiting import wait_for
from svoykrug_client.imports import BATCH_ROWS, ImportSource, import_purchases
from svoykrug_client.service_key import ServiceKey
from svoykrug_client.tokens import MemoryTokenStore, TokenStore

_CONNECTION = (
    # A connection that is dead without a word is given up (docs/decisions/python-dead-connections.md): after 12 s of
    # silence while a call is on its way the server is asked. It allows one question every 10 s.
    ("grpc.keepalive_time_ms", 12_000),
    # How long the kernel (Linux) waits until bytes are acknowledged.
    ("grpc.keepalive_timeout_ms", 5_000),
    # How long gRPC waits for the answer, which may stand behind all that a slow link has still to bring; else a minute.
    ("grpc.http2.ping_timeout_ms", 20_000),
    # It asks twice only, and then once a minute, while the client sends nothing, as in a long watch. 0 is always.
    ("grpc.http2.max_pings_without_data", 0),
    # After a long outage gRPC would wait up to two minutes before it tries again: the server is back long before.
    ("grpc.max_reconnect_backoff_ms", 10_000),
)


class Client:
    """A connection to the service.

    Use it as an asynchronous context manager. Every method of the API is on one of the typed stubs `auth`,
    `auth_admin`, `users`, `businesses`, `purchases`, `analytics`, `operations`. Each call gets the method's deadline
    unless it names a `timeout` in seconds, carries a fresh access token, is repeated when the server was unavailable
    and repeating is safe, and raises the exceptions of `svoykrug.errors`.

    Args:
        target: Where the service listens, such as `127.0.0.1:50051`.
        root_certificates_pem: Whom to trust, when not the system's authorities.
        insecure: Talk without TLS; for a service on this machine.
        token_store: Where the session of a signed-in person is kept; in memory by default. Clients may share one that
            is a `SharedTokenStore`, such as a `FileTokenStore`.
        service_key: Call as a service account instead.
        language: `ru` or `en`: the language of the texts for people.
        interceptors: Yours, around all that the client does with a call, such as those of `svoykrug_client.tracing`.
    """

    def __init__(
        self,
        target: str,
        *,
        root_certificates_pem: bytes | None = None,
        insecure: bool = False,
        token_store: TokenStore | None = None,
        service_key: ServiceKey | None = None,
        language: str = "ru",
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        self._calls = Calls(language, f"python/{version('svoykrug-client')}")
        self._channel = self._open(target, root_certificates_pem, insecure, interceptors)
        channel: Any = CancellingChannel(self._channel)
        self.auth = AuthServiceStub(channel)
        self.auth_admin = AuthAdminServiceStub(channel)
        self.users = UsersServiceStub(channel)
        self.businesses = BusinessesServiceStub(channel)
        self.purchases = PurchasesServiceStub(channel)
        self.analytics = AnalyticsServiceStub(channel)
        self.operations = OperationsServiceStub(channel)
        self._session = SessionCredentials(token_store or MemoryTokenStore(), self.auth.RefreshTokens)
        self._sign_in = CompleteSignInRequest()
        self._calls.credentials = (
            ServiceCredentials(service_key, self.auth.IssueServiceToken) if service_key else self._session
        )

    def _open(
        self,
        target: str,
        root_certificates_pem: bytes | None,
        insecure: bool,
        callers: Sequence[grpc.aio.ClientInterceptor],
    ) -> grpc.aio.Channel:
        interceptors = [*callers, UnaryCalls(self._calls), UploadCalls(self._calls), DownloadCalls(self._calls)]
        options = [("grpc.service_config", service_config()), *_CONNECTION]
        if insecure:
            return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
        credentials = grpc.ssl_channel_credentials(root_certificates_pem)
        return grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls under way are cancelled."""
        await self._channel.close()

    async def start_sign_in(self, phone: str) -> Challenge:
        """Has a code sent to a phone.

        Args:
            phone: A phone number in any spelling.

        Raises:
            errors.InvalidFields: This is no phone number.
            errors.ResendTooSoon: A code was sent less than a minute ago.
            errors.SignInLimited: A limit of sends is reached.
        """
        return (await self.auth.StartSignIn(StartSignInRequest(phone=phone))).challenge

    async def complete_sign_in(
        self,
        challenge: Challenge,
        code: str,
        *,
        consents: Sequence[ConsentGrant] = (),
        referral_code: str = "",
        device_name: str = "",
        birth_date: date | None = None,
        start_new_account: bool = False,
    ) -> CompleteSignInResponse:
        """Signs in; from now on calls carry the person's token.

        Called again with the same arguments after a deadline or a lost connection, it is the same sign-in: the code
        is not used up by an answer that never came.

        Args:
            challenge: The answer of `start_sign_in`.
            code: The six digits of the SMS.
            consents: The consents given; the required ones are needed from a new user.
            referral_code: Who brought her; only at the first sign-in.
            device_name: What the list of sessions shows.
            birth_date: Proves after `errors.AccountProofRequired` that the number still belongs to the same person.
            start_new_account: Starts a new account after `errors.AccountProofRequired`.

        Returns:
            The session. With `erase_time` set the account is deleted: RestoreMe brings it back.

        Raises:
            errors.CodeWrong: The code is wrong; `metadata["guesses_left"]` says how many guesses are left.
            errors.ChallengeOver: The challenge is used or its time is over.
            errors.GuessesExhausted: All guesses are used.
            errors.ConsentRequired: A required consent is missing; repeat with it.
            errors.AccountProofRequired: Nobody signed in with this number for long; repeat with the birth date or start
                a new account.
            errors.BirthDateWrong: The birth date is not the account's.
        """
        request = CompleteSignInRequest(
            challenge_id=challenge.challenge_id,
            code=code,
            request_id=self._sign_in.request_id,
            consents=consents,
            referral_code=referral_code,
            device_name=device_name,
            start_new_account=start_new_account,
        )
        if birth_date is not None:
            request.birth_date.CopyFrom(Date(year=birth_date.year, month=birth_date.month, day=birth_date.day))
        if request != self._sign_in:
            request.request_id = str(uuid.uuid4())
            self._sign_in = request
        answer = await self.auth.CompleteSignIn(request)
        await self._session.signed_in(answer.user_id, answer.tokens)
        self._sign_in = CompleteSignInRequest()
        return answer

    async def sign_out(self) -> None:
        """Ends the session on the server, then forgets it; a session that is over already is only forgotten.

        Raises:
            errors.ConnectionLost: The server could not be told; she stays signed in here, so that it can be repeated.
                Where that cannot wait, `forget` signs her out without the server.
        """
        with suppress(*SESSION_OVER, errors.TokenMissing):
            await self.auth.SignOut(SignOutRequest())
        await self._session.signed_out()

    async def forget(self) -> None:
        """Forgets the session here without a call, as in aeroplane mode; on the server it lives until its end."""
        await self._session.signed_out()

    async def import_purchases(
        self,
        business_id: str,
        rows: Sequence[NewPurchase] | Callable[[], Iterable[NewPurchase]],
        *,
        batch_rows: int = BATCH_ROWS,
        show_progress: bool = False,
    ) -> ImportPurchasesResponse:
        """Imports purchases of one business, up to millions.

        A broken stream is sent again from the start, up to five times: what is there already counts as a duplicate.

        Args:
            business_id: The business, a UUID.
            rows: The purchases, or a function that returns a new iterator over them each time it is called.
            batch_rows: How many rows a message holds and a transaction commits, at most 5,000.
            show_progress: Show a progress bar; it needs the extra `progress`.

        Returns:
            The counts of the last attempt, and the rejected rows with their number and reason.

        Raises:
            errors.SvoyKrugError: The import was refused, or broke five times.
            ValueError: `batch_rows` is out of range.
            ModuleNotFoundError: `show_progress` without the extra `progress`.
            Exception: Whatever the rows raise ends the import; the batches before are in.
        """
        source = ImportSource(rows) if callable(rows) else ImportSource(lambda: rows, len(rows))
        return await import_purchases(
            self.purchases, business_id, source, batch_rows=batch_rows, show_progress=show_progress
        )

    async def wait_for(self, operation: Operation, on_progress: Callable[[Operation], None] | None = None) -> Operation:
        """Watches an operation until it has ended well; a broken watch is taken up again.

        Args:
            operation: The operation, as the call that started it returned it.
            on_progress: Called with each new state.

        Raises:
            errors.SvoyKrugError: The operation failed or was cancelled: the class is the one of its reason. Or it could
                not be watched five times in a row; the operation goes on.
        """
        return await wait_for(self.operations, operation, on_progress)


def service_client(
    target: str,
    key_file: Path,
    *,
    root_certificates_pem: bytes | None = None,
    insecure: bool = False,
    language: str = "ru",
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> Client:
    """Returns a client that calls as the service account of a key file; see `Client` for the arguments.

    Raises:
        ValueError: The file holds no key.
    """
    return Client(
        target,
        root_certificates_pem=root_certificates_pem,
        insecure=insecure,
        service_key=ServiceKey.from_file(key_file),
        language=language,
        interceptors=interceptors,
    )
