package svoykrug.client

import com.google.protobuf.timestamp
import io.grpc.Status
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.extension.ExtendWith
import org.junit.jupiter.api.io.TempDir
import svoykrug.analytics.v1.createSnapshotRequest
import svoykrug.analytics.v1.getFreshnessRequest
import svoykrug.analytics.v1.watchDashboardRequest
import svoykrug.auth.v1.getJwksRequest
import svoykrug.businesses.v1.listBusinessesRequest
import svoykrug.client.example.main
import svoykrug.common.v1.ErrorReason
import svoykrug.purchases.v1.newPurchase
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.PrintStream
import java.time.Instant
import java.util.UUID
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlin.time.AbstractLongTimeSource
import kotlin.time.Duration.Companion.nanoseconds
import kotlin.time.DurationUnit

private val README_BLOCK = Regex("(?s)```kotlin\n(.*?)```")

// What the reader writes down, and the examples take from the server under test.
private val READERS_OWN = mapOf("\"127.0.0.1:50051\"" to "address", "File(\"service-key.json\")" to "keyFile")

/** The examples of the README; each gathers what it prints. */
@ExtendWith(WorldOfTests::class)
@Timeout(300)
class ExamplesTest(private val world: World) {
    private val address = world.server.address
    private val keyFile = world.keyFile
    private val business = world.businessId
    private val printed = mutableListOf<String>()

    @TempDir
    lateinit var folder: File

    @Test
    fun `every example of the README is run`() {
        val (run, program) = listOf("ExamplesTest", "FirstProgram").map { name ->
            words(File("src/test/kotlin/svoykrug/client/$name.kt").readText())
        }
        val blocks = README_BLOCK.findAll(File("README.md").readText()).map { it.groupValues[1] }.toList()
        assertTrue(blocks.isNotEmpty())
        for (block in blocks) {
            val example = READERS_OWN.entries.fold(block) { text, (theirs, ours) -> text.replace(theirs, ours) }
            assertTrue(words(example) in run || words(block) in program, "nothing runs this:\n$block")
        }
    }

    @Test
    fun `the first program signs in`() {
        val (input, output) = System.`in` to System.out
        val shown = ByteArrayOutputStream()
        System.setIn("$DEMO_CODE\n".byteInputStream())
        System.setOut(PrintStream(shown))
        try {
            main(arrayOf(address))
        } finally {
            System.setIn(input)
            System.setOut(output)
        }
        assertTrue(shown.toString().trimEnd().endsWith(READER), shown.toString())
    }

    @Test
    fun `keep the session in a file`(): Unit = runBlocking {
        val store = FileTokenStore(File(folder, "session.json"))
        val client = SvoyKrugClient(address, insecure = true, tokenStore = store)
        if (store.load() == null) println("sign in first")
        client.close()
        prints("sign in first")
    }

    @Test
    fun `keep the session in preferences`(): Unit = runBlocking {
        val preferences = SharedPreferences()
        val store = PreferencesTokenStore(preferences)
        val session = StoredSession("anna", "a secret", "1")
        store.save(session)
        assertEquals(session, PreferencesTokenStore(preferences).load())
        store.save(null)
        assertEquals(null, store.load())
    }

    @Test
    fun `hear that the network has changed`(): Unit = runBlocking {
        CuttingProxy(address).use { network ->
            val client = world.client(network.address)
            world.signInDemo(client, VERA)
            network.forgetConnections()
            Reconnecting(client).onAvailable(Network())
            client.me()
            client.close()
        }
    }

    @Test
    fun `count through sleep`(): Unit = runBlocking {
        val client = SvoyKrugClient(address, insecure = true, clock = SinceBoot)
        world.signInDemo(client, VERA)
        client.me()
        SystemClock.sleptNanos += 3_600_000_000_000
        client.me()
        client.close()
    }

    @Test
    fun `call as a service`(): Unit = runBlocking {
        val key = ServiceKey.fromFile(keyFile)
        val service = SvoyKrugClient(address, insecure = true, serviceKey = key)
        println(service.analytics.getFreshness(getFreshnessRequest {}).hasFreshness())
        service.close()
        prints("true")
    }

    @Test
    fun `name a deadline`(): Unit = runBlocking {
        val client = world.client()
        try {
            client.auth.getJwks(getJwksRequest {}, deadline = 1.nanoseconds)
        } catch (error: SvoyKrugException) {
            println(error.code == Status.Code.DEADLINE_EXCEEDED)
        }
        client.close()
        prints("true")
    }

    @Test
    fun `read an error`(): Unit = runBlocking {
        val client = world.client()
        try {
            client.startSignIn("not a phone")
        } catch (error: SvoyKrugException) {
            when (error.reason) {
                ErrorReason.ERROR_REASON_SIGN_IN_LIMITED -> println("too many codes were sent")
                else -> println(error.text) // for people, in the language of the client
            }
            println(error.reasonName) // for programs
            println(error.code)
            println(error.fieldViolations.keys) // the rule that each bad field breaks, by its path
            println(error.retryAfter) // how long to wait; null where waiting does not help
            println(error.requestId.isNotEmpty()) // for the operator, who finds it in the log
            println(error.metadata["guesses_left"]) // facts of some reasons
        }
        client.close()
        prints("Some fields are not valid.", "INVALID_FIELDS", "INVALID_ARGUMENT", "[phone]", "null", "true", "null")
    }

    @Test
    fun `list over pages`(): Unit = runBlocking {
        val client = world.admin
        val pages = pages({ it.nextPageToken }) { token ->
            client.businesses.listBusinesses(
                listBusinessesRequest {
                    pageSize = 100
                    pageToken = token
                },
            )
        }
        pages.items { it.businessesList }.collect { println(it.name) }
        prints("Салон")
    }

    @Test
    fun `watch a stream`(): Unit = runBlocking {
        val service = world.service()
        val dashboards = service.analytics.watchDashboard(watchDashboardRequest { businessId = business })
        println(dashboards.first().hasDashboard())
        service.close()
        prints("true")
    }

    @Test
    fun `import purchases`(): Unit = runBlocking {
        val service = world.service()
        val buyer = UNCLAIMED
        val rows = flow {
            repeat(3_000) { number ->
                emit(
                    newPurchase {
                        phone = buyer
                        externalId = "example-$number"
                        amountMinor = 199_00
                        purchaseTime = timestamp { seconds = Instant.parse("2026-06-01T12:00:00Z").epochSecond + 600L * number }
                    },
                )
            }
        }
        val answer = service.importPurchases(business, rows)
        println("${answer.recordedCount} new, ${answer.duplicateCount} known, ${answer.rejectedCount} rejected")
        answer.rejectedRowsList.forEach { println("${it.rowNumber} ${it.reason} ${it.field}") }
        service.close()
        prints("3000 new, 0 known, 0 rejected")
    }

    @Test
    fun `wait for an operation`(): Unit = runBlocking {
        val service = world.service()
        val started = service.analytics.createSnapshot(createSnapshotRequest { requestId = UUID.randomUUID().toString() })
        val done = service.waitFor(started.operation) { System.err.println("${it.stage} ${it.percent} %") }
        println(done.state)
        service.close()
        prints("OPERATION_STATE_SUCCEEDED")
    }

    private fun println(value: Any?) {
        printed += value.toString()
    }

    private fun prints(vararg lines: String) = assertEquals(lines.toList(), printed)
}

class PreferencesTokenStore(private val preferences: SharedPreferences) : TokenStore {
    override suspend fun load(): StoredSession? = preferences.getString("session", null)?.let(StoredSession::parse)

    // commit, not apply: the session is on the disk before the refresh is sent.
    override suspend fun save(session: StoredSession?): Unit = withContext(Dispatchers.IO) {
        check(preferences.edit().putString("session", session?.serialize()).commit()) { "the session was not stored" }
    }
}

/** In place of Android's. */
class SharedPreferences {
    private val values = mutableMapOf<String, String?>()

    fun getString(key: String, otherwise: String?): String? = values[key] ?: otherwise

    fun edit() = Editor()

    inner class Editor {
        private val changes = mutableMapOf<String, String?>()

        fun putString(key: String, value: String?) = apply { changes[key] = value }

        fun commit(): Boolean {
            values += changes
            return true
        }
    }
}

class Reconnecting(private val client: SvoyKrugClient) : ConnectivityManager.NetworkCallback() {
    override fun onAvailable(network: Network) = client.reconnect()
}

/** In place of Android's. */
class Network

/** In place of Android's. */
class ConnectivityManager {
    abstract class NetworkCallback {
        abstract fun onAvailable(network: Network)
    }
}

/** In place of Android's. */
object SystemClock {
    var sleptNanos = 0L

    fun elapsedRealtimeNanos(): Long = System.nanoTime() + sleptNanos
}

object SinceBoot : AbstractLongTimeSource(DurationUnit.NANOSECONDS) {
    override fun read(): Long = SystemClock.elapsedRealtimeNanos()
}

/** Returns a text with every run of white space as one space. */
private fun words(text: String): String = text.split(Regex("""\s+""")).joinToString(" ").trim()
