"""The sends of codes: every limit on them, judged and counted in the transaction of the send.

Locks are taken in one order, phone, then address, then calling code, so that no two sends wait for each other in a
circle. Everybody who sends to a country meets at its calling code; so that lock is the last thing before the commit.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from svoykrug_server.auth.call import Call
from svoykrug_server.auth.model import Challenge, SignInLimits
from svoykrug_server.auth.prefix_limits import Admission, PrefixLimits, PrefixRefused, PrefixStanding, judge
from svoykrug_server.auth.repository import challenges, prefixes
from svoykrug_server.auth.repository.challenges import SendHistory
from svoykrug_server.auth.send_metrics import SendMetrics
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.kit.errors import DomainError, Limited
from svoykrug_server.kit.phone import calling_code
from svoykrug_server.storage.postgres import Transaction


@dataclass(frozen=True, slots=True)
class SendLimits:
    """How often codes are sent.

    Attributes:
        sign_in: To a phone, and for an address.
        prefixes: To the numbers of a country.
    """

    sign_in: SignInLimits
    prefixes: PrefixLimits


class CodeSends:
    """Judges, counts and queues sends.

    Args:
        sms: The queue of SMS.
        metrics: What Prometheus learns.
        limits: How often codes are sent.
    """

    def __init__(self, sms: SmsQueue, metrics: SendMetrics, limits: SendLimits) -> None:
        self._sms = sms
        self._metrics = metrics
        self._limits = limits

    async def send(
        self, tx: Transaction, challenge: Challenge, call: Call, now: datetime, *, new: bool
    ) -> DomainError | None:
        """Counts and queues the send of a code, and keeps its challenge when it is new; or returns why it may not be.

        The last thing in its transaction, under the phone's lock.

        Raises:
            Limited: SIGN_IN_LIMITED, others were faster; inside the transaction, so that nothing of the send stays.
        """
        admission = await self._admission(tx, challenge, call, now)
        if isinstance(admission, DomainError):
            return admission
        if new:
            await challenges.insert(tx, challenge)
        send_id = await challenges.record_send(tx, challenge, call.peer_address, admission.prefix, now)
        await self._sms.put_code(tx, challenge, send_id, call.locale, now)
        if not await prefixes.spend(tx, admission, now):
            raise self._overtaken(await prefixes.standing(tx, admission.prefix, now), admission, now)
        self._metrics.sent(admission.prefix)
        return None

    async def _admission(
        self, tx: Transaction, challenge: Challenge, call: Call, now: datetime
    ) -> Admission | DomainError:
        await challenges.lock_address(tx, call.peer_address)
        history = await challenges.send_history(tx, challenge.phone, call.peer_address, self._limits.sign_in, now)
        refusal = self._refusal(history, now)
        if refusal is not None:
            return refusal
        prefix = calling_code(challenge.phone)
        rule, standing = self._limits.prefixes.of(prefix), await prefixes.standing(tx, prefix, now)
        admission = judge(prefix, rule, standing, history.address_record, now)
        if isinstance(admission, PrefixRefused):
            self._metrics.refused(prefix, admission.limit)
        return admission

    def _overtaken(self, standing: PrefixStanding, admission: Admission, now: datetime) -> PrefixRefused:
        refusal = judge(admission.prefix, admission.rule, standing, admission.record, now)
        if not isinstance(refusal, PrefixRefused):
            # The breaker closed in between: the next call passes.
            refusal = PrefixRefused("breaker", timedelta(seconds=1))
        self._metrics.refused(admission.prefix, refusal.limit)
        return refusal

    def _refusal(self, history: SendHistory, now: datetime) -> DomainError | None:
        limits, times = self._limits.sign_in, history.phone_send_times
        if len(times) >= limits.sends_per_phone_day:
            return Limited("SIGN_IN_LIMITED", retry_after=times[-1] + timedelta(days=1) - now)
        if history.address_full_time is not None:
            return Limited("SIGN_IN_LIMITED", retry_after=history.address_full_time + timedelta(hours=1) - now)
        if times and now < times[0] + limits.resend_wait:
            return Limited("RESEND_TOO_SOON", retry_after=times[0] + limits.resend_wait - now)
        return None
