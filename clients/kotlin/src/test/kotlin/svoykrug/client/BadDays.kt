package svoykrug.client

import io.grpc.Status
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withContext
import svoykrug.analytics.v1.watchDashboardRequest
import svoykrug.auth.v1.startSignInRequest
import svoykrug.common.v1.ErrorReason
import svoykrug.purchases.v1.NewPurchase
import svoykrug.users.v1.getMeRequest
import java.net.InetAddress
import java.net.ServerSocket
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.measureTime

private const val RESTART_ROWS = 5_000
// A call that may be repeated is sent so often.
private const val MOST_SENDS = 4

/** The steps of the scenario in which the network or the server fails. */
class BadDays(private val world: World, private val scenario: Scenario) {
    suspend fun deadline() {
        // The system accepts connections for it; nobody ever answers.
        ServerSocket(0, 50, InetAddress.getLoopbackAddress()).use { silent ->
            val session = StoredSession(scenario.annaId, "a refresh token")
            val store = MemoryTokenStore().apply { save(session) }
            world.client("127.0.0.1:${silent.localPort}", store).use { client ->
                val calls = listOf<suspend () -> Any>(
                    { client.auth.startSignIn(startSignInRequest { phone = ANNA }, deadline = 300.milliseconds) },
                    { client.users.getMe(getMeRequest {}, deadline = 300.milliseconds) },
                )
                for (call in calls) {
                    val took = measureTime {
                        val late = assertFailsWith<SvoyKrugException> { call() }
                        assertEquals(Status.Code.DEADLINE_EXCEEDED, late.code, late.message)
                    }
                    assertTrue(took < 300.milliseconds + SLACK, "a call with a deadline of 0.3 s took $took")
                }
            }
            scenario.met("ends_in_time")
            assertEquals(session.refreshToken, store.load()?.refreshToken)
            scenario.met("session_stays")
        }
    }

    /** The server restarts while an import and a watch are under way: the import is whole, nothing is doubled, nobody is signed out. */
    suspend fun serverRestartInMidCall(): Unit = coroutineScope {
        val begun = CompletableDeferred<Unit>()
        val watch = scenario.service.analytics.watchDashboard(watchDashboardRequest { businessId = world.businessId })
        val end = async { runCatching { watch.collect { begun.complete(Unit) } }.exceptionOrNull() }
        begun.await()
        val before = scenario.store.load()
        var attempts = 0
        val rows: Flow<NewPurchase> = flow {
            attempts++
            repeat(RESTART_ROWS) { number ->
                if (number == 4_500 && attempts == 1) withContext(Dispatchers.IO) { world.server.restart() }
                emit(scenario.receipt("restart", number))
            }
        }
        val answer = scenario.service.importPurchases(world.businessId, rows)
        assertTrue(attempts > 1, "the import was not sent again")
        assertEquals(RESTART_ROWS.toLong(), answer.recordedCount + answer.duplicateCount)
        val again = scenario.service.importPurchases(world.businessId, rows)
        assertEquals(RESTART_ROWS.toLong(), again.duplicateCount)
        scenario.met("import_whole")
        assertIs<SvoyKrugException>(end.await())
        scenario.met("watch_ends_typed")
        assertEquals(scenario.annaId, scenario.anna.me().id)
        assertEquals(before, scenario.store.load())
        scenario.met("same_session")
    }

    /** The server refreshes and its answer is cut, four times: the same refresh is sent again, and nobody takes it for theft. */
    suspend fun lostRefreshAnswer() {
        val store = MemoryTokenStore()
        val before = world.client(store = store).use { world.signInDemo(it, BORIS) }
        CuttingProxy(world.server.address).use { proxy ->
            world.client(proxy.address, store).use { client ->
                proxy.cutting = true
                val lost = assertFailsWith<SvoyKrugException> { client.me() }
                assertEquals(Status.Code.UNAVAILABLE, lost.code, lost.message)
                assertEquals(ErrorReason.ERROR_REASON_UNSPECIFIED, lost.reason)
                assertEquals(MOST_SENDS, proxy.cuts.get())
                scenario.met("lost_connection")
                val kept = store.load()
                assertEquals(before.tokens.refreshToken, kept?.refreshToken)
                assertNotEquals("", kept?.requestId)
                scenario.met("session_and_request_id_kept")
                proxy.cutting = false
                assertEquals(before.userId, client.me().id)
                assertNotEquals(kept?.refreshToken, store.load()?.refreshToken)
                assertEquals("", store.load()?.requestId)
                scenario.met("session_moved_on")
            }
        }
    }

    /** Two clients of one person have sessions of their own; a second sign-in of one client is the one that counts. */
    suspend fun twoSignIns() {
        val (one, two) = List(2) { world.client() }
        val first = world.signInDemo(one, BORIS)
        assertEquals(first.userId, world.signInDemo(two, BORIS).userId)
        two.signOut()
        refused(ErrorReason.ERROR_REASON_TOKEN_MISSING) { two.me() }
        scenario.met("second_signed_out")
        two.signOut() // It is over already.
        assertEquals(first.userId, one.me().id)
        scenario.met("first_goes_on")
        val other = world.signInDemo(one, VERA)
        assertEquals(other.userId, one.me().id)
        one.close()
        two.close()
    }
}
