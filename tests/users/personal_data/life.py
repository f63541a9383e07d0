"""People with something in every table that keeps something about people."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

from svoykrug_server.purchases.model import NewRefund
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import ActorKind, AuditEvent
from svoykrug_server.storage.postgres import Transaction
from svoykrug_server.storage.schema import load_all
from tests.purchases.circle import IMPORTER, NOON, Circle, Member
from tests.purchases.csv.running import file_of, imported
from tests.users.people import join

TABLES = load_all().tables
HASH = bytes(32)
PEER = "198.51.100.77"
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Life:
    """A person, and by what she would be found.

    Attributes:
        member: Who she is.
        name: What she is called.
        latin_name: The same in Latin letters, as it is searched.
        email: Her address.
        former_phone: The number she signed in with before she changed it.
        external_ids: The ids of her receipts and refunds at businesses.
    """

    member: Member
    name: str
    latin_name: str
    email: str
    former_phone: str
    external_ids: list[str] = field(default_factory=list)

    @property
    def user_id(self) -> UUID:
        """Her id."""
        return self.member.user_id


async def live(circle: Circle, phone: str, name: str, latin_name: str, businesses: list[UUID]) -> Life:
    """Lets a person join, sign in, buy, work and bring another, and returns her."""
    former_phone = f"{phone[:-4]}{int(phone[-4:]) + 5000}"
    user_id = await join(circle.postgres, circle.clock.now(), phone)
    async with circle.postgres.read() as connection:
        member_id = await connection.fetchval("SELECT member_id FROM member_links WHERE user_id = $1", user_id)
    her = Life(Member(user_id, member_id, phone), name, latin_name, f"{latin_name}@example.ru", former_phone)
    await _sign_in(circle, her)
    await _be_known(circle, her, businesses[0])
    await _buy(circle, her, businesses)
    return her


async def _sign_in(circle: Circle, her: Life) -> None:
    now = circle.clock.now()
    expiring = {"create_time": now, "expire_time": now}
    async with circle.postgres.transaction() as tx:
        for phone in (her.member.phone, her.former_phone):
            challenge, session, message = ({"challenge_id": uuid4()}, {"session_id": uuid4()}, {"message_id": uuid4()})
            token = {"current_hash": HASH, "salt": HASH, "rotation_kid": "1", "rotation_request_id": uuid4()}
            times = {"create_time": now, "rotate_time": now}
            device = f"iPhone of {her.name}"
            await add(tx, "auth_sessions", **session, user_id=her.user_id, device_name=device, **token, **times)
            await add(tx, "auth_challenges", **challenge, **session, phone=phone, pepper_kid="1", **expiring)
            await add(tx, "auth_code_sends", **challenge, phone=phone, address=PEER, send_time=now)
            text = {"template": "sign_in_code", "locale": "ru", "state": "sent", "idempotency_key": str(uuid4())}
            await add(
                tx, "sms_messages", **message, **challenge, phone=phone, **text, **expiring, next_attempt_time=now
            )
            await add(tx, "sms_attempts", **message, provider="test", attempt_time=now, outcome="taken")
            ended = {"grant_id": session["session_id"], "ended": False, "access_epoch": 1}
            await add(tx, "auth_revocations", **ended, revoke_time=now, until_time=now)
            # One that led to no sign-in, and was guessed at.
            unused = {"challenge_id": uuid4()}
            await add(tx, "auth_challenges", **unused, phone=phone, pepper_kid="1", **expiring)
            await add(tx, "auth_code_sends", **unused, phone=phone, address=PEER, send_time=now)
            await add(tx, "auth_wrong_guesses", phone=phone, guess_time=now)
            for target_kind, target_id in (
                ("session", session["session_id"]),
                ("challenge", challenge["challenge_id"]),
            ):
                tried = AuditEvent("TRIED", now, target_kind=target_kind, target_id=str(target_id), peer_address=PEER)
                await audit.append(tx, tried)
        await _tell_of_change(tx, her, now)
        await add(tx, "auth_wrong_birth_dates", user_id=her.user_id, guess_time=now)
        await add(tx, "auth_last_seen", user_id=her.user_id, seen_time=now)
        await add(tx, "auth_demo_phones", phone=her.member.phone, code_hash=HASH, code_kid="1", **expiring)


async def _tell_of_change(tx: Transaction, her: Life, now: datetime) -> None:
    """Leaves what the change of her phone left: its proof at the new one, and the notice to the old one."""
    change_id, expiring = uuid4(), {"create_time": now, "expire_time": now}
    proof = {"phone": her.member.phone, "purpose": "phone_change", "user_id": her.user_id}
    await add(tx, "auth_challenges", challenge_id=change_id, pepper_kid="1", **proof, **expiring)
    notice = {"template": "phone_changed", "locale": "ru", "idempotency_key": f"phone-changed-{change_id}"}
    queued = {"phone": her.former_phone, "state": "sent", "next_attempt_time": now}
    await add(tx, "sms_messages", message_id=uuid4(), **notice, **queued, **expiring)


async def _be_known(circle: Circle, her: Life, business_id: UUID) -> None:
    now = circle.clock.now()
    friend_id = await join(circle.postgres, now)
    users = TABLES["users"]
    profile = {"display_name": her.name, "email": her.email, "birth_date": date(1988, 3, 8)}
    async with circle.postgres.transaction() as tx:
        await tx.execute(users.update().where(users.c.id == her.user_id).values(**profile, roles=["member", "admin"]))
        await tx.execute(users.update().where(users.c.id == friend_id).values(referrer_id=her.user_id))
        times = {"create_time": now, "update_time": now}
        await add(tx, "business_staff", business_id=business_id, user_id=her.user_id, role="staff", **times)
        done = {"state": "succeeded", "result": {}, "due_time": now, "create_time": now, "end_time": now}
        await add(tx, "operations", id=uuid4(), kind="snapshot", parameters={}, starter_id=her.user_id, **done)
        request = {"method": "/CreateBusiness", "request_id": uuid4(), "request_hash": HASH, "created_time": now}
        await add(tx, "idempotency_records", subject=str(her.user_id), **request, answer={"phone": her.member.phone})
        for action, actor_id in (("USER_UPDATED", her.user_id), ("USER_BANNED", uuid4())):
            target = ("user", str(her.user_id))
            peer = PEER if actor_id == her.user_id else None
            await audit.append(tx, AuditEvent(action, now, ActorKind.USER, actor_id, *target, peer_address=peer))
        guessed = AuditEvent("BIRTH_DATE_WRONG", now, target_kind="user", target_id=str(her.user_id), peer_address=PEER)
        await audit.append(tx, guessed)
        await add(tx, "wallet_codes", code_hash=her.user_id.bytes * 2, user_id=her.user_id, expire_time=now)
        await add(tx, "number_bans", user_id=her.user_id, number_hash=HASH, expire_time=now)
        await add(tx, "wallet_guesses", caller_id=her.user_id, guess_time=now)


async def _buy(circle: Circle, her: Life, businesses: list[UUID]) -> None:
    for number, business_id in enumerate(businesses):
        external_id = f"receipt-{number}-of-{her.name}".lower()
        purchase_id = await circle.buy(business_id, her.member, external_id, 10_000, NOON)
        refund = NewRefund(purchase_id, None, f"refund-{number}-of-{her.name}".lower(), 1_000, "", NOON + HOUR)
        await circle.refunds.refund(IMPORTER, business_id, refund)
        her.external_ids += [external_id, refund.external_id]
    waiting = {"external_id": f"unmatched-of-{her.name}".lower(), "phone": her.member.phone, "amount_minor": 500}
    times = {"purchase_time": NOON, "reject_time": NOON}
    async with circle.postgres.transaction() as tx:
        await add(tx, "rejected_rows", business_id=businesses[0], **waiting, currency_code="RUB", **times)
        ways: list[dict[str, object]] = [{"user_id": her.user_id}, {"phone": her.member.phone}]
        for number, named in enumerate(ways):
            refused = {"external_id": f"refused-{number}-of-{her.name}".lower(), "reason": "AMOUNT_OUT_OF_RANGE"}
            place = {"import_id": uuid4(), "row_number": number, "business_id": businesses[0]}
            await add(tx, "import_rejections", **place, **named, **refused, field="amount_minor")
            her.external_ids.append(refused["external_id"])
    in_a_file = f"receipt-in-a-file-of-{her.name}".lower()
    await imported(circle, businesses[0], file_of(f"{her.member.phone};{in_a_file};-1;01.05.2026"))
    her.external_ids += [str(waiting["external_id"]), in_a_file]
    for columns in ("snapshot_members (build_id, member_id)", "churn_scores (scoring_id, member_id)"):
        await circle.warehouse.command(
            f"INSERT INTO {columns} VALUES ({{id:UUID}}, {{member_id:Int64}})",  # noqa: S608 - constants only
            {"id": uuid4(), "member_id": her.member.member_id},
        )


async def add(tx: Transaction, table: str, **values: object) -> None:
    """Inserts a row."""
    await tx.execute(TABLES[table].insert().values(**values))
