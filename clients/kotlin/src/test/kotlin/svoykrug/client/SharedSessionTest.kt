package svoykrug.client

import io.grpc.Status
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import svoykrug.auth.v1.RefreshTokensRequest
import svoykrug.auth.v1.RefreshTokensResponse
import svoykrug.auth.v1.refreshTokensResponse
import svoykrug.auth.v1.tokens
import java.io.File
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertTrue
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TestTimeSource
import kotlin.time.measureTime

// Holds the lock of a file as another JVM would.
private const val HOLDER = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); " +
    "print('held', flush=True); sys.stdin.read()"

/** Several clients of one file. */
@Timeout(120)
class SharedSessionTest {
    @TempDir
    lateinit var folder: File
    private val path get() = folder.resolve("session.json")
    private val lock get() = folder.resolve("session.json.lock")
    private val server = Rotation()

    @BeforeEach
    fun signedIn(): Unit = runBlocking { FileTokenStore(path).save(StoredSession("anna", "T0")) }

    @Test
    fun `two clients that lose their answers for a minute stay signed in`(): Unit = runBlocking {
        val bHasRead = CompletableDeferred<Unit>()
        val aHasFailed = CompletableDeferred<Unit>()
        var away = true
        // Without the lock both read a session without a request id, and B's is stored last.
        val b = session(Watched(path, loaded = { bHasRead.complete(Unit) }, saving = { aHasFailed.await() })) {
            if (away) throw LOST else server.refresh(it)
        }
        var failedOfB: Deferred<Throwable?>? = null
        val aStore = Watched(path, saving = {
            if (failedOfB == null) failedOfB = async { runCatching { b.renew() }.exceptionOrNull() }
            bHasRead.await()
        })
        val a = session(aStore) { request -> server.refresh(request).also { if (away) throw LOST } }
        assertIs<SvoyKrugException>(runCatching { a.renew() }.exceptionOrNull())
        aHasFailed.complete(Unit)
        assertIs<SvoyKrugException>(failedOfB?.await())
        assertEquals(server.lastId, FileTokenStore(path).load()?.requestId)
        away = false
        server.now = 61.seconds
        for (client in listOf(a, b)) assertTrue(client.renew()!!.isNotEmpty())
    }

    @Test
    fun `a refresh waits for that of another client and goes on from its token`(): Unit = runBlocking {
        val begun = CompletableDeferred<Unit>()
        val goOn = CompletableDeferred<Unit>()
        val waits = CompletableDeferred<Unit>()
        val a = session(FileTokenStore(path)) {
            begun.complete(Unit)
            goOn.await()
            server.refresh(it)
        }
        val b = session(Watched(path, locking = { waits.complete(Unit) })) { server.refresh(it) }
        val both = mutableListOf(async { a.renew() })
        begun.await()
        both += async { b.renew() }
        waits.await()
        goOn.complete(Unit)
        both.forEach { it.await() }
        assertEquals(listOf("T0", "T1"), server.seen)
    }

    @Test
    fun `a lock held for ever delays a refresh and keeps nobody out`(): Unit = runBlocking {
        val otherClient = launch { FileTokenStore(path).locked(1.minutes) { awaitCancellation() } }
        while (!lock.exists()) delay(10.milliseconds)
        val took = measureTime { assertTrue(session(FileTokenStore(path), 300.milliseconds, server::refresh).renew()!!.isNotEmpty()) }
        assertTrue(took >= 300.milliseconds, "it did not wait: $took")
        otherClient.cancel()
        otherClient.join()
        val otherProcess = ProcessBuilder(PYTHON, "-c", HOLDER, lock.path).redirectErrorStream(true).start()
        assertEquals("held", otherProcess.inputReader().readLine())
        val tookAgain = measureTime { assertTrue(session(FileTokenStore(path), 300.milliseconds, server::refresh).renew()!!.isNotEmpty()) }
        assertTrue(tookAgain >= 300.milliseconds, "it did not wait: $tookAgain")
        otherProcess.outputStream.close()
        assertEquals(0, otherProcess.waitFor())
        FileTokenStore(path).locked(1.minutes) {}
        assertEquals("rw-------", permissionsOf(lock))
    }

    @Test
    fun `forgetting stops a refresh that gets no answer`(): Unit = runBlocking {
        val begun = CompletableDeferred<Unit>()
        val session = session(FileTokenStore(path)) {
            begun.complete(Unit)
            awaitCancellation()
        }
        val tokens = Tokens(this, TestTimeSource()) { session.renew() }
        val call = async { tokens.get() }
        begun.await()
        tokens.replace(null) { session.replace(null) }
        assertEquals(null, call.await())
        assertFalse(path.exists())
    }

    @Test
    fun `nobody signed in takes no lock`(): Unit = runBlocking {
        FileTokenStore(path).save(null)
        assertEquals(null, session(FileTokenStore(path)) { error("a refresh without a session") }.renew())
        assertFalse(lock.exists())
    }

    private fun session(
        store: TokenStore,
        patience: Duration = 1.minutes,
        refresh: suspend (RefreshTokensRequest) -> RefreshTokensResponse,
    ) = Session(store, patience, refresh)
}

private val LOST get() = SvoyKrugException(Status.UNAVAILABLE)

/** What RefreshTokens is on the server: the token before the present one is good for who lost the answer, and for a minute. */
private class Rotation {
    val seen = mutableListOf<String>()
    var now = Duration.ZERO
    var lastId = ""
    private var rotated = Duration.ZERO
    private var number = 0

    fun refresh(request: RefreshTokensRequest): RefreshTokensResponse {
        seen += request.refreshToken
        if (request.refreshToken == "T$number") {
            number++
            lastId = request.requestId
            rotated = now
        } else if (request.refreshToken != "T${number - 1}" || (request.requestId != lastId && now - rotated > 1.minutes)) {
            throw SvoyKrugException(Status.UNAUTHENTICATED, reasonName = "SESSION_COMPROMISED")
        }
        return refreshTokensResponse {
            tokens = tokens {
                refreshToken = "T$number"
                accessToken = tokenOf("T$number")
            }
        }
    }
}

/** Tells what is done with a shared file, and may delay it. */
private class Watched(
    path: File,
    private val loaded: suspend () -> Unit = {},
    private val saving: suspend () -> Unit = {},
    private val locking: suspend () -> Unit = {},
) : SharedTokenStore {
    private val file = FileTokenStore(path)

    override suspend fun load(): StoredSession? = file.load().also { loaded() }

    override suspend fun save(session: StoredSession?) {
        saving()
        file.save(session)
    }

    override suspend fun <Answer> locked(patience: Duration, work: suspend () -> Answer): Answer {
        locking()
        return file.locked(patience, work)
    }
}
