"""One round of calls: every method of the hot services at least once, as people of a large circle would call it."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from svoykrug.users.v1 import user_pb2

from benchmarks.million_users import BEGAN
from svoykrug_server.auth import key_material
from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.auth.revocations import Revocations
from tests.attacks.cast import PHONES, service_account
from tests.attacks.kinds import SCOPES, Kind
from tests.growth.calls import Calls, purchase_of, record

ACTIVE = "status = 'active' AND roles = '{member}'"
SEEN_LATELY = (
    "EXISTS (SELECT FROM auth_last_seen AS s WHERE s.user_id = users.id AND seen_time > now() - interval '90 d')"
)
SILENT = "EXISTS (SELECT FROM auth_last_seen AS s WHERE s.user_id = users.id AND seen_time < now() - interval '300 d')"
BOUGHT_LATELY = (
    "EXISTS (SELECT FROM purchase_entries AS e WHERE e.member_id = member_links.member_id"
    " AND purchase_time > now() - interval '90 d')"
)
_ERASE = "UPDATE purchase_entries SET external_id = NULL, external_id_hash = $2 WHERE entry_id = $1"
_DROP = """
    UPDATE import_reports SET dropped = true WHERE import_id = (
        SELECT import_id FROM import_reports WHERE business_id = $1 AND csv_import_id IS NULL AND NOT dropped LIMIT 1
    )
"""
_CANDIDATE = "SELECT id::text FROM churn_models WHERE business_id = $1 AND state = 'candidate' LIMIT 1"
CSV = b"phone;receipt;amount;date\r\n+79995550011;r-1;100;2026-11-01\r\n"
_SERVICE, _OWNER, _STAFF, _MEMBER = Kind.SERVICE_WITH_SCOPE, Kind.OWNER_HERE, Kind.STAFF_HERE, Kind.MEMBER
_ADMIN, _SUPERADMIN = Kind.ADMIN, Kind.SUPERADMIN


async def sign_in_calls(calls: Calls) -> None:
    """Signs a new and an old member in, renews and ends sessions, and changes a phone."""
    circle = calls.cast.circle
    old = await calls.somebody(f"{ACTIVE} AND {SEEN_LATELY}")
    unclaimed = await calls.somebody(f"status = 'unclaimed' AND {BOUGHT_LATELY}")
    await circle.sign_in(unclaimed["phone"])
    other, person = await circle.sign_in(old["phone"]), await circle.sign_in(old["phone"])
    started = await calls.ask("StartSignIn", Kind.NOBODY, phone=next(PHONES))
    await calls.ask("ResendCode", Kind.NOBODY, challenge_id=started.challenge.challenge_id)
    await circle.refresh(person)
    session_id = (await calls.ask("ListSessions", other)).sessions[-1].id
    await calls.ask("RevokeSession", person, session_id=session_id)
    await calls.ask("RevokeOtherSessions", person)
    change = (await calls.ask("StartPhoneChange", person, phone=next(PHONES))).challenge
    proof = {"challenge_id": change.challenge_id, "code": calls.phone_change_code(change)}
    await calls.ask("CompletePhoneChange", person, **proof)
    await circle.refresh(person)
    await calls.ask("SignOut", person)


async def refused_sign_in_calls(calls: Calls) -> None:
    """Lets a new member name who brought her and use a token twice; types a wrong code, and a wrong birth date."""
    circle = calls.cast.circle
    code = await calls.connection.fetchval("SELECT referral_code FROM users WHERE status = 'active' LIMIT 1")
    person = await circle.sign_in(next(PHONES), code)
    used = person.tokens.refresh_token
    for _ in range(2):
        await circle.refresh(person)
    await calls.be_refused("RefreshTokens", Kind.NOBODY, refresh_token=used)
    silent = await calls.somebody(f"{ACTIVE} AND {SILENT} AND birth_date IS NOT NULL")
    for phone, ahead in ((next(PHONES), 1), (silent["phone"], 0)):
        challenge = (await calls.ask("StartSignIn", Kind.NOBODY, phone=phone)).challenge
        right = int(circle.code_of(challenge_id_from_text(challenge.challenge_id)))
        typed = f"{(right + ahead) % 10**6:06}"
        await calls.be_refused("CompleteSignIn", Kind.NOBODY, challenge_id=challenge.challenge_id, code=typed)


async def doubtful_calls(calls: Calls) -> None:
    """Calls while the server may have missed that a session or a service was ended."""
    with pytest.MonkeyPatch.context() as out_of_touch:
        out_of_touch.setattr(Revocations, "in_touch", False)
        await calls.ask("GetMe", _MEMBER)
        await calls.ask("GetUser", _SERVICE, user_id=calls.cast.people[_MEMBER].user_id)


async def service_calls(calls: Calls) -> None:
    """Makes a service with its keys, lets it in, and shuts it out; looks a token up."""
    cast = calls.cast
    account = await service_account(cast, f"service-{uuid4()}", SCOPES)
    named = {"service_account_id": account.account_id}
    await calls.ask("IssueServiceToken", Kind.NOBODY, assertion=account.assertion(), scopes=["users.read"])
    await calls.ask("ListServiceAccounts", _ADMIN)
    await calls.ask("SetServiceAccountScopes", _SUPERADMIN, **named)
    pem = key_material.public_to_pem(key_material.generate("ES256").public_key()).decode()
    added = await calls.ask("AddServiceAccountKey", _SUPERADMIN, public_key_pem=pem, **named)
    await calls.ask("RemoveServiceAccountKey", _SUPERADMIN, kid=added.kid, **named)
    await calls.ask("DisableServiceAccount", _SUPERADMIN, **named)
    await calls.ask("IntrospectToken", _SERVICE, token=cast.people[_MEMBER].tokens.access_token)


async def key_calls(calls: Calls) -> None:
    """Makes two signing keys, signs with one and retires the other."""
    await calls.ask("GetJwks", Kind.NOBODY)
    await calls.ask("ListSigningKeys", _ADMIN)
    created = (await calls.ask("CreateSigningKey", _SUPERADMIN)).signing_key
    await calls.ask("ActivateSigningKey", _SUPERADMIN, kid=created.kid, skip_wait=True)
    unused = (await calls.ask("CreateSigningKey", _SUPERADMIN)).signing_key
    await calls.ask("RetireSigningKey", _SUPERADMIN, kid=unused.kid)


async def help_calls(calls: Calls) -> None:
    """Looks into sign-ins for members who cannot."""
    demo = {"phone": next(PHONES)}
    await calls.ask("SetDemoPhone", _SUPERADMIN, expire_time=_at(datetime.now(UTC) + timedelta(days=1)), **demo)
    await calls.ask("ListDemoPhones", _ADMIN)
    await calls.ask("StartSignIn", Kind.NOBODY, **demo)
    await calls.ask("RemoveDemoPhone", _SUPERADMIN, **demo)
    person = await calls.somebody(f"{ACTIVE} AND {SEEN_LATELY}")
    await calls.ask("TraceCodeDelivery", _ADMIN, phone=person["phone"])
    await calls.cast.circle.sign_in(person["phone"])
    sessions = (await calls.ask("ListUserSessions", _ADMIN, user_id=person["id"])).sessions
    for ended in (sessions[0].id, ""):
        await calls.ask("RevokeUserSessions", _ADMIN, user_id=person["id"], session_id=ended)


def _at(moment: datetime) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(moment)
    return at


def _date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


async def own_calls(calls: Calls) -> None:
    """Lets a member read and change what is hers, leave, and come back."""
    old = await calls.somebody(f"{ACTIVE} AND {SEEN_LATELY}")
    person = await calls.cast.circle.sign_in(old["phone"])
    for name in ("GetMe", "UpdateMe", "SetMyConsents", "GetMyConsents", "ListMyReferrals", "GetMyTier", "ExportMe"):
        await calls.ask(name, person)
    erasure = (await calls.ask("DeleteMe", person)).erasure
    await calls.ask("GetErasureReceipt", Kind.NOBODY, erasure_id=erasure.id)
    person = await calls.cast.circle.sign_in(old["phone"])
    await calls.ask("RestoreMe", person)


async def user_calls(calls: Calls) -> None:
    """Lets admins find and change members."""
    person, other = await calls.somebody(ACTIVE), await calls.somebody(ACTIVE)
    named, phone = {"user_id": person["id"]}, person["phone"]
    await calls.ask("GetUser", _SERVICE, **named)
    await calls.ask("BatchGetUsers", _SERVICE, user_ids=[person["id"], other["id"]])
    guests = [{"phone": next(PHONES), "display_name": "Гостья"} for _ in range(20)]
    await calls.ask("BatchCreateUsers", _SERVICE, users=[*guests, {"phone": phone}])
    changed = {"id": person["id"], "display_name": "Мария Сидорова"}
    await calls.ask("UpdateUser", _ADMIN, user=changed)
    await calls.ask("SetUserTier", _ADMIN, tier=user_pb2.TIER_INNER_CIRCLE, **named)
    await calls.ask("SetUserTier", _ADMIN, tier=user_pb2.TIER_UNSPECIFIED, **named)
    await calls.ask("SetUserRoles", _SUPERADMIN, roles=[user_pb2.ROLE_MEMBER, user_pb2.ROLE_ADMIN], **named)
    await calls.ask("SetUserRoles", _SUPERADMIN, roles=[user_pb2.ROLE_MEMBER, user_pb2.ROLE_SUPERADMIN], **named)
    await calls.ask("SetUserRoles", _SUPERADMIN, **named)
    await calls.ask("BanUser", _ADMIN, **named)
    await calls.ask("UnbanUser", _ADMIN, **named)
    await calls.ask("EraseUser", _SUPERADMIN, **named)
    await calls.ask("BanUser", _ADMIN, **named)
    await calls.ask("UnbanUser", _ADMIN, **named)


async def list_calls(calls: Calls) -> None:
    """Lets admins look through members and through the trail, by everything they can be looked through by."""
    person = await calls.somebody(f"{ACTIVE} AND display_name ~ '^[А-Я]'")
    phone, name = person["phone"], person["display_name"]
    first = await calls.ask("ListUsers", _ADMIN)
    await calls.ask("ListUsers", _ADMIN, page_token=first.next_page_token)
    for wanted in (
        {"phone": phone},
        {"phone": phone[-4:]},
        {"phone": phone[-7:]},
        {"name": name},
        {"name": name.split()[0]},
        {"name": name[:4] + name[5:]},
        {"name": "фщзгъх"},
        {"tiers": [user_pb2.TIER_VIP]},
        {"tiers": [user_pb2.TIER_INNER_CIRCLE], "name": name.split()[0]},
        {"roles": [user_pb2.ROLE_ADMIN]},
        {"states": [user_pb2.USER_STATE_BANNED]},
        {"created_until_time": _at(BEGAN + timedelta(days=10))},
    ):
        await calls.ask("ListUsers", _ADMIN, **wanted)
    for wanted in (
        {},
        {"actor_id": person["id"]},
        {"target_id": person["id"]},
        {"actions": ["SIGNED_IN", "USER_BANNED"]},
    ):
        page = await calls.ask("ListAuditEvents", _ADMIN, **wanted)
        if page.next_page_token:
            await calls.ask("ListAuditEvents", _ADMIN, page_token=page.next_page_token, **wanted)


async def business_calls(calls: Calls) -> None:
    """Opens a business, gives it people, and archives it."""
    created = (await calls.ask("CreateBusiness", _ADMIN)).business
    person = await calls.somebody(ACTIVE)
    await calls.ask("UpdateBusiness", _ADMIN, business={"id": created.id, "name": f"Дом {uuid4()}"})
    listed = await calls.ask("ListBusinesses", _MEMBER)
    await calls.ask("ListBusinesses", _MEMBER, page_token=listed.next_page_token)
    await calls.ask("ListStaff", _OWNER)
    for place in ({"business_id": created.id}, {"business_id": calls.cast.here}):
        await calls.ask("GetBusiness", _ADMIN, **place)
        await calls.ask("AddStaff", _ADMIN, user_id=person["id"], **place)
        await calls.ask("AddStaff", _ADMIN, user_id=person["id"], role=user_pb2.STAFF_ROLE_OWNER, **place)
        await calls.ask("RemoveStaff", _ADMIN, user_id=person["id"], **place)
    await calls.ask("ArchiveBusiness", _ADMIN, business_id=created.id)
    await calls.ask("UnarchiveBusiness", _ADMIN, business_id=created.id)


async def purchase_calls(calls: Calls) -> None:
    """Records and refunds purchases, alone and many, and lists them."""
    here, person = calls.cast.here, await calls.somebody(f"{ACTIVE} AND {SEEN_LATELY}")
    buyer = await calls.cast.circle.sign_in(person["phone"])
    code = (await calls.ask("GetMyWalletCode", buyer)).wallet_code
    sold = [
        (await record(calls, here, **by)).purchase for by in ({"user_id": person["id"]}, {"phone": person["phone"]})
    ]
    await record(calls, here, wallet_code=code)
    await calls.be_refused("RecordPurchase", _STAFF, purchase=purchase_of(wallet_code="A" * len(code)))
    given = {"amount_minor": 10, "external_id": f"r-{sold[0].id}", "refund_time": _at(datetime.now(UTC))}
    for _ in range(2):
        await calls.ask("RefundPurchase", _STAFF, purchase_id=sold[0].id, **given)
    await calls.ask("RefundPurchase", _STAFF, purchase_external_id=sold[1].external_id, amount_minor=10)
    await calls.ask("GetPurchase", _STAFF, purchase_id=sold[0].id)
    for name, caller in (("ListMyPurchases", buyer), ("ListPurchases", _STAFF)):
        page = await calls.ask(name, caller, page_size=3)
        await calls.ask(name, caller, page_size=3, page_token=page.next_page_token)
    people = [person, *[await calls.somebody(ACTIVE) for _ in range(5)]]
    known = [purchase_of(phone=one["phone"]) for one in people]
    strays = [purchase_of(phone=next(PHONES)) for _ in range(3)]
    again = {**known[0], "amount_minor": 200}
    await calls.ask("BatchRecordPurchases", _STAFF, purchases=known)
    await calls.connection.execute(_DROP, UUID(here))
    imported = await calls.ask("ImportPurchases", _STAFF, purchases=[*known, *strays, again])
    await calls.ask("ListImportRejections", _STAFF, import_id=imported.import_id)
    rows = (await calls.ask("ListRejectedRows", _STAFF)).rows
    await calls.ask("ListRejectedRows", _STAFF, page_size=1)
    await calls.ask("MatchRejectedRow", _STAFF, row_id=rows[0].id, phone=person["phone"])
    await calls.ask("DiscardRejectedRow", _STAFF, row_id=rows[1].id)


async def erased_purchase_calls(calls: Calls) -> None:
    """Records again, and refunds, what somebody bought who has been erased since."""
    bought = purchase_of(user_id=(await calls.somebody(ACTIVE))["id"])
    sold = (await calls.ask("RecordPurchase", _STAFF, purchase=bought)).purchase
    hashed = calls.hashes.of(UUID(calls.cast.here), sold.external_id)
    await calls.connection.execute(_ERASE, UUID(sold.id), hashed)
    await calls.ask("RecordPurchase", _STAFF, purchase=bought)
    await calls.ask("RefundPurchase", _STAFF, purchase_external_id=sold.external_id, amount_minor=10)


async def csv_calls(calls: Calls) -> None:
    """Uploads a file, and looks at what became of one."""
    started = (await calls.ask("StartCsvImport", _STAFF)).csv_import
    await calls.ask("UploadCsvChunk", _STAFF, csv_import_id=started.id, chunk=CSV)
    await calls.ask("UploadCsvChunk", _STAFF, csv_import_id=started.id, chunk=CSV)
    operation = (await calls.ask("FinishCsvImport", _STAFF, csv_import_id=started.id)).operation
    asked = "SELECT id::text FROM csv_imports WHERE business_id = $1 AND state = 'tried' LIMIT 1"
    tried = await calls.connection.fetchval(asked, UUID(calls.cast.here))
    await calls.ask("GetCsvImport", _STAFF, csv_import_id=started.id)
    await calls.ask("GetCsvImport", _STAFF, csv_import_id=tried)
    await calls.ask("ListCsvRejections", _STAFF, csv_import_id=tried)
    named = {"operation_id": operation.id}
    await calls.ask("GetOperation", _STAFF, **named)
    await calls.ask("WatchOperation", _STAFF, **named)
    for caller in (_STAFF, _ADMIN):
        page = await calls.ask("ListOperations", caller, page_size=1)
        await calls.ask("ListOperations", caller, page_size=1, page_token=page.next_page_token)
    await calls.ask("CancelOperation", _STAFF, **named)
    await calls.ask("ListJobs", _ADMIN)


async def analytics_calls(calls: Calls) -> None:
    """Asks for everything that is known of a business, and of the circle."""
    await _scope_calls(calls, _OWNER, calls.cast.here)
    await _scope_calls(calls, _ADMIN, "")
    model_id = await calls.connection.fetchval(_CANDIDATE, UUID(calls.cast.here))
    await calls.ask("GetChurnModel", _OWNER, churn_model_id=model_id)
    await calls.ask("PromoteChurnModel", _OWNER, churn_model_id=model_id)
    await calls.ask("ScoreMembers", _OWNER)
    scoring_id = (await calls.ask("ListAtRiskMembers", _OWNER)).scoring_id
    await calls.ask("ListAtRiskMembers", _OWNER, scoring_id=scoring_id)
    today = datetime.now(UTC).date()
    days = {"from_date": _date(today - timedelta(days=1)), "to_date": _date(today + timedelta(days=1))}
    await calls.ask("GetFreshness", _SERVICE, **days)
    await calls.ask("GetCrossBusinessMatrix", _OWNER)


async def _scope_calls(calls: Calls, caller: Kind, business_id: str) -> None:
    place, buyer = {"business_id": business_id}, {"user_id": calls.cast.people[_MEMBER].user_id}
    for name in ("ListSnapshots", "ListChurnModels", "GetForecastReceipts"):
        page = await calls.ask(name, caller, page_size=2, **place)
        await calls.ask(name, caller, page_size=2, page_token=page.next_page_token, **place)
    snapshots = (await calls.ask("ListSnapshots", caller, **place)).snapshots
    ids = {"from_snapshot_id": snapshots[2].id, "to_snapshot_id": snapshots[1].id}
    await calls.ask("GetSegmentMovements", caller, **ids, **place)
    for name in ("GetSegmentSummary", "ListSegmentMembers", "StreamSegmentMembers"):
        for snapshot_id in ("", snapshots[0].id):
            await calls.ask(name, caller, snapshot_id=snapshot_id, **place)
    for as_of_time in (Timestamp(), _at(datetime.now(UTC) - timedelta(days=60))):
        await calls.ask("GetMemberInsight", caller, as_of_time=as_of_time, **buyer, **place)
    await calls.ask("GetMemberHistory", caller, **buyer, **place)
    for name in ("GetFreshness", "ListAtRiskMembers", "GetDashboard", "WatchDashboard", "GetCohortRetention"):
        await calls.ask(name, caller, **place)
    for name in ("CreateSnapshot", "TrainChurnModel"):
        await calls.ask(name, caller, **place)


ROUND = (
    sign_in_calls,
    refused_sign_in_calls,
    doubtful_calls,
    service_calls,
    key_calls,
    help_calls,
    own_calls,
    user_calls,
    list_calls,
    business_calls,
    purchase_calls,
    erased_purchase_calls,
    csv_calls,
    analytics_calls,
)
"""What is called one after the other."""
