"""Protobuf <-> model for memberships."""

from collections.abc import Sequence

from svoykrug.users.v1 import user_pb2, users_service_pb2

from svoykrug_server.kit.account import ConsentGrant
from svoykrug_server.rpc.timestamps import timestamp_from
from svoykrug_server.users.convert import TIERS
from svoykrug_server.users.membership.model import Consent, ReferralPage, TierStatus, WalletCode
from svoykrug_server.users.model import ConsentKind

CONSENT_KINDS = {
    ConsentKind.TERMS: user_pb2.CONSENT_KIND_TERMS,
    ConsentKind.PERSONAL_DATA: user_pb2.CONSENT_KIND_PERSONAL_DATA,
    ConsentKind.MARKETING: user_pb2.CONSENT_KIND_MARKETING,
    ConsentKind.PROFILING: user_pb2.CONSENT_KIND_PROFILING,
}
_MODEL_CONSENT_KINDS = {proto: kind for kind, proto in CONSENT_KINDS.items()}


def grants_from_proto(grants: Sequence[user_pb2.ConsentGrant]) -> list[ConsentGrant]:
    """Returns what a person says about consents, in her order."""
    return [
        ConsentGrant(_MODEL_CONSENT_KINDS[grant.kind].value, grant.version, granted=grant.granted) for grant in grants
    ]


def consent_to_proto(consent: Consent) -> user_pb2.Consent:
    """Returns a consent as it stands."""
    return user_pb2.Consent(
        kind=CONSENT_KINDS[consent.kind],
        version=consent.document_version,
        granted=consent.granted,
        consent_time=timestamp_from(consent.consent_time),
    )


def referrals_to_proto(page: ReferralPage) -> users_service_pb2.ListMyReferralsResponse:
    """Returns a page of referrals; their ids stay here."""
    return users_service_pb2.ListMyReferralsResponse(
        referrals=[
            users_service_pb2.Referral(display_name=referral.display_name, join_time=timestamp_from(referral.join_time))
            for referral in page.referrals
        ],
        next_page_token=page.next_page_token,
        total_count=page.total_count,
    )


def tier_status_to_proto(status: TierStatus) -> user_pb2.TierStatus:
    """Returns where a member stands."""
    proto = user_pb2.TierStatus(
        tier=TIERS[status.tier],
        net_spend_minor=status.standing.net_spend_minor,
        category_count=status.standing.category_count,
        currency_code=status.currency_code,
        window_start_time=timestamp_from(status.window_start_time),
        pinned=status.standing.pinned,
        compute_time=timestamp_from(status.compute_time),
    )
    if status.missing is not None:
        proto.next_tier = TIERS[status.missing.tier]
        proto.missing_spend_minor = status.missing.spend_minor
        proto.missing_category_count = status.missing.category_count
    return proto


def wallet_code_to_proto(code: WalletCode) -> users_service_pb2.GetMyWalletCodeResponse:
    """Returns a wallet code to show."""
    return users_service_pb2.GetMyWalletCodeResponse(
        wallet_code=code.code, expire_time=timestamp_from(code.expire_time)
    )
