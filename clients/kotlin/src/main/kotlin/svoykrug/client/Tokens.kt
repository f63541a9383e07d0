package svoykrug.client

import com.google.gson.Gson
import com.google.gson.JsonObject
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
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
    private val replacing = Mutex()
    private var access: AccessToken? = null

    /** The renewal or replacement that is under way. */
    private var change: Deferred<String?>? = null

    /** Returns a token that is good now, or null when there is none yet or no more. */
    fun current(): String? = synchronized(lock) { access?.takeIf { it.isGood }?.value }

    /** Returns a token that is good now, or null to call without one. */
    suspend fun get(): String? {
        while (true) {
            val awaited = synchronized(lock) {
                access?.takeIf { it.isGood }?.let { return it.value }
                change?.takeUnless { it.isCompleted } ?: scope.async { renewed() }.also { change = it }
            }
            try {
                return awaited.await()
            } catch (stopped: CancellationException) {
                currentCoroutineContext().ensureActive()
                if (synchronized(lock) { change === awaited }) throw stopped // By nobody but the end of the client.
            }
        }
    }

    /**
     * Puts a token in place of the one before, null for none, once [store] has returned. A renewal under way is stopped first, for its answer
     * is of no use; calls that need a token wait for the end, and ask again.
     */
    suspend fun replace(token: String?, store: suspend () -> Unit) {
        val fresh = token?.let { AccessToken.read(it, clock) }
        replacing.withLock {
            val current = CompletableDeferred<String?>()
            val renewal = synchronized(lock) { change.also { change = current } }
            try {
                renewal?.cancelAndJoin()
                store()
                synchronized(lock) { access = fresh }
            } finally {
                synchronized(lock) { change = null }
                current.cancel()
            }
        }
    }

    /** Takes note that the server refused a token: it is not used again. */
    fun discard(token: String): Unit = synchronized(lock) {
        access?.takeIf { it.value == token }?.refused = true
    }

    private suspend fun renewed(): String? {
        val fresh = renew()?.let { AccessToken.read(it, clock) }
        synchronized(lock) { access = fresh }
        return fresh?.value
    }
}
