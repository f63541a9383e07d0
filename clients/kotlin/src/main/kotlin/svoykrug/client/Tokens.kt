package svoykrug.client

import com.google.gson.Gson
import com.google.gson.JsonObject
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.async
import java.util.Base64
import kotlin.time.ComparableTimeMark
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource

// An access token is renewed this long before it dies, so that no call carries one that dies on the way.
private val EARLY = 1.minutes

/** A token and when to renew it, by a clock that only counts: a wrong wall clock here changes nothing. */
internal class AccessToken(val value: String, private val renewAt: ComparableTimeMark) {
    var refused = false
    val isGood get() = !refused && renewAt.hasNotPassedNow()

    companion object {
        /** Reads a token's life from its own claims: only the server's clock counts. The server verifies it, not we. */
        fun read(value: String, clock: TimeSource.WithComparableMarks): AccessToken {
            val payload = Base64.getUrlDecoder().decode(value.split('.')[1])
            val claims = Gson().fromJson(String(payload), JsonObject::class.java)
            val life = (claims["exp"].asLong - claims["iat"].asLong).seconds
            return AccessToken(value, clock.markNow() + maxOf(life - EARLY, life / 2))
        }
    }
}

/**
 * Gives each call its access token and renews it before it dies.
 *
 * However many calls wait for a fresh token, one renewal is under way. It is a coroutine of the client: a call that is cancelled or
 * whose deadline passes stops waiting, and the renewal goes on for the others.
 *
 * @param scope That of the client.
 * @param clock Tells when a token is to be renewed.
 * @param renew Gets a new token from the server; null when nobody is signed in.
 */
internal class Tokens(
    private val scope: CoroutineScope,
    private val clock: TimeSource.WithComparableMarks,
    private val renew: suspend () -> String?,
) {
    private val lock = Any()
    private var access: AccessToken? = null
    private var renewal: Deferred<String?>? = null

    /** Returns a token that is good now, or null when there is none yet or no more. */
    fun current(): String? = synchronized(lock) { access?.takeIf { it.isGood }?.value }

    /** Returns a token that is good now, or null to call without one. */
    suspend fun get(): String? = current() ?: renewing().await()

    /** Takes over a token that did not come from a renewal; null for none. */
    fun replace(token: String?) {
        val read = token?.let { AccessToken.read(it, clock) }
        synchronized(lock) { access = read }
    }

    /** Takes note that the server refused a token: it is not used again. */
    fun discard(token: String): Unit = synchronized(lock) {
        access?.takeIf { it.value == token }?.refused = true
    }

    private fun renewing(): Deferred<String?> = synchronized(lock) {
        renewal?.takeUnless { it.isCompleted } ?: scope.async { renewed() }.also { renewal = it }
    }

    /** Renews the token, unless a sign-in or a sign-out replaces it meanwhile: then theirs is the one that counts. */
    private suspend fun renewed(): String? {
        val before = synchronized(lock) { access }
        val outcome = runCatching { renew()?.let { AccessToken.read(it, clock) } }
        return synchronized(lock) {
            if (access === before) access = outcome.getOrThrow()
            access?.value
        }
    }
}
