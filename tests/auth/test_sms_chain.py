"""Who is asked to take a message, and when a provider is passed over."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from svoykrug_server.auth.sms.chain import ChainRules, Handover, SmsChain
from svoykrug_server.auth.sms.metrics import SmsMetrics
from svoykrug_server.auth.sms.model import Fault, OutgoingSms, ProviderFailed, SmsReceipt
from svoykrug_server.kit.clock import ManualClock
from tests.auth.world import PHONE

SMS = OutgoingSms("key", PHONE, "text")
REST = ChainRules().rest


@dataclass(slots=True)
class Sender:
    """A provider that takes messages, or fails as it is told."""

    name: str
    failures: list[ProviderFailed] = field(default_factory=list)
    taken: int = 0

    async def send(self, message: OutgoingSms) -> SmsReceipt:
        """Takes a message, unless a failure is waiting."""
        if self.failures:
            raise self.failures.pop(0)
        self.taken += 1
        return SmsReceipt(self.name, message.idempotency_key)


@dataclass(slots=True)
class Chained:
    """Two providers in a chain."""

    first: Sender
    second: Sender
    clock: ManualClock
    registry: CollectorRegistry
    chain: SmsChain

    async def hand_over(self, doubt_count: int = 0) -> Handover:
        """Hands a message over."""
        return await self.chain.hand_over(SMS, doubt_count)


@pytest.fixture
def chained() -> Chained:
    """Two providers in a chain."""
    first, second, registry = Sender("first"), Sender("second"), CollectorRegistry()
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    chain = SmsChain((first, second), SmsMetrics(registry), clock, ChainRules())
    return Chained(first, second, clock, registry, chain)


def outcomes(handover: Handover) -> list[tuple[str, str]]:
    """Returns who was asked, and what came of it."""
    return [(attempt.provider, attempt.outcome) for attempt in handover.attempts]


def failures(fault: Fault, count: int, *, doubtful: bool = False) -> Sequence[ProviderFailed]:
    """Returns failures of one kind."""
    return [ProviderFailed(fault.value, fault, doubtful=doubtful) for _ in range(count)]


async def test_the_first_provider_is_asked_alone_while_it_takes_messages(chained: Chained) -> None:
    handover = await chained.hand_over()
    assert handover.receipt == SmsReceipt("first", "key")
    assert outcomes(handover) == [("first", "taken")]
    assert chained.second.taken == 0


@pytest.mark.parametrize("fault", [Fault.HERE, Fault.PASSING, Fault.ACCOUNT])
async def test_the_next_provider_is_asked_at_once_when_one_fails(chained: Chained, fault: Fault) -> None:
    chained.first.failures += failures(fault, 1)
    handover = await chained.hand_over()
    assert handover.receipt == SmsReceipt("second", "key")
    assert outcomes(handover) == [("first", fault.value), ("second", "taken")]


async def test_a_message_that_nobody_will_take_is_shown_to_no_other_provider(chained: Chained) -> None:
    chained.first.failures += failures(Fault.MESSAGE, 1)
    handover = await chained.hand_over()
    assert (handover.receipt, handover.again, handover.failure) == (None, False, "message")
    assert outcomes(handover) == [("first", "message")]


async def test_when_all_fail_there_may_be_another_round(chained: Chained) -> None:
    chained.first.failures += failures(Fault.PASSING, 1)
    chained.second.failures += failures(Fault.ACCOUNT, 1)
    handover = await chained.hand_over()
    assert (handover.receipt, handover.again, handover.failure) == (None, True, "account")


async def test_when_all_take_nothing_for_this_number_there_is_no_other_round(chained: Chained) -> None:
    for sender in (chained.first, chained.second):
        sender.failures += failures(Fault.HERE, 1)
    handover = await chained.hand_over()
    assert (handover.receipt, handover.again, len(handover.attempts)) == (None, False, 2)


async def test_a_message_bears_two_doubtful_attempts_over_all_rounds(chained: Chained) -> None:
    chained.first.failures += failures(Fault.PASSING, 1, doubtful=True)
    once = await chained.hand_over()
    assert (once.doubt_count, once.receipt) == (1, SmsReceipt("second", "key"))

    chained.first.failures += failures(Fault.PASSING, 1, doubtful=True)
    twice = await chained.hand_over(doubt_count=1)
    assert (twice.doubt_count, twice.receipt, twice.again) == (2, None, False)
    assert outcomes(twice) == [("first", "passing")]


async def test_a_provider_that_failed_five_times_in_a_row_is_passed_over_for_a_minute(chained: Chained) -> None:
    chained.first.failures += failures(Fault.PASSING, 5)
    for _ in range(5):
        await chained.hand_over()
    assert outcomes(await chained.hand_over()) == [("second", "taken")]
    chained.clock.advance(REST - timedelta(microseconds=1))
    assert outcomes(await chained.hand_over()) == [("second", "taken")]
    chained.clock.advance(timedelta(microseconds=1))
    assert outcomes(await chained.hand_over()) == [("first", "taken")]
    chained.first.failures += failures(Fault.PASSING, 4)
    for _ in range(4):
        await chained.hand_over()
    assert outcomes(await chained.hand_over()) == [("first", "taken")]


async def test_after_its_rest_one_failure_is_enough_for_another(chained: Chained) -> None:
    chained.first.failures += failures(Fault.ACCOUNT, 6)
    for _ in range(5):
        await chained.hand_over()
    chained.clock.advance(REST)
    assert outcomes(await chained.hand_over()) == [("first", "account"), ("second", "taken")]
    assert outcomes(await chained.hand_over()) == [("second", "taken")]


async def test_refusals_that_are_no_fault_of_the_provider_do_not_count(chained: Chained) -> None:
    for fault in (Fault.HERE, Fault.MESSAGE):
        chained.first.failures += failures(fault, 10)
        for _ in range(10):
            await chained.hand_over()
        assert outcomes(await chained.hand_over()) == [("first", "taken")]


async def test_when_all_rest_all_are_asked_all_the_same(chained: Chained) -> None:
    for sender in (chained.first, chained.second):
        sender.failures += failures(Fault.PASSING, 5)
    for _ in range(5):
        await chained.hand_over()
    assert outcomes(await chained.hand_over()) == [("first", "taken")]


async def test_attempts_are_counted_by_provider_and_outcome(chained: Chained) -> None:
    chained.first.failures += failures(Fault.HERE, 2)
    for _ in range(3):
        await chained.hand_over()
    counted = {
        (provider, outcome): chained.registry.get_sample_value(
            "sms_attempts_total", {"provider": provider, "outcome": outcome}
        )
        for provider, outcome in (("first", "here"), ("first", "taken"), ("second", "taken"))
    }
    assert counted == {("first", "here"): 2, ("first", "taken"): 1, ("second", "taken"): 2}
