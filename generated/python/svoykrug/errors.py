"""Generated from the error catalogue: every refusal of the server as an exception class.

    SvoyKrugError                 every refusal, also of a kind that this version does not know
    ├── one class a status code   such as `Unauthenticated`
    │   └── one class a reason    such as `CodeWrong`
    └── ConnectionLost            the server could not be reached, or went away in mid-call
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(eq=False)
class SvoyKrugError(Exception):
    """A call that the server refused.

    Attributes:
        reason: The name of the `ErrorReason` without its prefix, such as `CODE_WRONG`; where the server itself did not
            answer, the status code's name.
        text: What a person may read, in the language asked for.
        metadata: Facts for programs, such as `guesses_left`.
        field_violations: The rule that each bad field breaks, by the field's path.
        retry_after: How long to wait before the same call may succeed; None when waiting does not help.
        request_id: Names the call in the server's log.
        code: The gRPC status code's name, such as `UNAUTHENTICATED`.
    """

    reason: str
    text: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    field_violations: Mapping[str, str] = field(default_factory=dict)
    retry_after: timedelta | None = None
    request_id: str = ""
    code: str = "UNKNOWN"

    def __post_init__(self) -> None:
        # What an exception is pickled and copied by, together with its attributes.
        self.args = (self.reason, self.text)

    def __str__(self) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        fields = "".join(f"\n  {path}: {rule}" for path, rule in self.field_violations.items())
        return f"{self.reason}: {self.text}{request}{fields}"


class ConnectionLost(SvoyKrugError):
    """The server could not be reached, or went away in mid-call: repeat with the same request id."""


class Aborted(SvoyKrugError):
    """The status code ABORTED."""


class AlreadyExists(SvoyKrugError):
    """The status code ALREADY_EXISTS."""


class Cancelled(SvoyKrugError):
    """The status code CANCELLED."""


class DeadlineExceeded(SvoyKrugError):
    """The status code DEADLINE_EXCEEDED."""


class FailedPrecondition(SvoyKrugError):
    """The status code FAILED_PRECONDITION."""


class Internal(SvoyKrugError):
    """The status code INTERNAL."""


class InvalidArgument(SvoyKrugError):
    """The status code INVALID_ARGUMENT."""


class NotFound(SvoyKrugError):
    """The status code NOT_FOUND."""


class PermissionDenied(SvoyKrugError):
    """The status code PERMISSION_DENIED."""


class ResourceExhausted(SvoyKrugError):
    """The status code RESOURCE_EXHAUSTED."""


class Unauthenticated(SvoyKrugError):
    """The status code UNAUTHENTICATED."""


class Unavailable(SvoyKrugError):
    """The status code UNAVAILABLE."""


class Unimplemented(SvoyKrugError):
    """The status code UNIMPLEMENTED."""


class InternalError(Internal):
    """The server failed in a way it did not foresee. Quote the request id when reporting it."""


class StoreUnavailable(Unavailable):
    """A store the call needs cannot be reached now."""


class WarehouseUnavailable(Unavailable):
    """The warehouse cannot be reached now; everything outside analytics goes on."""


class Overloaded(ResourceExhausted):
    """The server is stopping or has too many calls in progress."""


class DeadlineExceededError(DeadlineExceeded):
    """The deadline passed before the call was finished. What had been committed stays; repeat with the same
    `request_id`."""


class InvalidFields(InvalidArgument):
    """One or more fields break a rule; `google.rpc.BadRequest` names each by path."""


class RequestIdReused(InvalidArgument):
    """The `request_id` was used before with another request."""


class PermissionDeniedError(PermissionDenied):
    """The caller may not do this, or what it names does not exist; to all but admins the two are the same."""


class NotFoundError(NotFound):
    """What the request names does not exist. Sent to admins and services only."""


class StaleEtag(Aborted):
    """Somebody changed the resource since its `etag` was read. Read it again and repeat."""


class ClientTooOld(FailedPrecondition):
    """The `x-client-version` is older than the server supports."""


class MethodUnknown(Unimplemented):
    """The method does not exist on this server."""


class InvalidPageToken(InvalidArgument):
    """A page token was made for another request, or is damaged. Start again from the first page."""


class TokenMissing(Unauthenticated):
    """The method needs an access token and the call brought none."""


class TokenInvalid(Unauthenticated):
    """The access token is malformed, wrongly signed, or made for something else."""


class TokenExpired(Unauthenticated):
    """The access token's time is over: refresh it."""


class AccessTokenRevoked(Unauthenticated):
    """The access token was ended early, for instance because a role changed: refresh it."""


class SessionRevoked(Unauthenticated):
    """The session was ended: sign in again."""


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is unknown, or its idle or absolute limit has passed: sign in again."""


class SessionCompromised(Unauthenticated):
    """An old refresh token was used again: the session is revoked as possibly stolen."""


class UserBanned(PermissionDenied):
    """The user is banned."""


class CodeWrong(Unauthenticated):
    """The code is wrong. Metadata: `guesses_left`."""


class ChallengeOver(FailedPrecondition):
    """The challenge is unknown, used, or its time is over: start again."""


class GuessesExhausted(ResourceExhausted):
    """All guesses of this challenge are used: start again."""


class ResendTooSoon(ResourceExhausted):
    """A code was sent moments ago: wait before the next."""


class SignInLimited(ResourceExhausted):
    """The limit of codes or wrong guesses for this phone, address or country prefix is reached."""


class ConsentRequired(FailedPrecondition):
    """A new user must grant the required consents to finish signing in. Metadata: `missing`, a comma-separated list."""


class ReferralInvalid(FailedPrecondition):
    """The referral code names nobody, or the user already has a referrer."""


class AssertionInvalid(Unauthenticated):
    """The service account's assertion is malformed, expired, wrongly signed, or was used before."""


class ScopeDenied(PermissionDenied):
    """The service account asked for a scope it was not given, or is disabled."""


class UserDeleted(FailedPrecondition):
    """The account is deleted and will be erased; RestoreMe brings it back until then. CompleteSignIn says when."""


class AccountProofRequired(FailedPrecondition):
    """Nobody signed in with this number for so long that it may have a new owner: tell the birth date, or start a new
    account. Metadata: `birth_date_known`, `true` or `false`; when `false` only a new account can be started."""


class BirthDateWrong(Unauthenticated):
    """The birth date is not the account's. Metadata: `guesses_left`."""


class ServiceKeyInvalid(InvalidArgument):
    """The public key cannot be used: neither ES256 (P-256) nor RS256 (2,048 bits or more), or already another
    account's."""


class ServiceAccountExists(AlreadyExists):
    """A service account of this name exists already."""


class ServiceAccountDisabled(FailedPrecondition):
    """The service account is disabled for good."""


class SigningKeyState(FailedPrecondition):
    """The signing key is not in the state that this needs. Metadata: `state`; `ready_time` when it only has to wait."""


class SignInNotRecent(FailedPrecondition):
    """The session was signed in to too long ago for this: sign in again with the present phone, and repeat with the
    new session."""


class PhoneTaken(AlreadyExists):
    """The phone number belongs to another user."""


class BusinessExists(AlreadyExists):
    """A business with this external name or id exists already."""


class BusinessArchived(FailedPrecondition):
    """The business is archived: it takes no new purchases and no new staff."""


class LastSuperadmin(FailedPrecondition):
    """The circle would be left without a superadmin."""


class UserState(FailedPrecondition):
    """The user's account is in another state than this needs. Metadata: `state`."""


class WalletCodeInvalid(FailedPrecondition):
    """The wallet code is unknown, used, or older than 60 seconds: ask her to show a new one."""


class WalletGuessesExhausted(ResourceExhausted):
    """The caller gave too many wrong wallet codes within the last hour."""


class StaffFull(FailedPrecondition):
    """The business has as many people (1,000), or the person as many businesses (50), as there may be. Metadata:
    `most`."""


class ExternalIdConflict(AlreadyExists):
    """The business has another purchase or refund with this external id."""


class CurrencyForeign(InvalidArgument):
    """The currency is not the circle's. Metadata: `currency_code`, the circle's."""


class PurchaseTimeOutOfRange(InvalidArgument):
    """The purchase's time is in the future or too long ago. Metadata: `oldest_time`, `newest_time`."""


class MemberUnknown(FailedPrecondition):
    """No member has this phone number or user id. In an import the row is kept until someone matches it."""


class RefundExceedsPurchase(FailedPrecondition):
    """The refund is more than what is left of the purchase. Metadata: `refundable_minor`."""


class AmountOutOfRange(InvalidArgument):
    """The amount is negative, or too large."""


class ImportOutOfOrder(InvalidArgument):
    """The messages of an import do not follow its rules. Metadata: `received_bytes` of a CSV file."""


class CsvImportsFull(ResourceExhausted):
    """The business has as many CSV files that are not written as a business may have, and all are new or being read.
    Metadata: `most`."""


class CsvImportWritten(FailedPrecondition):
    """The CSV file is written already: it is not tried again, and not read in another format. Start another import."""


class TooLittleData(FailedPrecondition):
    """There is too little data to train or to score. Metadata: what there is and what is needed."""


class StoresDisagree(Unavailable):
    """The two stores disagree, or must be feared to, on a day from which the answer is computed; it is being proven or
    repaired."""


class ModelNotGoodEnough(FailedPrecondition):
    """The model does not beat the baselines or the serving model. Metadata: what it failed."""


class NotScoredYet(FailedPrecondition):
    """No scores of this scope exist yet."""


class CutoffAheadOfWatermark(FailedPrecondition):
    """The cutoff is later than the watermark: not everything up to it is known yet."""


class OperationEnded(FailedPrecondition):
    """The operation already ended, so it cannot be cancelled."""


class OperationCancelled(Cancelled):
    """The operation was cancelled by a caller."""


class HistoryNotKept(FailedPrecondition):
    """The answer needs purchases that the warehouse has let go. Metadata: `earliest_time`, from which on it holds all,
    in ISO 8601."""


class SnapshotsNotComparable(FailedPrecondition):
    """The two snapshots were computed over different windows or by different rules. Metadata: `window_days` or
    `rules_version`, both values."""


class NoServingModel(FailedPrecondition):
    """No model of this scope serves, so there is nothing to score with: train one and promote it."""


class ResultBeingRemade(Unavailable):
    """The rows of the snapshot or scoring were lost with a warehouse and are being made again, from the same purchases
    and to the last bit."""


class ResultLost(FailedPrecondition):
    """The rows of the snapshot or scoring were lost with a warehouse and cannot be made again. Metadata: `lost_time`;
    `lost_reason`, one of `rules_changed`, `history_not_kept`, `segments_lost` (with the snapshot that said
    them), `model_unreadable`, `not_provable`, `rows_differ`."""


BY_REASON: Mapping[str, type[SvoyKrugError]] = {
    "INTERNAL": InternalError,
    "STORE_UNAVAILABLE": StoreUnavailable,
    "WAREHOUSE_UNAVAILABLE": WarehouseUnavailable,
    "OVERLOADED": Overloaded,
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "INVALID_FIELDS": InvalidFields,
    "REQUEST_ID_REUSED": RequestIdReused,
    "PERMISSION_DENIED": PermissionDeniedError,
    "NOT_FOUND": NotFoundError,
    "STALE_ETAG": StaleEtag,
    "CLIENT_TOO_OLD": ClientTooOld,
    "METHOD_UNKNOWN": MethodUnknown,
    "INVALID_PAGE_TOKEN": InvalidPageToken,
    "TOKEN_MISSING": TokenMissing,
    "TOKEN_INVALID": TokenInvalid,
    "TOKEN_EXPIRED": TokenExpired,
    "ACCESS_TOKEN_REVOKED": AccessTokenRevoked,
    "SESSION_REVOKED": SessionRevoked,
    "REFRESH_TOKEN_INVALID": RefreshTokenInvalid,
    "SESSION_COMPROMISED": SessionCompromised,
    "USER_BANNED": UserBanned,
    "CODE_WRONG": CodeWrong,
    "CHALLENGE_OVER": ChallengeOver,
    "GUESSES_EXHAUSTED": GuessesExhausted,
    "RESEND_TOO_SOON": ResendTooSoon,
    "SIGN_IN_LIMITED": SignInLimited,
    "CONSENT_REQUIRED": ConsentRequired,
    "REFERRAL_INVALID": ReferralInvalid,
    "ASSERTION_INVALID": AssertionInvalid,
    "SCOPE_DENIED": ScopeDenied,
    "USER_DELETED": UserDeleted,
    "ACCOUNT_PROOF_REQUIRED": AccountProofRequired,
    "BIRTH_DATE_WRONG": BirthDateWrong,
    "SERVICE_KEY_INVALID": ServiceKeyInvalid,
    "SERVICE_ACCOUNT_EXISTS": ServiceAccountExists,
    "SERVICE_ACCOUNT_DISABLED": ServiceAccountDisabled,
    "SIGNING_KEY_STATE": SigningKeyState,
    "SIGN_IN_NOT_RECENT": SignInNotRecent,
    "PHONE_TAKEN": PhoneTaken,
    "BUSINESS_EXISTS": BusinessExists,
    "BUSINESS_ARCHIVED": BusinessArchived,
    "LAST_SUPERADMIN": LastSuperadmin,
    "USER_STATE": UserState,
    "WALLET_CODE_INVALID": WalletCodeInvalid,
    "WALLET_GUESSES_EXHAUSTED": WalletGuessesExhausted,
    "STAFF_FULL": StaffFull,
    "EXTERNAL_ID_CONFLICT": ExternalIdConflict,
    "CURRENCY_FOREIGN": CurrencyForeign,
    "PURCHASE_TIME_OUT_OF_RANGE": PurchaseTimeOutOfRange,
    "MEMBER_UNKNOWN": MemberUnknown,
    "REFUND_EXCEEDS_PURCHASE": RefundExceedsPurchase,
    "AMOUNT_OUT_OF_RANGE": AmountOutOfRange,
    "IMPORT_OUT_OF_ORDER": ImportOutOfOrder,
    "CSV_IMPORTS_FULL": CsvImportsFull,
    "CSV_IMPORT_WRITTEN": CsvImportWritten,
    "TOO_LITTLE_DATA": TooLittleData,
    "STORES_DISAGREE": StoresDisagree,
    "MODEL_NOT_GOOD_ENOUGH": ModelNotGoodEnough,
    "NOT_SCORED_YET": NotScoredYet,
    "CUTOFF_AHEAD_OF_WATERMARK": CutoffAheadOfWatermark,
    "OPERATION_ENDED": OperationEnded,
    "OPERATION_CANCELLED": OperationCancelled,
    "HISTORY_NOT_KEPT": HistoryNotKept,
    "SNAPSHOTS_NOT_COMPARABLE": SnapshotsNotComparable,
    "NO_SERVING_MODEL": NoServingModel,
    "RESULT_BEING_REMADE": ResultBeingRemade,
    "RESULT_LOST": ResultLost,
}


BY_CODE: Mapping[str, type[SvoyKrugError]] = {
    "ABORTED": Aborted,
    "ALREADY_EXISTS": AlreadyExists,
    "CANCELLED": Cancelled,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "FAILED_PRECONDITION": FailedPrecondition,
    "INTERNAL": Internal,
    "INVALID_ARGUMENT": InvalidArgument,
    "NOT_FOUND": NotFound,
    "PERMISSION_DENIED": PermissionDenied,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAUTHENTICATED": Unauthenticated,
    "UNAVAILABLE": Unavailable,
    "UNIMPLEMENTED": Unimplemented,
}
