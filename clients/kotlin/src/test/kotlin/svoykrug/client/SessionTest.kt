package svoykrug.client

import io.grpc.Status
import kotlinx.coroutines.test.runTest
import org.junit.jupiter.api.Test
import svoykrug.auth.v1.RefreshTokensRequest
import svoykrug.auth.v1.refreshTokensResponse
import svoykrug.auth.v1.tokens
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
import kotlin.test.assertNull

private val SIGNED_IN = StoredSession("anna", "the first refresh token")

class SessionTest {
    private val store = MemoryTokenStore()
    private val sent = mutableListOf<RefreshTokensRequest>()

    @Test
    fun `the request id is stored before a refresh and sent again until it is answered`() = runTest {
        store.save(SIGNED_IN)
        var away = true
        val session = Session(store) { request ->
            sent += request
            assertEquals(request.requestId, store.load()?.requestId)
            if (away) throw SvoyKrugException(Status.UNAVAILABLE)
            refreshTokensResponse {
                tokens = tokens {
                    refreshToken = "the second"
                    accessToken = "access"
                }
            }
        }
        repeat(2) { assertFailsWith<SvoyKrugException> { session.renew() } }
        away = false
        assertEquals("access", session.renew())
        assertEquals(1, sent.toSet().size)
        assertNotEquals("", sent.first().requestId)
        assertEquals(StoredSession("anna", "the second"), store.load())
    }

    @Test
    fun `only the server's word that the session is over ends it`() = runTest {
        val ends = setOf("REFRESH_TOKEN_INVALID", "SESSION_REVOKED", "SESSION_COMPROMISED")
        for (reason in ends + setOf("", "USER_BANNED", "TOKEN_INVALID", "INTERNAL", "A_REASON_OF_A_NEWER_SERVER")) {
            store.save(SIGNED_IN)
            val session = Session(store) { throw SvoyKrugException(Status.UNAUTHENTICATED, reasonName = reason) }
            assertFailsWith<SvoyKrugException> { session.renew() }
            assertEquals(reason in ends, store.load() == null, reason)
        }
    }

    @Test
    fun `a later session in the store is not overwritten`() = runTest {
        store.save(SIGNED_IN)
        val later = StoredSession("anna", "from another process")
        val session = Session(store) {
            store.save(later)
            throw SvoyKrugException(Status.UNAUTHENTICATED, reasonName = "SESSION_REVOKED")
        }
        assertFailsWith<SvoyKrugException> { session.renew() }
        assertEquals(later, store.load())
    }

    @Test
    fun `nobody who is signed out is refreshed`() = runTest {
        assertNull(Session(store) { error("a refresh without a session") }.renew())
    }
}
