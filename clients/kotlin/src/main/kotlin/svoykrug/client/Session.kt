package svoykrug.client

import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import svoykrug.auth.v1.RefreshTokensRequest
import svoykrug.auth.v1.RefreshTokensResponse
import java.util.UUID
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds

// What is waited for another client's turn at a shared store. Its refresh ends within 10 s: who takes longer was stopped in mid-refresh,
// and must not keep everybody out.
private val LONGEST_TURN = 15.seconds

/**
 * A signed-in person, whose refresh token is kept in a store.
 *
 * A store that several clients share has a lock: it is held from reading the session to storing what follows it, the call included, so
 * that no two refreshes present one token under two request ids, which after a minute is what a thief does.
 *
 * @param patience How long to wait for the store's lock.
 * @param refresh Calls RefreshTokens.
 */
internal class Session(
    private val store: TokenStore,
    private val patience: Duration = LONGEST_TURN,
    private val refresh: suspend (RefreshTokensRequest) -> RefreshTokensResponse,
) {
    private val turns = Mutex()

    /** Stores another session in place of the one before, null for none. */
    suspend fun replace(session: StoredSession?): Unit = turns.withLock { alone { store.save(session) } }

    /** Refreshes the access token. */
    suspend fun renew(): String? = turns.withLock {
        // Nobody signed in is known without the store's lock.
        if (store.load() == null) null else alone { refreshed() }
    }

    /** Runs [work] while no other client of a shared store does, as far as that is possible. */
    private suspend fun <Answer> alone(work: suspend () -> Answer): Answer =
        if (store is SharedTokenStore) store.locked(patience, work) else work()

    /** Exchanges the refresh token. Only the answers that say that the session is over for good end it here. */
    private suspend fun refreshed(): String? {
        val session = prepared() ?: return null
        val request = RefreshTokensRequest.newBuilder()
            .setRefreshToken(session.refreshToken)
            .setRequestId(session.requestId)
            .build()
        val tokens = try {
            refresh(request).tokens
        } catch (refusal: SvoyKrugException) {
            if (refusal.reason in SESSION_OVER) moveOn(session, null)
            throw refusal
        }
        moveOn(session, StoredSession(session.userId, tokens.refreshToken))
        return tokens.accessToken
    }

    /**
     * Returns the session to refresh, with the request id of its refresh stored before the refresh is sent. An id that is stored already was
     * perhaps sent, by whomever: it is sent again.
     */
    private suspend fun prepared(): StoredSession? {
        val stored = store.load()
        if (stored == null || stored.requestId.isNotEmpty()) return stored
        return stored.copy(requestId = UUID.randomUUID().toString()).also { store.save(it) }
    }

    /** Stores what follows a session, unless the store has moved on already: a sign-in, or a client that did not wait for us. */
    private suspend fun moveOn(old: StoredSession, next: StoredSession?) {
        if (store.load()?.refreshToken == old.refreshToken) store.save(next)
    }
}
