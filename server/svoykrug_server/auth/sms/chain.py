"""Which providers are asked to take a message, in which order.

The order is that of the settings. A provider that failed several times in a row is passed over for a while; then one
message tries it. That is kept in this process alone: it is an order of preference, and another server's may differ.

A doubtful attempt, such as one that timed out, may have reached her. The next provider is asked all the same: she
waits, and a second SMS with the same code or the same notice does no harm. But a message bears only so many doubtful
attempts, so that a provider which takes messages and never says so does not send her six.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from svoykrug_server.auth.sms.metrics import SmsMetrics
from svoykrug_server.auth.sms.model import (
    TAKEN,
    Attempt,
    Fault,
    OutgoingSms,
    ProviderFailed,
    SmsReceipt,
    SmsSender,
)
from svoykrug_server.kit.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChainRules:
    """When a provider is passed over.

    Attributes:
        failures: After how many failures in a row that are its own.
        rest: For how long.
        doubts: How many doubtful attempts one message bears.
    """

    failures: int = 5
    rest: timedelta = timedelta(minutes=1)
    doubts: int = 2


@dataclass(frozen=True, slots=True)
class Handover:
    """What came of one round of attempts at a message.

    Attributes:
        attempts: Each attempt, in order.
        doubt_count: The message's doubtful attempts, those of earlier rounds included.
        receipt: What the provider said that took it; None where nobody did.
        failure: The kind of the last failure; empty where it was taken.
        again: Whether another round may succeed.
    """

    attempts: tuple[Attempt, ...]
    doubt_count: int
    receipt: SmsReceipt | None = None
    failure: str = ""
    again: bool = False


@dataclass(slots=True)
class _Standing:
    """How a provider fares."""

    sender: SmsSender
    failures: int = 0
    rests_until: datetime | None = field(default=None)


class SmsChain:
    """Hands messages to the first provider that takes them.

    Args:
        senders: The providers, the preferred one first.
        metrics: Counts attempts.
        clock: Tells the time.
        rules: When a provider is passed over.
    """

    def __init__(self, senders: Sequence[SmsSender], metrics: SmsMetrics, clock: Clock, rules: ChainRules) -> None:
        self._standings = [_Standing(sender) for sender in senders]
        self._metrics = metrics
        self._clock = clock
        self._rules = rules

    async def hand_over(self, message: OutgoingSms, doubt_count: int) -> Handover:
        """Asks one provider after the other until one takes a message, or none should be asked any more.

        Args:
            message: The message.
            doubt_count: Its doubtful attempts in earlier rounds.
        """
        attempts: list[Attempt] = []
        failure, again = "", False
        for standing in self._in_order():
            try:
                receipt = await standing.sender.send(message)
            except ProviderFailed as failed:
                self._failed(standing, failed)
                attempts.append(self._attempt(standing, failed.kind))
                failure, doubt_count = failed.kind, doubt_count + failed.doubtful
                again = again or failed.fault is not Fault.HERE
                if failed.fault is Fault.MESSAGE or doubt_count >= self._rules.doubts:
                    return Handover(tuple(attempts), doubt_count, failure=failure)
            else:
                self._recovered(standing)
                attempts.append(self._attempt(standing, TAKEN))
                return Handover(tuple(attempts), doubt_count, receipt=receipt)
        return Handover(tuple(attempts), doubt_count, failure=failure, again=again)

    def _in_order(self) -> Iterator[_Standing]:
        """Yields the providers to ask: those that rest are left out, unless all do."""
        now = self._clock.now()
        awake = [it for it in self._standings if it.rests_until is None or it.rests_until <= now]
        for standing in awake or self._standings:
            if standing.rests_until is not None:
                # One message tries it; until that is answered, the others pass it over.
                standing.rests_until = now + self._rules.rest
            yield standing

    def _attempt(self, standing: _Standing, outcome: str) -> Attempt:
        name = standing.sender.name
        self._metrics.attempted(name, outcome)
        return Attempt(name, self._clock.now(), outcome)

    def _failed(self, standing: _Standing, failed: ProviderFailed) -> None:
        name = standing.sender.name
        if failed.fault is Fault.ACCOUNT:
            log.error("sms.provider_needs_a_person", provider=name, kind=failed.kind)
        else:
            log.warning("sms.not_taken", provider=name, kind=failed.kind)
        if failed.fault in {Fault.MESSAGE, Fault.HERE}:
            self._recovered(standing)
            return
        standing.failures += 1
        if standing.failures >= self._rules.failures:
            standing.rests_until = self._clock.now() + self._rules.rest
            log.warning("sms.provider_rests", provider=name, seconds=self._rules.rest.total_seconds())

    def _recovered(self, standing: _Standing) -> None:
        if standing.rests_until is not None:
            log.info("sms.provider_recovered", provider=standing.sender.name)
        standing.failures, standing.rests_until = 0, None
