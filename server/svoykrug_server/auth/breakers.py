"""The breakers of calling codes: opened when codes do not come back, closed when they do again.

Each server looks at a calling code it sends to every few seconds, in a transaction of its own, so that what it finds is
committed whatever becomes of the send.
"""

from datetime import datetime, timedelta

import structlog

from svoykrug_server.auth.prefix_limits import PrefixLimits
from svoykrug_server.auth.repository import prefixes as repository
from svoykrug_server.auth.repository.prefixes import Breaker
from svoykrug_server.auth.send_metrics import SendMetrics
from svoykrug_server.kit.clock import Clock
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditEvent
from svoykrug_server.storage.postgres import Postgres, Transaction

log = structlog.get_logger(__name__)

LOOK_EVERY = timedelta(seconds=10)


class Breakers:
    """Opens and closes the breakers of calling codes.

    Args:
        postgres: Where sends are kept.
        limits: The rules of calling codes.
        code_life: How long a send has to come back right.
        metrics: What Prometheus learns.
        clock: Tells the time.
    """

    def __init__(
        self, postgres: Postgres, limits: PrefixLimits, code_life: timedelta, metrics: SendMetrics, clock: Clock
    ) -> None:
        self._postgres = postgres
        self._limits = limits
        self._code_life = code_life
        self._metrics = metrics
        self._clock = clock
        self._looked: dict[str, datetime] = {}

    async def look(self, prefix: str) -> None:
        """Opens or closes the breaker of a calling code where its sends say so; at most every few seconds."""
        now = self._clock.now()
        looked = self._looked.get(prefix)
        if looked is not None and now < looked + LOOK_EVERY:
            return
        self._looked[prefix] = now
        async with self._postgres.transaction() as tx:
            breaker = await repository.claim(tx, prefix, LOOK_EVERY, now)
            change = None if breaker is None else await self._change(tx, prefix, breaker, now)
        if change is not None:
            log.warning("sign_in.send_breaker", prefix=prefix, change=change)
            self._metrics.breaker_changed(prefix, change)

    async def _change(self, tx: Transaction, prefix: str, breaker: Breaker, now: datetime) -> str | None:
        rule = self._limits.of(prefix)
        window = rule.probes if breaker.is_open else rule.window
        sends, verified = await repository.last_sends(
            tx, prefix, since=breaker.change_time, until=now - self._code_life, window=window
        )
        failing = rule.is_failing(sends, verified)
        if sends < window or failing == breaker.is_open:
            return None
        await repository.change(tx, prefix, now, breaker_open=failing)
        action = "SEND_BREAKER_OPENED" if failing else "SEND_BREAKER_CLOSED"
        details = {"sends": sends, "verified": verified}
        await audit.append(tx, AuditEvent(action, now, target_kind="prefix", target_id=prefix, details=details))
        return "opened" if failing else "closed"
