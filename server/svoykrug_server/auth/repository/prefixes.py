"""All SQL about calling codes: how many codes went to each, and whether its breaker is open."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from svoykrug_server.auth.prefix_limits import BUDGET_SPAN, MINUTE, PROBE_SPAN, Admission, PrefixStanding
from svoykrug_server.storage.postgres import Transaction

# How does this calling code stand, and what counts against its limits?
_STANDING = text(
    """
    SELECT coalesce((SELECT breaker_open FROM auth_prefixes WHERE prefix = :prefix), false) AS breaker_open,
        coalesce(sum(send_count), 0) AS sends,
        coalesce(sum(probe_count) FILTER (WHERE minute_time > :probe_since), 0) AS probes,
        min(minute_time) AS oldest_minute,
        min(minute_time) FILTER (WHERE probe_count > 0 AND minute_time > :probe_since) AS oldest_probe_minute
    FROM auth_prefix_minutes WHERE prefix = :prefix AND minute_time > :since
    """
)

# Will nobody else count a send to this calling code before this transaction ends?
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('auth prefix ' || :prefix, 0))")

# Is there room for one more send, so that it is counted now? (under the lock, which a statement of its own took)
_SPEND = text(
    """
    INSERT INTO auth_prefix_minutes AS m (prefix, minute_time, send_count, probe_count)
    SELECT :prefix, :minute_time, 1, :probe FROM (
        SELECT coalesce(sum(send_count), 0) AS sends,
            coalesce(sum(probe_count) FILTER (WHERE minute_time > :probe_since), 0) AS probes
        FROM auth_prefix_minutes WHERE prefix = :prefix AND minute_time > :since
    ) AS used
    WHERE used.sends < :most_sends AND (:probe = 0 OR used.probes < :most_probes)
    ON CONFLICT (prefix, minute_time) DO UPDATE
    SET send_count = m.send_count + 1, probe_count = m.probe_count + excluded.probe_count
    RETURNING m.send_count
    """
)

# Is nothing known of this calling code yet, so that its breaker is closed from now on?
_MEET = text(
    """
    INSERT INTO auth_prefixes (prefix, change_time, judge_time) VALUES (:prefix, :now, :now)
    ON CONFLICT (prefix) DO NOTHING
    """
)

# Was it not looked at for a while, so that this server looks now?
_CLAIM = text(
    """
    UPDATE auth_prefixes SET judge_time = :now WHERE prefix = :prefix AND judge_time <= :due
    RETURNING breaker_open, change_time
    """
)

# Of the last sends that had time to come back, since the breaker changed: how many were there, how many were verified?
_LAST_SENDS = text(
    """
    SELECT count(*) AS sends, count(*) FILTER (WHERE verified) AS verified FROM (
        SELECT verified FROM auth_code_sends
        WHERE prefix = :prefix AND send_time >= :since AND send_time <= :until
        ORDER BY send_time DESC LIMIT :window
    ) AS last
    """
)

# Is the breaker open from now on?
_CHANGE = text("UPDATE auth_prefixes SET breaker_open = :breaker_open, change_time = :now WHERE prefix = :prefix")

# Which minutes count for nothing any more?
_FORGET = text("DELETE FROM auth_prefix_minutes WHERE minute_time < :before")


@dataclass(frozen=True, slots=True)
class Breaker:
    """The breaker of a calling code, locked until the transaction ends.

    Attributes:
        is_open: Whether it is open.
        change_time: When it opened or closed last; aware.
    """

    is_open: bool
    change_time: datetime


async def standing(tx: Transaction, prefix: str, now: datetime) -> PrefixStanding:
    """Returns how a calling code stands; others may be counting sends meanwhile."""
    row = (await tx.execute(_STANDING, {"prefix": prefix, **_spans(now)})).one()
    return PrefixStanding(row.breaker_open, row.sends, row.probes, row.oldest_minute, row.oldest_probe_minute)


async def spend(tx: Transaction, admission: Admission, now: datetime) -> bool:
    """Counts a send; tells whether there was room for it. The last thing before a commit: others wait for its end."""
    await tx.execute(_LOCK, {"prefix": admission.prefix})
    parameters = {
        "prefix": admission.prefix,
        "minute_time": now.replace(second=0, microsecond=0),
        "probe": int(admission.probe),
        "most_sends": admission.rule.sends_per_hour,
        "most_probes": admission.rule.probes,
    }
    return (await tx.execute(_SPEND, parameters | _spans(now))).one_or_none() is not None


async def claim(tx: Transaction, prefix: str, every: timedelta, now: datetime) -> Breaker | None:
    """Returns the breaker to look at, or None when that was done a moment ago, here or on another server."""
    await tx.execute(_MEET, {"prefix": prefix, "now": now})
    row = (await tx.execute(_CLAIM, {"prefix": prefix, "now": now, "due": now - every})).one_or_none()
    return None if row is None else Breaker(row.breaker_open, row.change_time)


async def last_sends(tx: Transaction, prefix: str, *, since: datetime, until: datetime, window: int) -> tuple[int, int]:
    """Returns how many of the last sends between two instants there were, at most `window`, and how many verified."""
    parameters = {"prefix": prefix, "since": since, "until": until, "window": window}
    row = (await tx.execute(_LAST_SENDS, parameters)).one()
    return row.sends, row.verified


async def change(tx: Transaction, prefix: str, now: datetime, *, breaker_open: bool) -> None:
    """Opens or closes the breaker of a claimed calling code."""
    await tx.execute(_CHANGE, {"prefix": prefix, "breaker_open": breaker_open, "now": now})


async def forget(tx: Transaction, before: datetime) -> int:
    """Deletes minutes before an instant, and returns how many there were."""
    return (await tx.execute(_FORGET, {"before": before})).rowcount


def _spans(now: datetime) -> dict[str, datetime]:
    return {"since": now - BUDGET_SPAN - MINUTE, "probe_since": now - PROBE_SPAN - MINUTE}
