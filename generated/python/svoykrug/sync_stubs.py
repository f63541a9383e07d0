"""Generated from the services: the types of their stubs in the synchronous client."""

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

from svoykrug.analytics.v1 import analytics_service_pb2
from svoykrug.auth.v1 import auth_admin_service_pb2
from svoykrug.auth.v1 import auth_service_pb2
from svoykrug.businesses.v1 import businesses_service_pb2
from svoykrug.operations.v1 import operations_service_pb2
from svoykrug.purchases.v1 import purchases_service_pb2
from svoykrug.users.v1 import users_service_pb2

_Request = TypeVar("_Request", contravariant=True)
_Answer = TypeVar("_Answer", covariant=True)
_Metadata = Sequence[tuple[str, str | bytes]]


class Unary(Protocol[_Request, _Answer]):
    """A method with one request and one answer."""

    def __call__(self, request: _Request, *, timeout: float | None = None, metadata: _Metadata = ()) -> _Answer:
        """Calls it, and returns its answer; `timeout` is in seconds."""


class Stream(Iterator[_Answer], Protocol[_Answer]):
    """The answers of a call that goes on until they end or it is cancelled; a context manager that cancels it."""

    def cancel(self) -> None:
        """Ends the call; one that has ended stays as it is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Download(Protocol[_Request, _Answer]):
    """A method with one request and a stream of answers."""

    def __call__(
        self, request: _Request, *, timeout: float | None = None, metadata: _Metadata = ()
    ) -> Stream[_Answer]:
        """Begins the call; `timeout` is in seconds and covers the whole stream."""


class Upload(Protocol[_Request, _Answer]):
    """A method with a stream of requests and one answer."""

    def __call__(
        self, requests: Iterable[_Request], *, timeout: float | None = None, metadata: _Metadata = ()
    ) -> _Answer:
        """Sends the requests, and returns the answer; `timeout` is in seconds."""


class AnalyticsServiceStub(Protocol):
    """Figures from the warehouse. A scope is one business, or the circle (an empty `business_id`; admins and services only). The circle
    never contains purchases at sensitive businesses, and a service that names a sensitive business is answered PERMISSION_DENIED by every
    method. When the warehouse is away, methods that read it answer WAREHOUSE_UNAVAILABLE; lists of snapshots, models and receipts, a model's
    card and what starts an operation need PostgreSQL alone. When it was lost and is there again, what reads a snapshot or a scoring answers
    RESULT_BEING_REMADE until that is made again, the same to the last bit and the newest first; one that cannot be made again is RESULT_LOST to
    who names it, and passed over where the latest is asked for.
    """

    GetFreshness: Unary[analytics_service_pb2.GetFreshnessRequest, analytics_service_pb2.GetFreshnessResponse]
    """Says how far the warehouse has followed PostgreSQL, and proves it: count, sum and hash of both stores in total and by business
    and day, of the days that the warehouse still holds. The server proves all the time; the call looks at ClickHouse's totals, and proves what
    changed since and the page of days once more, but for 5 seconds at most and not where more than 1,000 days changed, as after a rebuild: what
    is not proven by then is told as it was proven last, and counted. Callers share what that costs: totals that were looked at within 10
    seconds, and a day that was compared within 60 and of which nothing was shipped since, are not read again.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED, WAREHOUSE_UNAVAILABLE.
    """
    CreateSnapshot: Unary[analytics_service_pb2.CreateSnapshotRequest, analytics_service_pb2.CreateSnapshotResponse]
    """Starts computing an RFM snapshot. One with another window than the usual 365 days is read by its id only.

    Callers: owner of the business, admin, service with `analytics.write`. Atomic. Idempotent by `request_id`, kept 7 days.
    Errors: INVALID_FIELDS, REQUEST_ID_REUSED, CUTOFF_AHEAD_OF_WATERMARK, HISTORY_NOT_KEPT (the window begins too early),
    PERMISSION_DENIED; of the operation: HISTORY_NOT_KEPT, STORES_DISAGREE, WAREHOUSE_UNAVAILABLE.
    """
    ListSnapshots: Unary[analytics_service_pb2.ListSnapshotsRequest, analytics_service_pb2.ListSnapshotsResponse]
    """Lists the snapshots of a scope, the latest cutoff first.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED.
    """
    GetSegmentSummary: Unary[analytics_service_pb2.GetSegmentSummaryRequest, analytics_service_pb2.GetSegmentSummaryResponse]
    """Returns the eleven segments of a snapshot with their figures.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED, NOT_FOUND (to admins and services), RESULT_BEING_REMADE, RESULT_LOST (when named),
    WAREHOUSE_UNAVAILABLE.
    """
    ListSegmentMembers: Unary[analytics_service_pb2.ListSegmentMembersRequest, analytics_service_pb2.ListSegmentMembersResponse]
    """Lists the members of a snapshot, or of one of its segments, the highest net spend first.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED, NOT_FOUND (to admins and services), RESULT_BEING_REMADE, RESULT_LOST (when
    named, or lost since the page before), WAREHOUSE_UNAVAILABLE.
    """
    StreamSegmentMembers: Download[analytics_service_pb2.StreamSegmentMembersRequest, analytics_service_pb2.StreamSegmentMembersResponse]
    """Streams all members of a snapshot, or of one of its segments, in messages of up to 1,000, the highest net spend first.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED, NOT_FOUND (to admins and services), RESULT_BEING_REMADE, RESULT_LOST (when named),
    WAREHOUSE_UNAVAILABLE.
    """
    GetSegmentMovements: Unary[analytics_service_pb2.GetSegmentMovementsRequest, analytics_service_pb2.GetSegmentMovementsResponse]
    """Compares two snapshots of one scope, window and rules: how many members went from which segment to which. The second must not lie before
    the first: the later is the one with the later cutoff, and of equal cutoffs the one with the later `Snapshot.watermark`.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS (also: the second lies before the first), SNAPSHOTS_NOT_COMPARABLE (windows or rules differ), PERMISSION_DENIED,
    NOT_FOUND (to admins and services: no such snapshot of this scope), RESULT_BEING_REMADE, RESULT_LOST, WAREHOUSE_UNAVAILABLE.
    """
    GetMemberInsight: Unary[analytics_service_pb2.GetMemberInsightRequest, analytics_service_pb2.GetMemberInsightResponse]
    """Returns what is known of one member in a scope: her place in the latest snapshot of the usual window, and what the latest forecast says of
    her, with reasons. Who bought for the first time since then is answered with neither.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED (also: she never bought there), NOT_FOUND (to admins and services), RESULT_BEING_REMADE,
    WAREHOUSE_UNAVAILABLE.
    """
    TrainChurnModel: Unary[analytics_service_pb2.TrainChurnModelRequest, analytics_service_pb2.TrainChurnModelResponse]
    """Starts training a churn model. It learns from several cutoffs before the test cutoff and is judged by the window after it.

    Callers: owner of the business, admin, service with `analytics.write`. Atomic. Idempotent by `request_id`, kept 7 days.
    Errors: INVALID_FIELDS, REQUEST_ID_REUSED, CUTOFF_AHEAD_OF_WATERMARK, PERMISSION_DENIED; of the operation: TOO_LITTLE_DATA (metadata says
    what is missing), INVALID_FIELDS and CUTOFF_AHEAD_OF_WATERMARK (the horizon that it chose does not fit the cutoffs), HISTORY_NOT_KEPT (it
    needs the year before each cutoff), STORES_DISAGREE, WAREHOUSE_UNAVAILABLE.
    """
    ListChurnModels: Unary[analytics_service_pb2.ListChurnModelsRequest, analytics_service_pb2.ListChurnModelsResponse]
    """Lists the churn models of a scope, the newest first.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED.
    """
    GetChurnModel: Unary[analytics_service_pb2.GetChurnModelRequest, analytics_service_pb2.GetChurnModelResponse]
    """Returns a churn model's card.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED, NOT_FOUND (to admins and services).
    """
    PromoteChurnModel: Unary[analytics_service_pb2.PromoteChurnModelRequest, analytics_service_pb2.PromoteChurnModelResponse]
    """Makes a model the one that scores its scope; the one before is retired. Refused when it does not beat the baselines or is worse
    than the serving one by a paired test.

    Callers: owner of the business, admin, service with `analytics.write`. Atomic. Idempotent.
    Errors: INVALID_FIELDS, MODEL_NOT_GOOD_ENOUGH (metadata says by what), HISTORY_NOT_KEPT (it cannot be compared any more), STALE_ETAG
    (another model was promoted meanwhile: repeat), PERMISSION_DENIED, NOT_FOUND (to admins and services), WAREHOUSE_UNAVAILABLE (it has to be
    compared).
    """
    ScoreMembers: Unary[analytics_service_pb2.ScoreMembersRequest, analytics_service_pb2.ScoreMembersResponse]
    """Starts scoring the members of a scope with its serving model. Scores are immutable. A forecast, published at most 36 hours after its cutoff,
    is graded once the horizon has closed. A later one is a backtest: it is read by ListAtRiskMembers with its id, graded, and used by nothing else.

    Callers: owner of the business, admin, service with `analytics.write`. Atomic. Idempotent by `request_id`, kept 7 days.
    Errors: INVALID_FIELDS, REQUEST_ID_REUSED, NO_SERVING_MODEL (train and promote one), CUTOFF_AHEAD_OF_WATERMARK, PERMISSION_DENIED;
    of the operation: TOO_LITTLE_DATA, HISTORY_NOT_KEPT (it needs the year before the cutoff), STORES_DISAGREE, RESULT_BEING_REMADE (the
    snapshot that says the segments), WAREHOUSE_UNAVAILABLE.
    """
    ListAtRiskMembers: Unary[analytics_service_pb2.ListAtRiskMembersRequest, analytics_service_pb2.ListAtRiskMembersResponse]
    """Lists the members of the latest forecast, or of the scoring that is named, the likeliest to leave first.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, NOT_SCORED_YET, PERMISSION_DENIED, NOT_FOUND (to admins and services: no such scoring of this
    scope), RESULT_BEING_REMADE, RESULT_LOST (when named, or lost since the page before), WAREHOUSE_UNAVAILABLE.
    """
    GetForecastReceipts: Unary[analytics_service_pb2.GetForecastReceiptsRequest, analytics_service_pb2.GetForecastReceiptsResponse]
    """Lists how past forecasts turned out, the latest first: what was said in time, against who left.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED.
    """
    GetMemberHistory: Unary[analytics_service_pb2.GetMemberHistoryRequest, analytics_service_pb2.GetMemberHistoryResponse]
    """Returns the segments a member went through, with the cause of each change, each as known at its `known_time`.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED (also: she never bought there), NOT_FOUND (to admins and services), RESULT_BEING_REMADE,
    WAREHOUSE_UNAVAILABLE.
    """
    GetDashboard: Unary[analytics_service_pb2.GetDashboardRequest, analytics_service_pb2.GetDashboardResponse]
    """Returns the figures of a period beside those of the period before. For the circle, sensitive businesses count in revenue and receipts
    only, and only for at least 5 members. It holds everything that was shipped when the call began. Of what it is compared with and the
    warehouse no longer holds, it says so: see `Dashboard.previous_period` and `DashboardFigures.returning_and_lost_unknown`.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, HISTORY_NOT_KEPT (the period itself begins too early), PERMISSION_DENIED (also: a service asks for a sensitive
    business), STORES_DISAGREE (a day of the scope is being proven or repaired), RESULT_BEING_REMADE (the forecast that says the value at
    risk), WAREHOUSE_UNAVAILABLE.
    """
    WatchDashboard: Download[analytics_service_pb2.WatchDashboardRequest, analytics_service_pb2.WatchDashboardResponse]
    """Streams a dashboard: at once, then within 2 seconds of each change. A slow reader gets the newest state, never a backlog. It ends when the
    caller's token does: get another and watch again.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, HISTORY_NOT_KEPT (the period itself begins too early), PERMISSION_DENIED (also: a service asks for a sensitive
    business), OVERLOADED (too many watch), TOKEN_EXPIRED, ACCESS_TOKEN_REVOKED, SESSION_REVOKED, STORES_DISAGREE (a day of the scope is
    being proven or repaired), RESULT_BEING_REMADE (the forecast that says the value at risk), WAREHOUSE_UNAVAILABLE.
    """
    GetCohortRetention: Unary[analytics_service_pb2.GetCohortRetentionRequest, analytics_service_pb2.GetCohortRetentionResponse]
    """Returns cohorts by the month of the first purchase, with how many members bought in each month after.

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS, HISTORY_NOT_KEPT (the first month begins too early), PERMISSION_DENIED (also: a service asks for a sensitive
    business), STORES_DISAGREE (a day of the scope is being proven or repaired), WAREHOUSE_UNAVAILABLE.
    """
    GetCrossBusinessMatrix: Unary[analytics_service_pb2.GetCrossBusinessMatrixRequest, analytics_service_pb2.GetCrossBusinessMatrixResponse]
    """Returns from which business members go on to which other, against chance. Sensitive businesses and cells under 5 members never
    appear. An owner sees the cells of her business only, and one answer a month: of the 12 whole months before the present one, within 30
    days, as known when the month began, with noise in every count (`CrossBusinessCell`).

    Callers: owner of the business, admin, service with `analytics.read`. Read only.
    Errors: INVALID_FIELDS (also: an owner chooses days), HISTORY_NOT_KEPT (the first day is too early), PERMISSION_DENIED (also: a service
    asks for a sensitive business), STORES_DISAGREE (a day of the scope is being proven or repaired), WAREHOUSE_UNAVAILABLE.
    """


class AuthAdminServiceStub(Protocol):
    """Service accounts, signing keys, demo phones, the delivery of codes, and other people's sessions. Every change leaves an audit event."""

    CreateServiceAccount: Unary[auth_admin_service_pb2.CreateServiceAccountRequest, auth_admin_service_pb2.CreateServiceAccountResponse]
    """Creates a service account with its first key. The private key stays with the service: make the pair there, send the public half.

    Callers: superadmin. Atomic. Idempotent by `request_id`, kept 7 days.
    Errors: INVALID_FIELDS (also an unknown scope), SERVICE_KEY_INVALID, SERVICE_ACCOUNT_EXISTS (the name is taken), REQUEST_ID_REUSED.
    """
    ListServiceAccounts: Unary[auth_admin_service_pb2.ListServiceAccountsRequest, auth_admin_service_pb2.ListServiceAccountsResponse]
    """Lists service accounts by name, disabled ones included.

    Callers: admin. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN.
    """
    SetServiceAccountScopes: Unary[auth_admin_service_pb2.SetServiceAccountScopesRequest, auth_admin_service_pb2.SetServiceAccountScopesResponse]
    """Replaces what a service account may do. Its access tokens end at once; it gets new ones with the new scopes.

    Callers: superadmin. Atomic. Idempotent.
    Errors: INVALID_FIELDS (also an unknown scope), NOT_FOUND, SERVICE_ACCOUNT_DISABLED.
    """
    DisableServiceAccount: Unary[auth_admin_service_pb2.DisableServiceAccountRequest, auth_admin_service_pb2.DisableServiceAccountResponse]
    """Disables a service account for good; its access tokens end at once.

    Callers: superadmin. Atomic. Idempotent: disabled already, nothing changes.
    Errors: INVALID_FIELDS, NOT_FOUND.
    """
    AddServiceAccountKey: Unary[auth_admin_service_pb2.AddServiceAccountKeyRequest, auth_admin_service_pb2.AddServiceAccountKeyResponse]
    """Adds a public key to a service account, so that it can change keys without a pause: add the new one, use it, remove the old one.

    Callers: superadmin. Atomic. Idempotent: the same key twice is one key. At most 10 keys.
    Errors: INVALID_FIELDS (also an eleventh key), NOT_FOUND, SERVICE_KEY_INVALID, SERVICE_ACCOUNT_DISABLED.
    """
    RemoveServiceAccountKey: Unary[auth_admin_service_pb2.RemoveServiceAccountKeyRequest, auth_admin_service_pb2.RemoveServiceAccountKeyResponse]
    """Removes a key of a service account. All its access tokens end at once, for any of them may have been made with it.

    Callers: superadmin. Atomic. Idempotent: a key that is not there changes nothing.
    Errors: INVALID_FIELDS, NOT_FOUND (the account).
    """
    ListSigningKeys: Unary[auth_admin_service_pb2.ListSigningKeysRequest, auth_admin_service_pb2.ListSigningKeysResponse]
    """Lists the server's signing keys, the newest first.

    Callers: admin. Read only.
    Errors: none of its own.
    """
    CreateSigningKey: Unary[auth_admin_service_pb2.CreateSigningKeyRequest, auth_admin_service_pb2.CreateSigningKeyResponse]
    """Creates a signing key and publishes it in the JWKS. It signs nothing until it is activated.

    Callers: superadmin. Atomic. Idempotent by `request_id`, kept 7 days.
    Errors: INVALID_FIELDS, REQUEST_ID_REUSED, SIGNING_KEY_STATE (another key waits already; metadata kid).
    """
    ActivateSigningKey: Unary[auth_admin_service_pb2.ActivateSigningKeyRequest, auth_admin_service_pb2.ActivateSigningKeyResponse]
    """Lets a published key sign every new token; the key before it is retired. Every verifier has it by then, so no call fails.

    Callers: superadmin. Atomic. Idempotent: active already, nothing changes.
    Errors: INVALID_FIELDS, NOT_FOUND, SIGNING_KEY_STATE (metadata state; ready_time while it is too new).
    """
    RetireSigningKey: Unary[auth_admin_service_pb2.RetireSigningKeyRequest, auth_admin_service_pb2.RetireSigningKeyResponse]
    """Retires a key that waits, or stops taking the tokens of a retired one at once when `reject_tokens` is set: for a key that leaked.
    The active key is retired by activating the next one.

    Callers: superadmin. Atomic. Idempotent.
    Errors: INVALID_FIELDS, NOT_FOUND, SIGNING_KEY_STATE (it is active).
    """
    TraceCodeDelivery: Unary[auth_admin_service_pb2.TraceCodeDeliveryRequest, auth_admin_service_pb2.TraceCodeDeliveryResponse]
    """Says what became of the SMS to a phone: for support, when somebody waits for a code. Never shows a code. Who asks is audited.

    Callers: admin. Atomic. Not idempotent: each call writes its audit event, and nothing else.
    Errors: INVALID_FIELDS.
    """
    SetDemoPhone: Unary[auth_admin_service_pb2.SetDemoPhoneRequest, auth_admin_service_pb2.SetDemoPhoneResponse]
    """Gives a phone a fixed code and no SMS until it expires: for the reviewers of app stores. Its user is a demo user: she has no
    purchases and is left out of analytics, and can have no role. The limits on wrong guesses hold; those on sends do not.

    Callers: superadmin. Atomic. Idempotent: the same values twice are one demo phone.
    Errors: INVALID_FIELDS (also a life over 90 days), PHONE_TAKEN (a real user has it).
    """
    ListDemoPhones: Unary[auth_admin_service_pb2.ListDemoPhonesRequest, auth_admin_service_pb2.ListDemoPhonesResponse]
    """Lists the demo phones, expired ones included.

    Callers: admin. Read only.
    Errors: none of its own.
    """
    RemoveDemoPhone: Unary[auth_admin_service_pb2.RemoveDemoPhoneRequest, auth_admin_service_pb2.RemoveDemoPhoneResponse]
    """Takes a demo phone away; the sessions of its user end.

    Callers: superadmin. Atomic. Idempotent: no demo phone, nothing changes.
    Errors: INVALID_FIELDS.
    """
    ListUserSessions: Unary[auth_admin_service_pb2.ListUserSessionsRequest, auth_admin_service_pb2.ListUserSessionsResponse]
    """Lists the sessions of a user, the one last used first; at most 100.

    Callers: admin. Read only.
    Errors: INVALID_FIELDS, NOT_FOUND.
    """
    RevokeUserSessions: Unary[auth_admin_service_pb2.RevokeUserSessionsRequest, auth_admin_service_pb2.RevokeUserSessionsResponse]
    """Ends one session of a user, or all of them, on every server within a second. The sessions of an admin are ended by a superadmin only.

    Callers: admin. Atomic. Idempotent: ended already, nothing changes.
    Errors: INVALID_FIELDS, NOT_FOUND (no such user, or not her session), PERMISSION_DENIED (an admin's, asked by an admin).
    """


class AuthServiceStub(Protocol):
    """Sign-in with a code sent by SMS, rotating refresh tokens, sessions, and tokens for service accounts."""

    StartSignIn: Unary[auth_service_pb2.StartSignInRequest, auth_service_pb2.StartSignInResponse]
    """Sends a six-digit code to a phone and answers with a challenge to complete. Known and unknown numbers get the same answer.

    Callers: anyone. Atomic. Not idempotent: each call is a send against the limits (5 a phone and day, 300 an address and hour, and
    a budget an hour for each country; where codes to a country do not come back, only a trickle goes there).
    Errors: INVALID_FIELDS, RESEND_TOO_SOON (60 s between sends), SIGN_IN_LIMITED.
    """
    ResendCode: Unary[auth_service_pb2.ResendCodeRequest, auth_service_pb2.ResendCodeResponse]
    """Sends the same code of a challenge again. Its time does not get longer.

    Callers: anyone. Atomic. Not idempotent: each call is a send against the limits.
    Errors: INVALID_FIELDS, CHALLENGE_OVER, RESEND_TOO_SOON, SIGN_IN_LIMITED.
    """
    CompleteSignIn: Unary[auth_service_pb2.CompleteSignInRequest, auth_service_pb2.CompleteSignInResponse]
    """Exchanges a challenge and its code for a session. The first sign-in with a phone creates the user, or claims the unclaimed
    member a partner brought; it then needs the required consents. A code is good once; a wrong guess is counted though the call fails.

    A number that nobody signed in with for 180 days may have a new owner: the sign-in then needs the birth date, or starts a new
    account and leaves the old one without a phone. So it is with an unclaimed member who last bought, or was brought, as long ago. A deleted account can be signed in to until it is erased, for RestoreMe.

    Callers: anyone. Atomic. Idempotent by `request_id`: the same challenge, code and request id within the challenge's life
    return the same session and refresh token.
    Errors: INVALID_FIELDS, CODE_WRONG (metadata guesses_left), GUESSES_EXHAUSTED, CHALLENGE_OVER, SIGN_IN_LIMITED,
    CONSENT_REQUIRED (the code stays good), REFERRAL_INVALID (the code stays good), ACCOUNT_PROOF_REQUIRED (the code stays good;
    metadata birth_date_known), BIRTH_DATE_WRONG (metadata guesses_left), USER_BANNED.
    """
    RefreshTokens: Unary[auth_service_pb2.RefreshTokensRequest, auth_service_pb2.RefreshTokensResponse]
    """Exchanges a refresh token for a new pair. Make a `request_id`, store it beside the token, then call: should the answer get
    lost, the same call returns the same refresh token. An old token used again ends the session, for it may have been stolen.

    Callers: anyone who holds the refresh token. Atomic. Idempotent by `request_id` until the idle limit.
    Errors: INVALID_FIELDS, REFRESH_TOKEN_INVALID, SESSION_REVOKED, SESSION_COMPROMISED, USER_BANNED.
    """
    SignOut: Unary[auth_service_pb2.SignOutRequest, auth_service_pb2.SignOutResponse]
    """Ends the caller's session on every server within a second.

    Callers: a signed-in person. Atomic. Idempotent.
    Errors: none of its own.
    """
    ListSessions: Unary[auth_service_pb2.ListSessionsRequest, auth_service_pb2.ListSessionsResponse]
    """Lists the caller's sessions, the one last used first. She has at most 100: one more sign-in ends the one not used for longest.

    Callers: a signed-in person. Read only.
    Errors: none of its own.
    """
    RevokeSession: Unary[auth_service_pb2.RevokeSessionRequest, auth_service_pb2.RevokeSessionResponse]
    """Ends one of the caller's sessions on every server within a second.

    Callers: a signed-in person. Atomic. Idempotent.
    Errors: INVALID_FIELDS, PERMISSION_DENIED (not the caller's, or unknown).
    """
    RevokeOtherSessions: Unary[auth_service_pb2.RevokeOtherSessionsRequest, auth_service_pb2.RevokeOtherSessionsResponse]
    """Ends all of the caller's sessions but the one that asks.

    Callers: a signed-in person. Atomic. Idempotent.
    Errors: none of its own.
    """
    StartPhoneChange: Unary[auth_service_pb2.StartPhoneChangeRequest, auth_service_pb2.StartPhoneChangeResponse]
    """Sends a code to a phone that the caller wants as her own from now on. The answer is the same whether the number has a user or not.
    Her session must have been signed in to within 10 minutes, with the phone she has now: after SIGN_IN_NOT_RECENT sign in again and
    repeat the call with the new session. Who lost that phone asks the circle (UpdateUser).

    Callers: a signed-in person. Atomic. Not idempotent: each call is a send against the limits of StartSignIn.
    Errors: INVALID_FIELDS (also for the phone she has), SIGN_IN_NOT_RECENT, RESEND_TOO_SOON, SIGN_IN_LIMITED.
    """
    CompletePhoneChange: Unary[auth_service_pb2.CompletePhoneChangeRequest, auth_service_pb2.CompletePhoneChangeResponse]
    """Makes the phone of a challenge the caller's own. The old phone is told by SMS; all her other sessions end. ResendCode works for
    this challenge too, CompleteSignIn does not.

    Callers: the signed-in person who started it. Atomic. Idempotent by `request_id` within the challenge's life.
    Errors: INVALID_FIELDS, CODE_WRONG (metadata guesses_left), GUESSES_EXHAUSTED, CHALLENGE_OVER (also when somebody else started
    it), SIGN_IN_LIMITED, PHONE_TAKEN (only after the right code; also the phone of a member who has not signed in yet).
    """
    GetJwks: Unary[auth_service_pb2.GetJwksRequest, auth_service_pb2.GetJwksResponse]
    """Returns the public keys that verify access tokens (RFC 7517). A key is published before it is first used.

    Callers: anyone. Read only.
    Errors: none of its own.
    """
    IssueServiceToken: Unary[auth_service_pb2.IssueServiceTokenRequest, auth_service_pb2.IssueServiceTokenResponse]
    """Exchanges a service account's signed assertion (private_key_jwt, RFC 7523) for an access token of 15 minutes.

    Callers: anyone who holds the account's private key. Atomic. Not idempotent: an assertion is good once.
    Errors: INVALID_FIELDS, ASSERTION_INVALID, SCOPE_DENIED.
    """
    IntrospectToken: Unary[auth_service_pb2.IntrospectTokenRequest, auth_service_pb2.IntrospectTokenResponse]
    """Tells whether an access token is good now, and what it says (the shape of RFC 7662). For services that cannot verify tokens
    themselves or must know of a revocation at once; the others verify with GetJwks.

    Callers: service with `tokens.introspect`, admin. Read only.
    Errors: INVALID_FIELDS. A token that is not good is no error: `active` is false and nothing else is told.
    """


class BusinessesServiceStub(Protocol):
    """Businesses of the circle."""

    CreateBusiness: Unary[businesses_service_pb2.CreateBusinessRequest, businesses_service_pb2.CreateBusinessResponse]
    """Creates a business. `dental` and `medical` are sensitive whatever the request says.

    Callers: admin. Atomic. Idempotent by `request_id`, kept 7 days.
    Errors: INVALID_FIELDS, BUSINESS_EXISTS (the name is taken), REQUEST_ID_REUSED.
    """
    GetBusiness: Unary[businesses_service_pb2.GetBusinessRequest, businesses_service_pb2.GetBusinessResponse]
    """Returns a business.

    Callers: its staff and owner, admin, service with `businesses.read`. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED, NOT_FOUND (to admins and services).
    """
    ListBusinesses: Unary[businesses_service_pb2.ListBusinessesRequest, businesses_service_pb2.ListBusinessesResponse]
    """Lists businesses by name. A member sees the active ones.

    Callers: a signed-in person, admin, service with `businesses.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN.
    """
    UpdateBusiness: Unary[businesses_service_pb2.UpdateBusinessRequest, businesses_service_pb2.UpdateBusinessResponse]
    """Changes a business: exactly the fields that `update_mask` names.

    Callers: its owner, admin. Atomic. Idempotent: the same values twice are the same business.
    Errors: INVALID_FIELDS, STALE_ETAG, BUSINESS_EXISTS (the name is taken), PERMISSION_DENIED, NOT_FOUND (to admins).
    """
    ArchiveBusiness: Unary[businesses_service_pb2.ArchiveBusinessRequest, businesses_service_pb2.ArchiveBusinessResponse]
    """Archives a business: it takes no new purchases and no new staff, its people lose their rights there at once, its history stays.
    Their access tokens end; a refresh brings one without the role.

    Callers: admin. Atomic. Idempotent: archived already, nothing changes, whatever the etag.
    Errors: INVALID_FIELDS, STALE_ETAG, NOT_FOUND.
    """
    UnarchiveBusiness: Unary[businesses_service_pb2.UnarchiveBusinessRequest, businesses_service_pb2.UnarchiveBusinessResponse]
    """Takes a business out of the archive; its people have their roles again. Their access tokens end; a refresh brings one with the role.

    Callers: admin. Atomic. Idempotent: active already, nothing changes, whatever the etag.
    Errors: INVALID_FIELDS, STALE_ETAG, NOT_FOUND.
    """
    AddStaff: Unary[businesses_service_pb2.AddStaffRequest, businesses_service_pb2.AddStaffResponse]
    """Gives a user a role at a business, or changes it. Her access tokens end at once; a refresh brings one with the new role.
    An owner gives the staff role to whoever has none there; only an admin makes owners, and only an admin changes what an owner is,
    so that one stolen token takes no business from its owner. Only who has joined and can sign in is given a role: to be unclaimed,
    banned or deleted is to be unknown here.

    Callers: its owner, admin. Atomic. Idempotent: the role she has already changes nothing.
    Errors: INVALID_FIELDS, BUSINESS_ARCHIVED, MEMBER_UNKNOWN (no such user who can sign in), STAFF_FULL, PERMISSION_DENIED (also an owner who gives
    or changes the owner role), NOT_FOUND (to admins).
    """
    RemoveStaff: Unary[businesses_service_pb2.RemoveStaffRequest, businesses_service_pb2.RemoveStaffResponse]
    """Takes a user's role at a business away; her access tokens end at once. Removing someone who is not there changes nothing.
    An owner removes staff and may leave; only an admin removes another owner.

    Callers: its owner, admin. Atomic. Idempotent.
    Errors: INVALID_FIELDS, PERMISSION_DENIED (also an owner who removes another owner), NOT_FOUND (to admins).
    """
    ListStaff: Unary[businesses_service_pb2.ListStaffRequest, businesses_service_pb2.ListStaffResponse]
    """Lists the people who work at a business, owners first: all of them, since AddStaff takes at most 1,000; who deleted her account is left out.

    Callers: its owner, admin. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED, NOT_FOUND (to admins).
    """


class OperationsServiceStub(Protocol):
    """Long work and its progress. An operation is visible to whoever started it and to admins."""

    GetOperation: Unary[operations_service_pb2.GetOperationRequest, operations_service_pb2.GetOperationResponse]
    """Returns an operation.

    Callers: its starter (a service needs `operations.read`), admin. Read only.
    Errors: PERMISSION_DENIED (not yours, or unknown), NOT_FOUND (to admins), INVALID_FIELDS.
    """
    ListOperations: Unary[operations_service_pb2.ListOperationsRequest, operations_service_pb2.ListOperationsResponse]
    """Lists operations, the newest first: an admin sees all, others the ones they started.

    Callers: anyone signed in, service with `operations.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN.
    """
    CancelOperation: Unary[operations_service_pb2.CancelOperationRequest, operations_service_pb2.CancelOperationResponse]
    """Cancels an operation. A running one stops at its next step, at most a few seconds later; watch it to see the end.

    Callers: its starter (a service needs `operations.write`), admin. Atomic. Idempotent: cancelling a cancelled operation changes nothing.
    Errors: OPERATION_ENDED (it succeeded or failed before), PERMISSION_DENIED, NOT_FOUND (to admins), INVALID_FIELDS.
    """
    WatchOperation: Download[operations_service_pb2.WatchOperationRequest, operations_service_pb2.WatchOperationResponse]
    """Streams an operation: once at the start, then at each change, and ends after its end.

    Callers: its starter (a service needs `operations.read`), admin. Read only.
    Errors: PERMISSION_DENIED, NOT_FOUND (to admins), INVALID_FIELDS.
    """
    ListJobs: Unary[operations_service_pb2.ListJobsRequest, operations_service_pb2.ListJobsResponse]
    """Lists the jobs of the schedule: once a period however many workers run, made up after downtime.

    Callers: admin, service with `operations.read`. Read only.
    Errors: none of its own.
    """


class PurchasesServiceStub(Protocol):
    """Purchases and refunds of the circle.

    A purchase is known by its business and external id: recording the same receipt again is answered with the first one, recording
    another under the same id is refused. Its time lies between twenty years ago and five minutes from now; its currency is the circle's.
    """

    RecordPurchase: Unary[purchases_service_pb2.RecordPurchaseRequest, purchases_service_pb2.RecordPurchaseResponse]
    """Records one purchase. A wallet code is used up by the purchase that is written with it, and by no refusal; the same purchase
    repeated with its used code is answered with the first one for 7 days. The member's tier follows within seconds. A refusal names every
    field that breaks a rule; where these are several of different reasons, the reason is INVALID_FIELDS.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic. Idempotent by business and external id.
    Errors: INVALID_FIELDS, AMOUNT_OUT_OF_RANGE, CURRENCY_FOREIGN, PURCHASE_TIME_OUT_OF_RANGE, MEMBER_UNKNOWN, WALLET_CODE_INVALID,
    WALLET_GUESSES_EXHAUSTED (RetryInfo), EXTERNAL_ID_CONFLICT, BUSINESS_ARCHIVED, PERMISSION_DENIED, NOT_FOUND (no such business; to
    admins and services).
    """
    BatchRecordPurchases: Unary[purchases_service_pb2.BatchRecordPurchasesRequest, purchases_service_pb2.BatchRecordPurchasesResponse]
    """Records up to 1,000 purchases of one business. A row that is refused stops no other.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic: every row that is not refused is
    written, in one transaction. Idempotent by business and external id.
    Errors: INVALID_FIELDS, BUSINESS_ARCHIVED, PERMISSION_DENIED, NOT_FOUND (to admins and services); of rows: `RejectedRow.reason`.
    """
    RefundPurchase: Unary[purchases_service_pb2.RefundPurchaseRequest, purchases_service_pb2.RefundPurchaseResponse]
    """Gives back a part or the whole of a purchase. Several refunds are added up; they never exceed the purchase. A refusal names every field
    that breaks a rule by itself; where these are several of different reasons, the reason is INVALID_FIELDS.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic. Idempotent by business and external id.
    Errors: INVALID_FIELDS, AMOUNT_OUT_OF_RANGE, CURRENCY_FOREIGN, PURCHASE_TIME_OUT_OF_RANGE (before the purchase, or in the
    future), REFUND_EXCEEDS_PURCHASE (metadata refundable_minor), EXTERNAL_ID_CONFLICT, PERMISSION_DENIED (also: no such
    purchase), NOT_FOUND (no such purchase; to admins and services).
    """
    GetPurchase: Unary[purchases_service_pb2.GetPurchaseRequest, purchases_service_pb2.GetPurchaseResponse]
    """Returns a purchase with its refunds.

    Callers: staff and owner of the business, admin, service with `purchases.read`. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED, NOT_FOUND (to admins and services).
    """
    ListMyPurchases: Unary[purchases_service_pb2.ListMyPurchasesRequest, purchases_service_pb2.ListMyPurchasesResponse]
    """Lists the caller's own purchases at all businesses, the latest first.

    Callers: a signed-in person. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN.
    """
    ListPurchases: Unary[purchases_service_pb2.ListPurchasesRequest, purchases_service_pb2.ListPurchasesResponse]
    """Lists the purchases of a business, the latest first.

    Callers: staff and owner of the business, admin, service with `purchases.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED.
    """
    ImportPurchases: Upload[purchases_service_pb2.ImportPurchasesRequest, purchases_service_pb2.ImportPurchasesResponse]
    """Imports purchases of one business from a stream of batches, up to millions. Each batch is committed by itself, so a broken
    stream can be sent again from the start: what is there already is counted as a duplicate. The first 10,000 rejected rows come back
    with their number and reason, ListImportRejections gives the others; rows with an unknown phone are kept until someone matches them.
    The initial metadata `x-import-id` says the id of the call: of a stream that broke, what was refused until then can be listed by it.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic batch by batch. Idempotent by business
    and external id.
    Errors: INVALID_FIELDS (an oversize batch; names the message's fields), IMPORT_OUT_OF_ORDER (a message names another business),
    BUSINESS_ARCHIVED, PERMISSION_DENIED, NOT_FOUND (to admins and services); of rows: `RejectedRow.reason`.
    """
    StartCsvImport: Unary[purchases_service_pb2.StartCsvImportRequest, purchases_service_pb2.StartCsvImportResponse]
    """Starts the upload of a CSV file as a CRM exports it; the unary form of ImportPurchases, for browsers and people.

    A business has 10 files at a time that are not written; one more takes the place of the oldest that was started over an hour ago and
    is not being read.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic. Idempotent by `request_id`, kept 7 days.
    Errors: INVALID_FIELDS, REQUEST_ID_REUSED, BUSINESS_ARCHIVED, CSV_IMPORTS_FULL, PERMISSION_DENIED, NOT_FOUND (to admins and services).
    """
    UploadCsvChunk: Unary[purchases_service_pb2.UploadCsvChunkRequest, purchases_service_pb2.UploadCsvChunkResponse]
    """Uploads the next chunk of the file, at most 2 MB; the file at most 200 MB.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic. Idempotent: a chunk that has
    arrived already is not taken twice.
    Errors: INVALID_FIELDS, IMPORT_OUT_OF_ORDER (a gap before this chunk, another content under the same offset, or the import is no
    longer uploading; metadata received_bytes), PERMISSION_DENIED, NOT_FOUND (to admins and services).
    """
    FinishCsvImport: Unary[purchases_service_pb2.FinishCsvImportRequest, purchases_service_pb2.FinishCsvImportResponse]
    """Reads the whole file and writes its purchases down, or with `dry_run` only says what would become of them. Can be called again after
    a dry run, after a run that was cancelled, and with another format. A file that cannot be read is no error of the operation: the
    import says why in `problem`. A file is written once: its rows are corrected by a new import.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic in batches of 5,000 rows. Idempotent: rows
    that are there already count as duplicates; while the file is being read as asked, and when it has been written as asked, the operation
    that does or did is returned.
    Errors: INVALID_FIELDS, IMPORT_OUT_OF_ORDER (nothing uploaded, or being read otherwise), CSV_IMPORT_WRITTEN (and asked for is a dry run,
    or another format), BUSINESS_ARCHIVED (also of the operation), PERMISSION_DENIED, NOT_FOUND (to admins and services).
    """
    GetCsvImport: Unary[purchases_service_pb2.GetCsvImportRequest, purchases_service_pb2.GetCsvImportResponse]
    """Returns a CSV import: how it stands, what the file looks like, which rows were refused.

    Callers: staff and owner of the business, admin, service with `purchases.write`: who imports. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED, NOT_FOUND (to admins and services).
    """
    ListCsvRejections: Unary[purchases_service_pb2.ListCsvRejectionsRequest, purchases_service_pb2.ListCsvRejectionsResponse]
    """Lists every row of a CSV file that was refused, or would be, in the file's order; for 7 days from the start of the import. While the
    file is being read it lists those found so far. Of more than `CsvImport.reported_count` rows it lists so many first ones: the reports of
    a business's imports hold 1,000,000 rows together and are 1,000 at most, and an older report goes when a newer one needs its room.

    Callers: staff and owner of the business, admin, service with `purchases.write`: who imports. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN (also: the file was read again since), PERMISSION_DENIED, NOT_FOUND (to admins and services).
    """
    ListImportRejections: Unary[purchases_service_pb2.ListImportRejectionsRequest, purchases_service_pb2.ListImportRejectionsResponse]
    """Lists every row of an ImportPurchases call that was refused, in the stream's order; for 7 days from the start of the call. The call's
    answer says in `reported_count` how many that are: the reports of a business's imports hold 1,000,000 rows together and are 1,000 at most,
    and an older report goes when a newer one needs its room. Of a call whose report has gone, that refused nothing, and of none, there are
    no rows.

    Callers: staff and owner of the business, admin, service with `purchases.write`: who imports. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED.
    """
    ListRejectedRows: Unary[purchases_service_pb2.ListRejectedRowsRequest, purchases_service_pb2.ListRejectedRowsResponse]
    """Lists the rows of imports that named nobody we know, the newest first.

    Callers: staff and owner of the business, admin, service with `purchases.read`. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED.
    """
    MatchRejectedRow: Unary[purchases_service_pb2.MatchRejectedRowRequest, purchases_service_pb2.MatchRejectedRowResponse]
    """Records a kept row as the purchase of a member, or of a corrected phone, and forgets the row.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic. Idempotent: matched already to the same
    member, the purchase is returned, for 7 days.
    Errors: INVALID_FIELDS, MEMBER_UNKNOWN, EXTERNAL_ID_CONFLICT, PURCHASE_TIME_OUT_OF_RANGE, BUSINESS_ARCHIVED, PERMISSION_DENIED (also:
    no such row), NOT_FOUND (to admins and services).
    """
    DiscardRejectedRow: Unary[purchases_service_pb2.DiscardRejectedRowRequest, purchases_service_pb2.DiscardRejectedRowResponse]
    """Forgets a kept row that is no purchase of a member.

    Callers: staff and owner of the business, admin, service with `purchases.write`. Atomic. Idempotent: no such row, nothing changes.
    Errors: INVALID_FIELDS, PERMISSION_DENIED.
    """


class UsersServiceStub(Protocol):
    """Users of the circle."""

    GetMe: Unary[users_service_pb2.GetMeRequest, users_service_pb2.GetMeResponse]
    """Returns the caller's own profile.

    Callers: a signed-in person. Read only.
    Errors: none of its own.
    """
    UpdateMe: Unary[users_service_pb2.UpdateMeRequest, users_service_pb2.UpdateMeResponse]
    """Changes the caller's own profile: exactly the fields that `update_mask` names.

    Callers: a signed-in person. Atomic. Idempotent: the same values twice are the same profile.
    Errors: INVALID_FIELDS (a value, or a path that cannot be updated), STALE_ETAG.
    """
    SetMyConsents: Unary[users_service_pb2.SetMyConsentsRequest, users_service_pb2.SetMyConsentsResponse]
    """Gives consents or takes them back; each is kept with its time and the version of the text. Consents that are not named stay.

    Callers: a signed-in person. Atomic. Idempotent: what already stands is not written again.
    Errors: INVALID_FIELDS (also a kind named twice, or an unknown version), CONSENT_REQUIRED (a required one cannot be taken back: delete the account instead).
    """
    GetMyConsents: Unary[users_service_pb2.GetMyConsentsRequest, users_service_pb2.GetMyConsentsResponse]
    """Returns the caller's consents as they stand.

    Callers: a signed-in person. Read only.
    Errors: none of its own.
    """
    ListMyReferrals: Unary[users_service_pb2.ListMyReferralsRequest, users_service_pb2.ListMyReferralsResponse]
    """Lists the members that the caller brought, the newest first. Members who deleted their account are left out, and not counted.

    Callers: a signed-in person. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN.
    """
    GetMyTier: Unary[users_service_pb2.GetMyTierRequest, users_service_pb2.GetMyTierResponse]
    """Returns the caller's tier and what is missing for the next, computed from her purchases at the moment of the call. Her profile and
    new access tokens say the same tier within seconds of a purchase or refund; an access token at hand keeps the tier it was signed
    with, which is only for show: no right hangs on it.

    Callers: a signed-in person. Read only.
    Errors: none of its own.
    """
    GetMyWalletCode: Unary[users_service_pb2.GetMyWalletCodeRequest, users_service_pb2.GetMyWalletCodeResponse]
    """Makes a code that the caller shows at a business, which records her purchase by it without learning her phone. Good once, for 60
    seconds; a new one replaces the one before, unless that was used.

    Callers: a signed-in person. Atomic. Not idempotent.
    Errors: none of its own.
    """
    ExportMe: Download[users_service_pb2.ExportMeRequest, users_service_pb2.ExportMeResponse]
    """Streams everything that is kept about the caller, from both stores, table by table. Secrets are left out and named as such.

    Callers: a signed-in person, also one whose account is deleted and not erased yet. Not idempotent: each call
    writes its audit event, and nothing else.
    Errors: WAREHOUSE_UNAVAILABLE (half an export is none: ask again), OVERLOADED (also while an export of hers is under way).
    """
    DeleteMe: Unary[users_service_pb2.DeleteMeRequest, users_service_pb2.DeleteMeResponse]
    """Deletes the caller's account: all her sessions but this one end, she is shown to nobody, and after 30 days she is erased from both
    stores. Until then she can sign in and call RestoreMe, and purchases that partners send by her phone are recorded, so that none is
    missing when she comes back. Her purchases stay, without a person behind them.

    Callers: a signed-in person. Atomic. Idempotent: deleted already, the same erasure is returned.
    Errors: LAST_SUPERADMIN.
    """
    RestoreMe: Unary[users_service_pb2.RestoreMeRequest, users_service_pb2.RestoreMeResponse]
    """Takes DeleteMe back. Refresh the tokens afterwards: those at hand end, as they are the ones of a deleted account.

    Callers: a signed-in person whose account is deleted. Atomic. Idempotent: not deleted, nothing changes.
    Errors: USER_STATE (the erasure is already under way), USER_BANNED.
    """
    GetErasureReceipt: Unary[users_service_pb2.GetErasureReceiptRequest, users_service_pb2.GetErasureReceiptResponse]
    """Says what an erasure did. Whoever holds its id, which is not to be guessed, may ask: after it nobody is left to sign in.

    Callers: anyone. Read only.
    Errors: INVALID_FIELDS, PERMISSION_DENIED (unknown).
    """
    GetUser: Unary[users_service_pb2.GetUserRequest, users_service_pb2.GetUserResponse]
    """Returns a user. A service is not told of a deleted one: she is to be shown to nobody, and NOT_FOUND says that what the service keeps
    of her should go. Should she come back, she is found by the same id.

    Callers: admin, service with `users.read`. Read only.
    Errors: INVALID_FIELDS, NOT_FOUND.
    """
    BatchCreateUsers: Unary[users_service_pb2.BatchCreateUsersRequest, users_service_pb2.BatchCreateUsersResponse]
    """Creates unclaimed members by phone, as a partner's CRM knows them; each is claimed by the first sign-in with its phone. A phone
    that has a user already returns that user unchanged; a phone that cannot be read is answered in its own row and stops no other.

    Callers: admin, service with `users.write`. Atomic: all rows that can be created are, in one transaction. Idempotent by phone.
    Errors: INVALID_FIELDS (no rows, or more than 1,000).
    """
    BatchGetUsers: Unary[users_service_pb2.BatchGetUsersRequest, users_service_pb2.BatchGetUsersResponse]
    """Returns several users. Unknown ids are left out, for a service also those of deleted users, as in GetUser.

    Callers: admin, service with `users.read`. Read only.
    Errors: INVALID_FIELDS (no ids, or more than 1,000).
    """
    ListUsers: Unary[users_service_pb2.ListUsersRequest, users_service_pb2.ListUsersResponse]
    """Lists users, the newest first. All filters that are set must hold.

    Callers: admin, service with `users.read` (which may not search by phone without `users.read_phone`). Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN, PERMISSION_DENIED (a service: a search by phone without the scope, or deleted users).
    """
    UpdateUser: Unary[users_service_pb2.UpdateUserRequest, users_service_pb2.UpdateUserResponse]
    """Changes a user: exactly the fields that `update_mask` names. A new phone ends all her sessions: it is for somebody who lost her
    number and proved who she is. An admin's account is changed by a superadmin only.

    Callers: admin. Atomic. Idempotent: the same values twice are the same user.
    Errors: INVALID_FIELDS (a value, or a path that cannot be updated), STALE_ETAG, NOT_FOUND, PHONE_TAKEN, PERMISSION_DENIED (an admin's, asked by an admin),
    USER_STATE (deleted).
    """
    SetUserTier: Unary[users_service_pb2.SetUserTierRequest, users_service_pb2.SetUserTierResponse]
    """Pins a member to Inner Circle whatever she spends, or gives her the tier of her spending again.

    Callers: admin. Atomic. Idempotent: what she is already is not written again.
    Errors: INVALID_FIELDS (another tier), NOT_FOUND.
    """
    SetUserRoles: Unary[users_service_pb2.SetUserRolesRequest, users_service_pb2.SetUserRolesResponse]
    """Replaces a user's roles in the circle. Her access tokens end at once; a refresh brings one with the new roles.

    Callers: superadmin. Atomic. Idempotent.
    Errors: INVALID_FIELDS, STALE_ETAG, NOT_FOUND, LAST_SUPERADMIN, USER_STATE (a role for somebody who cannot sign in; metadata state, also
    `demo` and `no_phone`).
    """
    BanUser: Unary[users_service_pb2.BanUserRequest, users_service_pb2.BanUserResponse]
    """Shuts a user out: all her sessions end on every server within a second, and she cannot sign in. An admin is banned by a superadmin
    only, and nobody bans herself. Who deleted her account stays deleted and is erased in time, but can neither sign in nor restore it:
    her number is banned, and stays so for 180 days, also when she is erased, as a keyed hash. So it is with the number of a banned user
    whom EraseUser erases.

    Callers: admin. Atomic. Idempotent: banned already, nothing changes.
    Errors: INVALID_FIELDS, NOT_FOUND, PERMISSION_DENIED (an admin, asked by an admin; herself), LAST_SUPERADMIN, USER_STATE (deleted, and
    without a number to come back with).
    """
    UnbanUser: Unary[users_service_pb2.UnbanUserRequest, users_service_pb2.UnbanUserResponse]
    """Lets a banned user sign in again; an admin is let in by a superadmin only. For somebody who was erased it lifts the ban of her number:
    the audit event USER_BANNED of a refused sign-in names her id.

    Callers: admin. Atomic. Idempotent: not banned, nothing changes.
    Errors: INVALID_FIELDS, NOT_FOUND, PERMISSION_DENIED (an admin, asked by an admin).
    """
    EraseUser: Unary[users_service_pb2.EraseUserRequest, users_service_pb2.EraseUserResponse]
    """Erases a user from both stores at once, without the 30 days of DeleteMe: for a demand by letter. Cannot be taken back.

    Callers: superadmin. Atomic: the erasure is scheduled for now and tried until done. Idempotent: the same erasure is returned until
    it is done; then there is no such user, and the audit event ERASURE_ORDERED names the erasure.
    Errors: INVALID_FIELDS, NOT_FOUND, LAST_SUPERADMIN.
    """
    ListAuditEvents: Unary[users_service_pb2.ListAuditEventsRequest, users_service_pb2.ListAuditEventsResponse]
    """Lists audit events, the newest first. All filters that are set must hold.

    Callers: admin. Read only.
    Errors: INVALID_FIELDS, INVALID_PAGE_TOKEN.
    """
