"""Codes to the numbers of one country: a budget an hour, and a breaker for when they do not come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from svoykrug_server.auth.breakers import Breakers
from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.model import ChallengeView
from svoykrug_server.auth.prefix_limits import AddressRecord, Admission, PrefixLimits, PrefixRule, PrefixStanding
from svoykrug_server.auth.send_metrics import SendMetrics
from svoykrug_server.auth.sign_in_composition import compose_sending
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from tests.auth.world import CALL, PHONE, Client, World, outcomes_of, refusal_of

MINUTE = timedelta(minutes=1)
WINDOW, PROBES = 10, 3
TIGHT = PrefixLimits(other=PrefixRule(sends_per_hour=12, window=500, verified_percent=30, probes=PROBES))
WARY = PrefixLimits(other=PrefixRule(sends_per_hour=500, window=WINDOW, verified_percent=30, probes=PROBES))


def german(number: int) -> str:
    return f"+49170{number:07d}"


def home(number: int) -> str:
    """An address nobody else uses."""
    return f"10.0.{number // 256}.{number % 256}"


async def start(world: World, number: int) -> ChallengeView:
    return await world.start(german(number), Client(home(number)))


async def flood(world: World, first: int = 0, count: int = WINDOW) -> None:
    """Asks for codes and tells none back, each for another phone from another address; then their time is over."""
    for number in range(first, first + count):
        await start(world, number)
    world.clock.advance(5 * MINUTE)


@pytest.fixture
async def tight(world: World) -> World:
    """A server that sends 12 codes an hour to another country."""
    return await world.with_sign_in(prefixes=TIGHT)


@pytest.fixture
async def wary(world: World) -> World:
    """A server whose breaker looks at the last 10 codes to another country."""
    return await world.with_sign_in(prefixes=WARY)


@asynccontextmanager
async def second_server(world: World) -> AsyncIterator[World]:
    """Another server with its own connections to the same Postgres."""
    postgres = await Postgres.connect(PostgresOptions(world.url))
    yield await world.with_sign_in(postgres)
    await postgres.close()


async def test_two_servers_send_exactly_the_budget_however_many_ask_at_once(tight: World) -> None:
    async with second_server(tight) as other:
        servers = (tight, other)
        outcomes = await outcomes_of(start(servers[number % 2], number) for number in range(40))
    assert outcomes.count("OK") == 12
    assert outcomes.count("SIGN_IN_LIMITED") == 28
    counted = await tight.read("SELECT sum(send_count)::int AS sends FROM auth_prefix_minutes WHERE prefix = '49'")
    assert counted[0]["sends"] == 12
    for table in ("auth_challenges", "auth_code_sends", "sms_messages"):
        assert len(await tight.read(f"SELECT FROM {table}")) == 12


async def test_a_spent_budget_says_when_to_come_back_and_keeps_its_word(tight: World) -> None:
    for number in range(12):
        await start(tight, number)
        tight.clock.advance(timedelta(seconds=5))
    refused = await refusal_of(start(tight, 12))
    assert (refused.reason, refused.retry_after) == ("SIGN_IN_LIMITED", timedelta(hours=1))
    tight.clock.advance(timedelta(hours=1) - timedelta(microseconds=1))
    assert (await refusal_of(start(tight, 12))).retry_after == timedelta(seconds=1)
    tight.clock.advance(timedelta(microseconds=1))
    outcomes = await outcomes_of(start(tight, number) for number in range(12, 25))
    assert sorted(outcomes) == ["OK"] * 12 + ["SIGN_IN_LIMITED"]


async def test_no_hour_holds_more_than_its_budget_wherever_it_begins(tight: World) -> None:
    times = []
    for number in range(150):
        if await outcomes_of([start(tight, number)]) == ["OK"]:
            times.append(tight.clock.now())
        tight.clock.advance(timedelta(seconds=47))
    assert len(times) > 12
    assert all(later - earlier >= timedelta(hours=1) for earlier, later in zip(times, times[12:], strict=False))


async def test_the_budget_of_one_country_is_not_anothers(tight: World) -> None:
    for number in range(12):
        await start(tight, number)
    await refusal_of(start(tight, 12))
    await tight.start("+33612345678", Client(home(1)))
    await tight.start(PHONE)


async def test_a_code_sent_again_counts_against_the_budget(tight: World) -> None:
    first = await start(tight, 0)
    for number in range(1, 12):
        await start(tight, number)
    tight.clock.advance(MINUTE)
    assert (await refusal_of(tight.auth.use_cases.codes.resend(first.challenge_id, CALL))).reason == "SIGN_IN_LIMITED"


async def test_codes_that_do_not_come_back_open_the_breaker_as_nhost_3062_needed(wary: World) -> None:
    await flood(wary)
    probes = await outcomes_of([start(wary, number) for number in range(100, 100 + PROBES)])
    assert probes == ["OK"] * PROBES
    refused = await refusal_of(start(wary, 200))
    assert (refused.reason, refused.retry_after) == ("SIGN_IN_LIMITED", 11 * MINUTE)
    (event,) = await wary.audited("SEND_BREAKER_OPENED")
    assert (event["target_kind"], event["target_id"], event["actor_kind"]) == ("prefix", "49", "system")
    assert event["details"] == '{"sends": 10, "verified": 0}'


async def test_the_breaker_waits_until_every_code_it_judges_had_time_to_come_back(wary: World) -> None:
    for number in range(WINDOW):
        await start(wary, number)
    wary.clock.advance(5 * MINUTE - timedelta(microseconds=1))
    await start(wary, 100)
    assert await wary.audited("SEND_BREAKER_OPENED") == []
    wary.clock.advance(10 * timedelta(seconds=1))
    await start(wary, 101)
    assert len(await wary.audited("SEND_BREAKER_OPENED")) == 1


async def test_fewer_sends_than_the_window_open_nothing(wary: World) -> None:
    await flood(wary, count=WINDOW - 1)
    await start(wary, 100)
    assert await wary.audited("SEND_BREAKER_OPENED") == []


async def test_codes_that_come_back_keep_the_breaker_closed(wary: World) -> None:
    for number in range(WINDOW):
        challenge = await start(wary, number)
        if number % 3 == 0:
            await wary.complete(wary.answer(challenge.challenge_id))
    wary.clock.advance(5 * MINUTE)
    await start(wary, 100)
    assert await wary.audited("SEND_BREAKER_OPENED") == []


async def test_probes_that_come_back_close_the_breaker_by_itself(wary: World) -> None:
    await flood(wary)
    for number in range(100, 100 + PROBES):
        await wary.complete(wary.answer((await start(wary, number)).challenge_id))
    assert (await refusal_of(start(wary, 200))).reason == "SIGN_IN_LIMITED"
    wary.clock.advance(5 * MINUTE)
    assert await outcomes_of(start(wary, number) for number in range(300, 320)) == ["OK"] * 20
    assert len(await wary.audited("SEND_BREAKER_CLOSED")) == 1


async def test_probes_that_do_not_come_back_keep_it_open_and_a_trickle_goes_on(wary: World) -> None:
    await flood(wary)
    passed = 0
    for minute in range(60):
        passed += (await outcomes_of([start(wary, 1000 + minute)])).count("OK")
        wary.clock.advance(MINUTE)
    assert PROBES * 5 <= passed <= PROBES * 6
    assert await wary.audited("SEND_BREAKER_CLOSED") == []


async def test_an_open_breaker_lets_an_address_through_whose_codes_come_back(wary: World) -> None:
    salon = Client("203.0.113.50")
    await wary.complete(wary.answer((await wary.start(german(900), salon)).challenge_id))
    await flood(wary)
    await outcomes_of([start(wary, number) for number in range(100, 110)])
    assert (await refusal_of(start(wary, 200))).reason == "SIGN_IN_LIMITED"
    await wary.start(german(901), salon)
    await wary.start(german(902), salon)
    assert (await refusal_of(wary.start(german(903), salon))).reason == "SIGN_IN_LIMITED"


async def test_one_address_cannot_take_all_the_probes(wary: World) -> None:
    await flood(wary)
    greedy = Client("203.0.113.66")
    await wary.start(german(100), greedy)
    refused = await refusal_of(wary.start(german(101), greedy))
    assert (refused.reason, refused.retry_after) == ("SIGN_IN_LIMITED", 10 * MINUTE)
    await start(wary, 102)


async def test_parallel_probes_on_two_servers_are_as_many_as_allowed(wary: World) -> None:
    await flood(wary)
    async with second_server(wary) as other:
        servers = (wary, other)
        outcomes = await outcomes_of([start(servers[number % 2], 100 + number) for number in range(20)])
    assert outcomes.count("OK") == PROBES
    assert len(await wary.audited("SEND_BREAKER_OPENED")) == 1


async def test_an_open_breaker_is_one_countrys_alone(wary: World) -> None:
    await flood(wary)
    await outcomes_of([start(wary, number) for number in range(100, 110)])
    french = await outcomes_of(wary.start(f"+3361234{number:04d}", Client(home(number))) for number in range(20))
    assert french == ["OK"] * 20


async def test_an_open_breaker_refuses_a_known_number_in_the_words_it_has_for_an_unknown_one(wary: World) -> None:
    await wary.complete(wary.answer((await start(wary, 500)).challenge_id))
    wary.clock.advance(MINUTE)
    await flood(wary)
    await outcomes_of([start(wary, number) for number in range(100, 110)])
    known = await refusal_of(wary.start(german(500), Client("203.0.113.80")))
    unknown = await refusal_of(wary.start(german(501), Client("203.0.113.81")))
    assert known.reason == unknown.reason == "SIGN_IN_LIMITED"
    assert known.retry_after == unknown.retry_after
    assert known.metadata == unknown.metadata == {}


async def test_a_refusal_stays_a_refusal_and_the_opened_breaker_stays_written(wary: World) -> None:
    limits = PrefixLimits(other=PrefixRule(sends_per_hour=WINDOW, window=WINDOW, verified_percent=30, probes=PROBES))
    spent = await wary.with_sign_in(prefixes=limits)
    await flood(spent)
    assert (await refusal_of(start(spent, 100))).reason == "SIGN_IN_LIMITED"
    (row,) = await spent.read("SELECT breaker_open FROM auth_prefixes WHERE prefix = '49'")
    assert row["breaker_open"]
    assert len(await spent.audited("SEND_BREAKER_OPENED")) == 1


async def test_sends_refusals_and_breakers_are_counted_by_calling_code_and_nothing_more(wary: World) -> None:
    registry = CollectorRegistry()
    codes, options = Codes(wary.secrets), wary.options.sign_in
    sending = compose_sending(options, wary.postgres, codes, SmsQueue(), registry, wary.clock)
    for number in range(WINDOW):
        await sending.start(german(number), Client(home(number)))
    wary.clock.advance(5 * MINUTE)
    outcomes = await outcomes_of([sending.start(german(100 + n), Client(home(100 + n))) for n in range(PROBES + 2)])
    assert outcomes.count("SIGN_IN_LIMITED") == 2
    counted = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counted == {
        ("auth_code_sends_total", ("prefix", "49")): WINDOW + PROBES,
        ("auth_code_refusals_total", ("limit", "breaker"), ("prefix", "49")): 2,
        ("auth_send_breaker_changes_total", ("change", "opened"), ("prefix", "49")): 1,
    }


async def test_a_refusal_waits_for_nobody_who_counts_sends_to_the_country(tight: World) -> None:
    for number in range(12):
        await start(tight, number)
    async with tight.postgres.transaction() as tx:
        await (await tx.driver()).execute("SELECT pg_advisory_xact_lock(hashtextextended('auth prefix 49', 0))")
        refused = await asyncio.wait_for(refusal_of(start(tight, 12)), 5)
    assert refused.reason == "SIGN_IN_LIMITED"


async def test_a_probe_without_room_whose_breaker_closed_meanwhile_passes_a_second_later(wary: World) -> None:
    sends = wary.auth.use_cases.codes._sends
    record = AddressRecord(sends=0, verified=0, last_send_time=None)
    probe = Admission("49", WARY.other, record, probe=True)
    refusal = sends._overtaken(PrefixStanding(breaker_open=False, probes=PROBES), probe, wary.clock.now())
    assert (refusal.reason, refusal.retry_after) == ("SIGN_IN_LIMITED", timedelta(seconds=1))


async def test_servers_that_look_at_once_open_a_breaker_once(wary: World) -> None:
    await flood(wary)
    lookers = [
        Breakers(wary.postgres, WARY, 5 * MINUTE, SendMetrics(CollectorRegistry()), wary.clock) for _ in range(8)
    ]
    await asyncio.gather(*(breakers.look("49") for breakers in lookers))
    assert len(await wary.audited("SEND_BREAKER_OPENED")) == 1
