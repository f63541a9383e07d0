"""A member's way from segment to segment: as it was known on each date, and why, against the oracle."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import grpc
import pytest
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import (
    AnalyticsServiceStub,
)

from svoykrug_server.analytics.history import Cause, LedgerEntry, Place, Step, steps_of
from svoykrug_server.analytics.history_words import change_text
from svoykrug_server.analytics.model import MemberRow, Snapshot, SnapshotPlan
from svoykrug_server.analytics.segments import SEGMENT_BY_SCORES, Segment
from svoykrug_server.kit.caller import Role, StaffRole
from tests.analytics import oracle
from tests.analytics.circles import BUSINESSES, CUTOFF, Entry, ingest, purchase, random_circle
from tests.analytics.snapshots import MOSCOW, Analytics
from tests.analytics.test_warehouse import NAMES
from tests.callers import admin, person
from tests.serving import Metadata, Refusal, Served, refusal_of

DAY = timedelta(days=1)
MONTH = 30 * DAY
DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
MISSING = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def history(
    served: Served, user_id: UUID, caller: Metadata, business_id: UUID | None = None
) -> pb.GetMemberHistoryResponse:
    request = pb.GetMemberHistoryRequest(business_id=str(business_id or ""), user_id=str(user_id))
    return await AnalyticsServiceStub(served.channel).GetMemberHistory(request, metadata=caller)


async def snapshots_as_known(analytics: Analytics, business_id: UUID | None, cutoffs: list[datetime]) -> list[Snapshot]:
    """Makes a snapshot at each cutoff that knows what was ingested by a day later."""
    made = []
    for cutoff in cutoffs:
        analytics.proofs.known_up_to = cutoff + DAY
        made.append(await analytics.snapshot(business_id, cutoff))
    return made


@pytest.mark.parametrize("business_id", [None, BUSINESSES[0]], ids=["circle", "business"])
async def test_every_step_is_what_was_known_on_its_date(analytics: Analytics, business_id: UUID | None) -> None:
    entries = random_circle(31, members=40, purchases=900)
    await ingest(analytics.warehouse, entries)
    cutoffs = [CUTOFF - number * MONTH for number in range(4, -1, -1)]
    made = await snapshots_as_known(analytics, business_id, cutoffs)
    frames = [
        oracle.snapshot(oracle.ledger(entries), business_id, cutoff, 365, cutoff + DAY, MOSCOW) for cutoff in cutoffs
    ]
    causes: set[Cause] = set()
    for member_id, user_id in (await analytics.join(range(1, 41))).items():
        steps = (await analytics.insight.history(admin(), business_id, user_id)).steps
        assert [step.snapshot_id for step in steps] == [snapshot.id for snapshot in made]
        assert [step.segment and NAMES[step.segment] for step in steps] == [
            str(frame["segment"][member_id]) if member_id in frame.index else None for frame in frames
        ]
        hers = [entry for entry in entries if entry.member_id == member_id and in_scope(entry, business_id)]
        for number, step in enumerate(steps):
            changed = number > 0 and steps[number - 1].segment != step.segment
            assert (step.change is not None) == changed
            if step.change is not None:
                causes.add(step.change.cause)
                assert_true_cause(step, hers, cutoffs[number - 1], cutoffs[number])
                if step.change.cause is Cause.SILENT and step.segment:
                    assert step.change.days == frames[number]["recency_days"][member_id]
    assert causes >= {Cause.BOUGHT, Cause.GAVE_BACK, Cause.SILENT, Cause.OTHERS_ROSE}


def in_scope(entry: Entry, business_id: UUID | None) -> bool:
    return not entry.sensitive if business_id is None else entry.business_id == business_id


def assert_true_cause(step: Step, hers: list[Entry], before: datetime, after: datetime) -> None:
    """Checks what a cause claims against the ledger."""
    fresh = [entry.kind for entry in hers if known(entry, after) and not known(entry, before)]
    change = step.change
    assert change is not None
    assert change.purchase_count == fresh.count("purchase")
    if change.cause is Cause.BOUGHT:
        assert "purchase" in fresh
    if change.cause is Cause.GAVE_BACK:
        assert {"refund", "reversal"} & set(fresh)
    if not fresh:
        assert change.cause not in {Cause.BOUGHT, Cause.GAVE_BACK}


def known(entry: Entry, cutoff: datetime) -> bool:
    return entry.purchase_time < cutoff and entry.ingest_time <= cutoff + DAY


def place(scores: int, day: int, figures: tuple[int, int, int] = (10, 4, 900), rules: str = "1") -> Place:
    """Returns a member with these scores, recency days, purchases and spend in the snapshot of a day; 0: not in it."""
    cutoff = datetime(2026, 1, 1, 12, tzinfo=UTC) + day * DAY
    snapshot = Snapshot(SnapshotPlan(uuid4(), None, cutoff, 365, cutoff, rules), uuid4(), 9, cutoff)
    digits = (scores // 100, scores // 10 % 10, scores % 10)
    return Place(snapshot, MemberRow(1, SEGMENT_BY_SCORES[scores], *figures, *digits) if scores else None)


def entry(day: float, *, is_purchase: bool = True) -> LedgerEntry:
    happened = datetime(2026, 1, 1, 12, tzinfo=UTC) + day * DAY
    return LedgerEntry(is_purchase, happened, happened)


FIRST, SECOND = 0, 10
TEXTS = [
    (place(0, FIRST), place(512, SECOND), [entry(9)], "bought 1 time", "новых покупок: 1"),
    (
        place(311, FIRST),
        place(555, SECOND, (1, 6, 2_000)),
        [entry(8), entry(9)],
        "bought 2 times (recency 3 → 5, frequency 1 → 5, monetary 1 → 5)",
        "новых покупок: 2 (давность 3 → 5, частота 1 → 5, сумма 1 → 5)",
    ),
    (
        place(555, FIRST),
        place(355, SECOND, (20, 4, 900)),
        [],
        "no purchase for 20 days (recency 5 → 3)",
        "дней без покупок: 20 (давность 5 → 3)",
    ),
    (
        place(555, FIRST),
        place(533, SECOND, (20, 2, 300)),
        [entry(5, is_purchase=False)],
        "gave purchases back (frequency 5 → 3, monetary 5 → 3)",
        "вернула покупки (частота 5 → 3, сумма 5 → 3)",
    ),
    (
        place(555, FIRST),
        place(533, SECOND, (20, 2, 300)),
        [],
        "purchases older than 365 days no longer count (frequency 5 → 3, monetary 5 → 3)",
        "покупки старше 365 дней больше не учитываются (частота 5 → 3, сумма 5 → 3)",
    ),
    (
        place(555, FIRST),
        place(533, SECOND, (20, 4, 900)),
        [],
        "others bought more (frequency 5 → 3, monetary 5 → 3)",
        "другие покупали больше (частота 5 → 3, сумма 5 → 3)",
    ),
    (
        place(533, FIRST),
        place(555, SECOND, (20, 4, 900)),
        [],
        "others bought less (frequency 3 → 5, monetary 3 → 5)",
        "другие покупали меньше (частота 3 → 5, сумма 3 → 5)",
    ),
    (place(311, FIRST, (360, 1, 9)), place(0, SECOND), [], "no purchase for 370 days", "дней без покупок: 370"),
    (place(555, FIRST), place(0, SECOND), [entry(1, is_purchase=False)], "gave purchases back", "вернула покупки"),
    (
        place(555, FIRST),
        place(111, SECOND, rules="2"),
        [],
        "the rules of segments changed (recency 5 → 1, frequency 5 → 1, monetary 5 → 1)",
        "изменились правила сегментов (давность 5 → 1, частота 5 → 1, сумма 5 → 1)",
    ),
]


@pytest.mark.parametrize(("before", "after", "entries", "english", "russian"), TEXTS)
def test_a_change_says_what_caused_it(
    before: Place, after: Place, entries: list[LedgerEntry], english: str, russian: str
) -> None:
    unchanged, step = steps_of([before, after], entries, MOSCOW)
    assert unchanged.change is None
    assert step.change is not None
    assert change_text(step.change, "en") == english
    assert change_text(step.change, "ru") == russian


def test_a_member_who_is_new_no_more_is_told_apart_from_others() -> None:
    old, later = place(512, FIRST), place(512, SECOND)
    assert later.row is not None
    aged = MemberRow(1, Segment.ABOUT_TO_SLEEP, 20, 4, 900, 5, 1, 2)
    (_, step) = steps_of([old, Place(later.snapshot, aged)], [], MOSCOW)
    assert step.change is not None
    assert change_text(step.change, "en") == "her first purchase is over 90 days ago"


async def test_the_answer_holds_days_segments_and_causes_in_the_callers_language(
    analytics: Analytics, served: Served
) -> None:
    others = [purchase(number, number, 100 * number, CUTOFF - number * DAY) for number in range(2, 12)]
    await ingest(analytics.warehouse, [purchase(1, 1, 5_000, CUTOFF - 40 * DAY), *others])
    (user_id,) = (await analytics.join([1])).values()
    await snapshots_as_known(analytics, None, [CUTOFF - 60 * DAY, CUTOFF - 39 * DAY, CUTOFF])
    await analytics.snapshot(cutoff=CUTOFF - DAY, window_days=30)
    answer = await history(served, user_id, served.tokens.sign_in(admin()))
    assert [(each.cutoff_date.month, each.cutoff_date.day) for each in answer.steps] == [
        (day.month, day.day) for day in (date(2026, 3, 2), date(2026, 3, 23), date(2026, 5, 1))
    ]
    assert [bool(each.segment) for each in answer.steps] == [False, True, True]
    assert not answer.steps[0].cause
    assert "1" in answer.steps[1].cause
    assert [each.known_time.ToDatetime(UTC) for each in answer.steps] == [
        cutoff + DAY for cutoff in (CUTOFF - 60 * DAY, CUTOFF - 39 * DAY, CUTOFF)
    ]
    assert answer.freshness.HasField("watermark")


async def test_what_arrived_late_changes_no_step_of_the_past_but_the_next_one(analytics: Analytics) -> None:
    others = [purchase(number, number, 100 * number, CUTOFF - number * DAY) for number in range(2, 12)]
    late = purchase(1, 1, 5_000, CUTOFF - 50 * DAY, ingest_time=CUTOFF - DAY)
    await ingest(analytics.warehouse, [late, *others])
    (user_id,) = (await analytics.join([1])).values()
    made = await snapshots_as_known(analytics, None, [CUTOFF - 40 * DAY, CUTOFF - 20 * DAY])
    analytics.proofs.known_up_to = CUTOFF + DAY
    await analytics.snapshot(cutoff=CUTOFF - 40 * DAY, known=CUTOFF - 10 * DAY)  # knows more than the one in time
    made += [await analytics.snapshot()]
    await analytics.snapshot(cutoff=CUTOFF - 30 * DAY)  # knows what arrived after the steps that follow it
    steps = (await analytics.insight.history(admin(), None, user_id)).steps
    assert [step.snapshot_id for step in steps] == [snapshot.id for snapshot in made]
    assert [bool(step.segment) for step in steps] == [False, False, True]
    assert steps[2].change is not None
    assert steps[2].change.cause is Cause.BOUGHT


async def test_a_past_that_was_brought_along_is_shown_as_it_is_known_since_then(analytics: Analytics) -> None:
    others = [purchase(number, number, 100 * number, CUTOFF - number * DAY) for number in range(2, 12)]
    await ingest(analytics.warehouse, [purchase(1, 1, 5_000, CUTOFF - 50 * DAY, ingest_time=CUTOFF - DAY), *others])
    (user_id,) = (await analytics.join([1])).values()
    made = [await analytics.snapshot(cutoff=CUTOFF - days * DAY) for days in (60, 40, 20)]
    steps = (await analytics.insight.history(admin(), None, user_id)).steps
    assert [step.snapshot_id for step in steps] == [snapshot.id for snapshot in made]
    assert [bool(step.segment) for step in steps] == [False, True, True]


async def test_an_owner_sees_her_own_customers_by_her_own_purchases_alone(analytics: Analytics, served: Served) -> None:
    mine, other = BUSINESSES[0], BUSINESSES[1]
    await ingest(
        analytics.warehouse, [purchase(1, 1, 100, CUTOFF - DAY, mine), purchase(2, 2, 100, CUTOFF - DAY, other)]
    )
    users = await analytics.join([1, 2])
    await analytics.snapshot(mine)
    owner = served.tokens.sign_in(person(None, Role.MEMBER, staff={mine: StaffRole.OWNER}))
    assert len((await history(served, users[1], owner, mine)).steps) == 1
    for stranger in (users[2], uuid4()):
        assert await refusal_of(history(served, stranger, owner, mine)) == DENIED
    assert await refusal_of(history(served, users[1], owner, other)) == DENIED


async def test_an_admin_is_told_that_a_user_does_not_exist(served: Served) -> None:
    assert await refusal_of(history(served, uuid4(), served.tokens.sign_in(admin()))) == MISSING
