package svoykrug.client

import io.grpc.Status
import kotlinx.coroutines.delay
import svoykrug.common.v1.ErrorReason
import kotlin.random.Random
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

internal const val MOST_ATTEMPTS: Int = 5
private val FIRST_WAIT = 200.milliseconds
private val LONGEST_WAIT = 5.seconds

/** Attempts something up to five times, with a pause after each failure that passes. */
internal suspend fun <Answer> repeated(attempt: suspend () -> Answer): Answer {
    for (failed in 1..<MOST_ATTEMPTS) {
        try {
            return attempt()
        } catch (failure: SvoyKrugException) {
            if (!failure.passes) throw failure
            delay(pause(failed, failure))
        }
    }
    return attempt()
}

/** Whether the server was away or busy, or wants a fresh token: the next attempt may go well. */
internal val SvoyKrugException.passes: Boolean
    get() = code == Status.Code.UNAVAILABLE || reason == ErrorReason.ERROR_REASON_OVERLOADED || reason in TOKEN_DEAD

/** Returns how long to wait before another attempt: 0.2 s, doubled each time up to 5 s, with jitter; never less than the server said. */
internal fun pause(failed: Int, failure: SvoyKrugException): Duration {
    val wait = minOf(FIRST_WAIT * (1 shl (failed - 1)), LONGEST_WAIT)
    return maxOf(wait, failure.retryAfter ?: Duration.ZERO) + wait * Random.nextDouble(0.2)
}
