package svoykrug.client

import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import svoykrug.auth.v1.RefreshTokensRequest
import svoykrug.auth.v1.RefreshTokensResponse
import java.util.UUID

/**
 * A signed-in person, whose refresh token is kept in a store.
 *
 * Several clients, also in several processes, may share a store. They need no lock: those that race present the same refresh token
 * within seconds, which the server answers with the same next one, and nobody overwrites a later token.
 *
 * @param refresh Calls RefreshTokens.
 */
internal class Session(
    private val store: TokenStore,
    private val refresh: suspend (RefreshTokensRequest) -> RefreshTokensResponse,
) {
    private val lock = Mutex()

    /** Stores another session in place of the one before, null for none, and then tells so. */
    suspend fun replace(session: StoredSession?, done: () -> Unit): Unit = lock.withLock {
        store.save(session)
        done()
    }

    /** Refreshes the access token. Only the answers that say that the session is over for good end it here. */
    suspend fun renew(): String? {
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

    /** Returns the session to refresh, with the request id of its refresh stored before the refresh is sent. */
    private suspend fun prepared(): StoredSession? = lock.withLock {
        val stored = store.load()
        if (stored == null || stored.requestId.isNotEmpty()) return stored
        stored.copy(requestId = UUID.randomUUID().toString()).also { store.save(it) }
    }

    /** Stores what follows a session, unless the store has moved on already: a sign-in, or another process. */
    private suspend fun moveOn(old: StoredSession, next: StoredSession?): Unit = lock.withLock {
        if (store.load()?.refreshToken == old.refreshToken) store.save(next)
    }
}
