package svoykrug.client

import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.extension.ExtendWith
import kotlin.test.assertEquals

/** The scenario that every client of Svoy Krug runs; each expectation that holds is told in one line, and each step. */
@ExtendWith(WorldOfTests::class)
class ScenarioTest(world: World) {
    private val table = Table()
    private val scenario = Scenario(world, table)
    private val badDays = BadDays(world, scenario)
    private val badNetwork = BadNetwork(world, scenario)
    private val steps: Map<String, suspend () -> Unit> = linkedMapOf(
        "sign_in" to scenario::signIn,
        "refresh_under_way" to scenario::refreshUnderWay,
        "profile_mask" to scenario::profileMask,
        "stale_etag" to scenario::staleEtag,
        "record_purchase" to scenario::recordPurchase,
        "refund_purchase" to scenario::refundPurchase,
        "import_stream" to scenario::importStream,
        "list_pages" to scenario::listPages,
        "watch_and_cancel" to scenario::watchAndCancel,
        "typed_errors" to scenario::typedErrors,
        "deadline" to badDays::deadline,
        "server_restart_in_mid_call" to badDays::serverRestartInMidCall,
        "lost_refresh_answer" to badDays::lostRefreshAnswer,
        "two_sign_ins" to badDays::twoSignIns,
        "aeroplane_mode" to badNetwork::aeroplaneMode,
        "expired_certificate" to badNetwork::expiredCertificate,
        "wrong_clock" to badNetwork::wrongClock,
        "half_open_connection" to badNetwork::halfOpenConnection,
    )

    @Test
    fun `the steps are those of the table of all clients, in its order`() {
        assertEquals(table.steps.keys.toList(), steps.keys.toList())
    }

    @Test
    @Timeout(600)
    fun `the client does every step`(): Unit = runBlocking {
        for ((id, step) in steps) table.run(id, step)
    }
}
