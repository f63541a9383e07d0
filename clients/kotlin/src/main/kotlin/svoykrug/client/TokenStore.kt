package svoykrug.client

import com.google.gson.Gson
import com.google.gson.JsonParseException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.delay
import kotlinx.coroutines.withContext
import java.io.File
import java.io.IOException
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardOpenOption
import java.nio.file.attribute.PosixFilePermissions
import java.util.concurrent.ConcurrentHashMap
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.TimeSource

/**
 * A signed-in session as a store keeps it. It prints without its secret.
 *
 * @property userId Who is signed in, a UUID.
 * @property refreshToken The secret of the next refresh.
 * @property requestId The id of a refresh that was sent and not yet answered; empty when none is under way. It is stored before the call, so
 *   that a refresh whose answer was lost, even by a crash, is repeated and not mistaken for theft.
 */
public data class StoredSession(val userId: String, val refreshToken: String, val requestId: String = "") {
    override fun toString(): String = "session of $userId"

    /** Returns the session as text that [parse] reads; it holds the secret. */
    public fun serialize(): String =
        Gson().toJson(mapOf("user_id" to userId, "refresh_token" to refreshToken, "request_id" to requestId))

    public companion object {
        /**
         * Reads a session from the text of [serialize].
         *
         * @throws IllegalArgumentException The text is something else.
         */
        public fun parse(text: String): StoredSession {
            val fields = try {
                Gson().fromJson(text, Map::class.java).orEmpty()
            } catch (_: JsonParseException) {
                emptyMap<String, String>()
            }
            val (userId, refreshToken, requestId) =
                listOf("user_id", "refresh_token", "request_id").map { fields[it] as? String ?: "" }
            require(refreshToken.isNotEmpty()) { "this is no session of this client" }
            return StoredSession(userId, refreshToken, requestId)
        }
    }
}

/**
 * Keeps the session of one signed-in person. A client never calls it twice at once.
 *
 * It serves one client at a time: two that refresh the same session are thief and victim to the server. What several clients share is a
 * [SharedTokenStore].
 */
public interface TokenStore {
    /** Returns the session, or null when nobody is signed in. */
    public suspend fun load(): StoredSession?

    /** Keeps the session, durably before it returns; null forgets it. */
    public suspend fun save(session: StoredSession?)
}

/** A [TokenStore] that several clients may share, also those of other processes. */
public interface SharedTokenStore : TokenStore {
    /**
     * Runs [work] while no other client of the store runs any, in this process or another; it is a whole refresh, from reading the session to
     * storing the next one.
     *
     * @param patience How long to wait for the others; then [work] runs all the same, for who takes longer was stopped in mid-refresh.
     */
    public suspend fun <Answer> locked(patience: Duration, work: suspend () -> Answer): Answer
}

/** Keeps the session as long as the program runs; it serves one client at a time. */
public class MemoryTokenStore : TokenStore {
    @Volatile
    private var session: StoredSession? = null

    override suspend fun load(): StoredSession? = session

    override suspend fun save(session: StoredSession?) {
        this.session = session
    }
}

/**
 * Keeps the session in a file that only its owner may read, on Linux and macOS.
 *
 * The file is replaced as a whole, so that a crash leaves the old or the new session; its folder must exist. Several clients and
 * processes may share it; they take turns by a lock on the file beside it whose name ends in `.lock`, and which stays. The lock is one of the
 * JVM's: the clients in Python and Go have locks of another kind, and a file of their own.
 */
public class FileTokenStore(private val file: File) : SharedTokenStore {
    override suspend fun load(): StoredSession? = withContext(Dispatchers.IO) {
        // Not asked first whether it is there: another process may sign out in between.
        try {
            StoredSession.parse(String(Files.readAllBytes(file.toPath())))
        } catch (_: NoSuchFileException) {
            null
        }
    }

    override suspend fun save(session: StoredSession?): Unit = withContext(Dispatchers.IO) {
        val folder = file.absoluteFile.parentFile.toPath()
        if (session == null) {
            Files.deleteIfExists(file.toPath())
        } else {
            val fresh = Files.createTempFile(folder, ".${file.name}.", "", owner())
            try {
                FileChannel.open(fresh, StandardOpenOption.WRITE).use { channel ->
                    val content = java.nio.ByteBuffer.wrap(session.serialize().toByteArray())
                    while (content.hasRemaining()) channel.write(content)
                    channel.force(true)
                }
                Files.move(fresh, file.toPath(), ATOMIC_MOVE)
            } catch (failure: IOException) {
                Files.deleteIfExists(fresh)
                throw failure
            }
        }
        // A rename or a removal is durable once its folder is.
        FileChannel.open(folder, StandardOpenOption.READ).use { it.force(true) }
    }

    override suspend fun <Answer> locked(patience: Duration, work: suspend () -> Answer): Answer {
        val turn = Turn(File("${file.absolutePath}.lock").toPath().normalize())
        val end = TimeSource.Monotonic.markNow() + patience
        try {
            while (!withContext(Dispatchers.IO) { turn.taken() } && end.hasNotPassedNow()) delay(LOCK_EVERY)
            return work()
        } finally {
            withContext(NonCancellable + Dispatchers.IO) { turn.end() }
        }
    }
}

// A lock of a file cannot be waited for by a coroutine, so it is tried this often.
private val LOCK_EVERY = 50.milliseconds

/** What this process holds or waits for: the system's locks are between processes, and end when any channel of the file is closed. */
private val OURS = ConcurrentHashMap.newKeySet<Path>()

/** An attempt to be the only one with a file that stands for a lock. It is never removed: a lock on a removed file is none. */
private class Turn(private val path: Path) {
    private var channel: FileChannel? = null
    private var mine = false

    /** Returns whether it is our turn; if not, it may be asked again. */
    fun taken(): Boolean {
        mine = mine || OURS.add(path)
        if (!mine) return false
        return (channel ?: opened().also { channel = it }).tryLock() != null
    }

    fun end() {
        channel?.close()
        if (mine) OURS.remove(path)
    }

    private fun opened() = FileChannel.open(path, setOf(StandardOpenOption.CREATE, StandardOpenOption.WRITE), owner())
}

private fun owner() = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"))
