package svoykrug.client

import com.google.gson.Gson
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.test.runCurrent
import kotlinx.coroutines.test.runTest
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.Test
import svoykrug.users.v1.getMeRequest
import java.io.IOException
import java.net.InetAddress
import java.net.ServerSocket
import java.util.Base64
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.time.Clock
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TestTimeSource

/** Returns an access token of 15 minutes from a server whose clock differs from ours. */
internal fun tokenOf(name: String, difference: Duration = Duration.ZERO): String {
    val issued = (Clock.System.now() + difference).epochSeconds
    val claims = mapOf("sub" to name, "iat" to issued, "exp" to issued + 15 * 60)
    return "e30.${Base64.getUrlEncoder().withoutPadding().encodeToString(Gson().toJson(claims).toByteArray())}.e30"
}

@OptIn(ExperimentalCoroutinesApi::class)
class TokensTest {
    private val clock = TestTimeSource()

    @Test
    fun `a token is renewed a minute before it dies whatever the clock says`() = runTest {
        for (difference in listOf((-5).minutes, 0.minutes, 5.minutes)) {
            val tokens = Tokens(this, clock) { null }
            tokens.replace(tokenOf("anna", difference)) {}
            clock += 14.minutes - 1.seconds
            assertNotNull(tokens.current(), "clocks differ by $difference")
            clock += 1.seconds
            assertNull(tokens.current(), "clocks differ by $difference")
        }
    }

    @Test
    fun `many calls wait for one renewal and a cancelled one disturbs no other`() = runTest {
        val answer = CompletableDeferred<String>()
        var renewals = 0
        val tokens = Tokens(this, clock) {
            renewals++
            answer.await()
        }
        val cancelled = async { tokens.get() }
        runCurrent()
        cancelled.cancel()
        val calls = List(50) { async { tokens.get() } }
        runCurrent()
        val fresh = tokenOf("anna")
        answer.complete(fresh)
        assertEquals(setOf<String?>(fresh), calls.awaitAll().toSet())
        assertEquals(1, renewals)
    }

    @Test
    fun `a refused token is renewed once however many calls it failed`() = runTest {
        var renewals = 0
        val tokens = Tokens(this, clock) { tokenOf("renewal ${++renewals}") }
        val first = assertNotNull(tokens.get())
        tokens.discard(first)
        val second = assertNotNull(tokens.get())
        tokens.discard(first)
        assertEquals(second, tokens.get())
        assertEquals(2, renewals)
    }

    @Test
    fun `a token that is refused again while it is renewed stays refused`() = runTest {
        val answer = CompletableDeferred<String>()
        val tokens = Tokens(this, clock) { answer.await() }
        val old = tokenOf("the old one")
        tokens.replace(old) {}
        tokens.discard(old)
        val call = async { tokens.get() }
        runCurrent()
        tokens.discard(old)
        val fresh = tokenOf("the fresh one")
        answer.complete(fresh)
        assertEquals(fresh, call.await())
    }

    @Test
    fun `a sign-in stops a renewal and is the one that counts`() = runTest {
        val tokens = Tokens(this, clock) { awaitCancellation() }
        val call = async { tokens.get() }
        runCurrent()
        val signedIn = tokenOf("the new session")
        tokens.replace(signedIn) {}
        assertEquals(signedIn, call.await())
    }

    @Test
    fun `a sign-out stops a renewal and calls go on without a token`() = runTest {
        var renewals = 0
        val tokens = Tokens(this, clock) { if (++renewals == 1) awaitCancellation() else null }
        val call = async { tokens.get() }
        runCurrent()
        tokens.replace(null) {}
        assertNull(call.await())
        assertEquals(2, renewals)
    }

    @Test
    fun `a session that could not be stored leaves the one before`() = runTest {
        val tokens = Tokens(this, clock) { null }
        val before = tokenOf("the session before")
        tokens.replace(before) {}
        assertFailsWith<IOException> { tokens.replace(tokenOf("the new one")) { throw IOException("the disk is full") } }
        assertEquals(before, tokens.get())
    }

    @Test
    fun `a timeout of the caller's own is not taken for a deadline`(): Unit = runBlocking {
        // The system accepts connections for it; nobody ever answers, so the call waits for a token.
        ServerSocket(0, 50, InetAddress.getLoopbackAddress()).use { silent ->
            val store = MemoryTokenStore().apply { save(StoredSession("anna", "a refresh token")) }
            SvoyKrugClient("127.0.0.1:${silent.localPort}", insecure = true, tokenStore = store).use { client ->
                assertNull(withTimeoutOrNull(500.milliseconds) { client.users.getMe(getMeRequest {}) })
            }
        }
    }

    @Test
    fun `deadlines and repetition are the contract's`() {
        val want = mapOf(
            "svoykrug.users.v1.UsersService/GetMe" to MethodRule(false, 10.seconds, true),
            "svoykrug.users.v1.UsersService/ExportMe" to MethodRule(false, 2.minutes, false),
            "svoykrug.auth.v1.AuthService/RefreshTokens" to MethodRule(true, 10.seconds, true),
            "svoykrug.auth.v1.AuthService/StartSignIn" to MethodRule(true, 10.seconds, false),
            "svoykrug.analytics.v1.AnalyticsService/WatchDashboard" to MethodRule(false, null, true),
            "svoykrug.purchases.v1.PurchasesService/ImportPurchases" to MethodRule(false, null, false),
        )
        assertEquals(want, want.mapValues { (path, _) -> METHODS[path] })
    }
}
