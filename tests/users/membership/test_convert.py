from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from svoykrug.users.v1 import user_pb2

from svoykrug_server.kit.account import ConsentGrant
from svoykrug_server.users.membership import convert
from svoykrug_server.users.membership.model import (
    Consent,
    Missing,
    Referral,
    ReferralPage,
    Standing,
    TierStatus,
    WalletCode,
)
from svoykrug_server.users.model import ConsentKind, Tier

NOW = datetime(2026, 6, 1, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.mark.parametrize("kind", ConsentKind)
def test_every_kind_of_consent_says_the_same_both_ways(kind: ConsentKind) -> None:
    proto = convert.consent_to_proto(Consent(kind, "2026-11", granted=True, consent_time=NOW))
    assert proto.consent_time.ToDatetime(UTC) == NOW
    said = user_pb2.ConsentGrant(kind=proto.kind, version=proto.version, granted=proto.granted)
    assert convert.grants_from_proto([said]) == [ConsentGrant(kind.value, "2026-11", granted=True)]


@pytest.mark.parametrize("tier", Tier)
@pytest.mark.parametrize("missing", [None, *(Missing(tier, 7, 2) for tier in Tier)])
def test_a_tier_status_carries_every_field(tier: Tier, missing: Missing | None) -> None:
    standing = Standing(123, 4, Tier.VIP, pinned=True, top_spend_minor=9)
    status = TierStatus(tier, standing, NOW - timedelta(days=365), missing, NOW, "RUB")
    proto = convert.tier_status_to_proto(status)
    assert user_pb2.Tier.Name(proto.tier) == f"TIER_{tier.name}"
    assert (proto.net_spend_minor, proto.category_count, proto.currency_code, proto.pinned) == (123, 4, "RUB", True)
    assert proto.window_start_time.ToDatetime(UTC) == NOW - timedelta(days=365)
    assert proto.compute_time.ToDatetime(UTC) == NOW
    next_tier = "TIER_UNSPECIFIED" if missing is None else f"TIER_{missing.tier.name}"
    assert user_pb2.Tier.Name(proto.next_tier) == next_tier
    told = (proto.missing_spend_minor, proto.missing_category_count)
    assert told == ((0, 0) if missing is None else (7, 2))


def test_a_referral_is_told_by_name_and_time_and_never_by_id() -> None:
    page = ReferralPage([Referral(uuid4(), "Вера", NOW)], "next", 3)
    proto = convert.referrals_to_proto(page)
    assert (proto.next_page_token, proto.total_count) == ("next", 3)
    assert [field.name for field, _ in proto.referrals[0].ListFields()] == ["display_name", "join_time"]


def test_a_wallet_code_is_told_with_its_end() -> None:
    proto = convert.wallet_code_to_proto(WalletCode("0123456A", NOW))
    assert (proto.wallet_code, proto.expire_time.ToDatetime(UTC)) == ("0123456A", NOW)
