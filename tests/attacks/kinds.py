"""The kinds of caller, and who is let in: one row a method, written by hand and not read from the protos.

`test_access_matrix` compares every row with the rule in the proto and with what the server does: a rule that was
changed by mistake is found, and a method without a row fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A kind of caller."""

    NOBODY = "no token"
    GARBAGE = "garbage for a token"
    EXPIRED = "an expired token"
    SIGNED_OUT = "a token of a session that was signed out"
    STALE = "a token from before her rights changed"
    MEMBER = "a member"
    STAFF_HERE = "staff of this business"
    OWNER_HERE = "owner of this business"
    STAFF_ELSEWHERE = "staff of another business"
    OWNER_ELSEWHERE = "owner of another business"
    STAFF_OF_ARCHIVED = "owner of a business that is archived"
    SERVICE_WITH_SCOPE = "a service with the one scope"
    SERVICE_WITHOUT_SCOPE = "a service with every other scope"
    SERVICE_DISABLED = "a disabled service"
    DELETED = "a member who deleted her account"
    BANNED = "a banned member"
    ADMIN = "an admin"
    SUPERADMIN = "a superadmin"


NO_PERSONS = frozenset(
    {Kind.NOBODY, Kind.GARBAGE, Kind.SERVICE_WITH_SCOPE, Kind.SERVICE_WITHOUT_SCOPE, Kind.SERVICE_DISABLED}
)
STRANGERS: Mapping[Kind, str] = {
    Kind.NOBODY: "TOKEN_MISSING",
    Kind.GARBAGE: "TOKEN_INVALID",
    Kind.EXPIRED: "TOKEN_EXPIRED",
    Kind.SIGNED_OUT: "SESSION_REVOKED",
    Kind.STALE: "ACCESS_TOKEN_REVOKED",
    Kind.SERVICE_DISABLED: "SESSION_REVOKED",
    Kind.BANNED: "SESSION_REVOKED",
}
"""Who proves to be nobody, and what each is told by every method that is not public."""

_PEOPLE = frozenset(
    {
        Kind.MEMBER,
        Kind.STAFF_HERE,
        Kind.OWNER_HERE,
        Kind.STAFF_ELSEWHERE,
        Kind.OWNER_ELSEWHERE,
        Kind.STAFF_OF_ARCHIVED,
        Kind.ADMIN,
        Kind.SUPERADMIN,
    }
)
_ADMINS = frozenset({Kind.ADMIN, Kind.SUPERADMIN})


@dataclass(frozen=True, slots=True)
class Row:
    """Who is let into a method.

    Attributes:
        kinds: The kinds of caller that are; SERVICE_WITH_SCOPE where there is a scope.
        scope: What a service needs; empty where none is let in.
    """

    kinds: frozenset[Kind]
    scope: str = ""

    def reason_for(self, kind: Kind) -> str:
        """Returns what a caller of a kind is refused with; empty when it is let in."""
        if kind in self.kinds:
            return ""
        if kind is Kind.DELETED:
            return "USER_DELETED"
        return STRANGERS.get(kind, "PERMISSION_DENIED")


def _row(kinds: frozenset[Kind], scope: str) -> Row:
    return Row(kinds | {Kind.SERVICE_WITH_SCOPE} if scope else kinds, scope)


def _people(scope: str = "") -> Row:
    return _row(_PEOPLE, scope)


def _staff(scope: str) -> Row:
    return _row(_ADMINS | {Kind.STAFF_HERE, Kind.OWNER_HERE}, scope)


def _owner(scope: str = "") -> Row:
    return _row(_ADMINS | {Kind.OWNER_HERE}, scope)


def _admins(scope: str = "") -> Row:
    return _row(_ADMINS, scope)


_ANYONE = Row(frozenset(Kind))
_PEOPLE_AND_DELETED = Row(_PEOPLE | {Kind.DELETED})
_SUPERADMIN = Row(frozenset({Kind.SUPERADMIN}))

ROWS: Mapping[str, Mapping[str, Row]] = {
    "svoykrug.auth.v1.AuthService": {
        "StartSignIn": _ANYONE,
        "ResendCode": _ANYONE,
        "CompleteSignIn": _ANYONE,
        "RefreshTokens": _ANYONE,
        "SignOut": _PEOPLE_AND_DELETED,
        "ListSessions": _people(),
        "RevokeSession": _people(),
        "RevokeOtherSessions": _people(),
        "StartPhoneChange": _people(),
        "CompletePhoneChange": _people(),
        "GetJwks": _ANYONE,
        "IssueServiceToken": _ANYONE,
        "IntrospectToken": _admins("tokens.introspect"),
    },
    "svoykrug.auth.v1.AuthAdminService": {
        "CreateServiceAccount": _SUPERADMIN,
        "ListServiceAccounts": _admins(),
        "SetServiceAccountScopes": _SUPERADMIN,
        "DisableServiceAccount": _SUPERADMIN,
        "AddServiceAccountKey": _SUPERADMIN,
        "RemoveServiceAccountKey": _SUPERADMIN,
        "ListSigningKeys": _admins(),
        "CreateSigningKey": _SUPERADMIN,
        "ActivateSigningKey": _SUPERADMIN,
        "RetireSigningKey": _SUPERADMIN,
        "TraceCodeDelivery": _admins(),
        "SetDemoPhone": _SUPERADMIN,
        "ListDemoPhones": _admins(),
        "RemoveDemoPhone": _SUPERADMIN,
        "ListUserSessions": _admins(),
        "RevokeUserSessions": _admins(),
    },
    "svoykrug.users.v1.UsersService": {
        "GetMe": _people(),
        "UpdateMe": _people(),
        "SetMyConsents": _people(),
        "GetMyConsents": _people(),
        "ListMyReferrals": _people(),
        "GetMyTier": _people(),
        "GetMyWalletCode": _people(),
        "ExportMe": _PEOPLE_AND_DELETED,
        "DeleteMe": _PEOPLE_AND_DELETED,
        "RestoreMe": _PEOPLE_AND_DELETED,
        "GetErasureReceipt": _ANYONE,
        "GetUser": _admins("users.read"),
        "BatchCreateUsers": _admins("users.write"),
        "BatchGetUsers": _admins("users.read"),
        "ListUsers": _admins("users.read"),
        "UpdateUser": _admins(),
        "SetUserTier": _admins(),
        "SetUserRoles": _SUPERADMIN,
        "BanUser": _admins(),
        "UnbanUser": _admins(),
        "EraseUser": _SUPERADMIN,
        "ListAuditEvents": _admins(),
    },
    "svoykrug.businesses.v1.BusinessesService": {
        "CreateBusiness": _admins(),
        "GetBusiness": _staff("businesses.read"),
        "ListBusinesses": _people("businesses.read"),
        "UpdateBusiness": _owner(),
        "ArchiveBusiness": _admins(),
        "UnarchiveBusiness": _admins(),
        "AddStaff": _owner(),
        "RemoveStaff": _owner(),
        "ListStaff": _owner(),
    },
    "svoykrug.purchases.v1.PurchasesService": {
        "RecordPurchase": _staff("purchases.write"),
        "BatchRecordPurchases": _staff("purchases.write"),
        "RefundPurchase": _staff("purchases.write"),
        "GetPurchase": _staff("purchases.read"),
        "ListMyPurchases": _people(),
        "ListPurchases": _staff("purchases.read"),
        "ImportPurchases": _staff("purchases.write"),
        "StartCsvImport": _staff("purchases.write"),
        "UploadCsvChunk": _staff("purchases.write"),
        "FinishCsvImport": _staff("purchases.write"),
        "GetCsvImport": _staff("purchases.write"),
        "ListCsvRejections": _staff("purchases.write"),
        "ListImportRejections": _staff("purchases.write"),
        "ListRejectedRows": _staff("purchases.read"),
        "MatchRejectedRow": _staff("purchases.write"),
        "DiscardRejectedRow": _staff("purchases.write"),
    },
    "svoykrug.operations.v1.OperationsService": {
        "GetOperation": _people("operations.read"),
        "ListOperations": _people("operations.read"),
        "CancelOperation": _people("operations.write"),
        "WatchOperation": _people("operations.read"),
        "ListJobs": _admins("operations.read"),
    },
    "svoykrug.analytics.v1.AnalyticsService": {
        "GetFreshness": _owner("analytics.read"),
        "CreateSnapshot": _owner("analytics.write"),
        "ListSnapshots": _owner("analytics.read"),
        "GetSegmentSummary": _owner("analytics.read"),
        "ListSegmentMembers": _owner("analytics.read"),
        "StreamSegmentMembers": _owner("analytics.read"),
        "GetSegmentMovements": _owner("analytics.read"),
        "GetMemberInsight": _owner("analytics.read"),
        "TrainChurnModel": _owner("analytics.write"),
        "ListChurnModels": _owner("analytics.read"),
        "GetChurnModel": _owner("analytics.read"),
        "PromoteChurnModel": _owner("analytics.write"),
        "ScoreMembers": _owner("analytics.write"),
        "ListAtRiskMembers": _owner("analytics.read"),
        "GetForecastReceipts": _owner("analytics.read"),
        "GetMemberHistory": _owner("analytics.read"),
        "GetDashboard": _owner("analytics.read"),
        "WatchDashboard": _owner("analytics.read"),
        "GetCohortRetention": _owner("analytics.read"),
        "GetCrossBusinessMatrix": _owner("analytics.read"),
    },
    "grpc.health.v1.Health": {"Check": _ANYONE, "List": _ANYONE, "Watch": _ANYONE},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": _ANYONE},
    "grpc.channelz.v1.Channelz": {
        "GetTopChannels": _ANYONE,
        "GetServers": _ANYONE,
        "GetServer": _ANYONE,
        "GetServerSockets": _ANYONE,
        "GetChannel": _ANYONE,
        "GetSubchannel": _ANYONE,
        "GetSocket": _ANYONE,
    },
}
"""Anyone means anyone on this machine for channelz, which `tests/rpc` shows; the others mean it as it stands."""

ROW_BY_METHOD: Mapping[str, Row] = {
    f"{service}.{method}": row for service, rows in ROWS.items() for method, row in rows.items()
}
SCOPES = frozenset(row.scope for row in ROW_BY_METHOD.values() if row.scope)
