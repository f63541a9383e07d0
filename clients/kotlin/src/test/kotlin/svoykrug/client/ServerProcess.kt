package svoykrug.client

import java.io.File
import java.net.ServerSocket
import java.util.concurrent.TimeUnit.SECONDS
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import kotlin.time.Duration
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource

private val START = 2.minutes
private val BINARY = File(System.getenv("SVOYKRUG_BIN") ?: "../../.venv/bin/svoykrug").absoluteFile

/** The Python that the server runs on. */
val PYTHON: String = BINARY.resolveSibling("python").path
private val SMS_CODE = Regex("""@\S+ #(\d{6})""")

/** The real server as a client's users meet it, in a folder of its own; it stays on one port over its restarts. */
class ServerProcess(private val folder: File) {
    val address: String = ServerSocket(0).use { "127.0.0.1:${it.localPort}" }
    private val console = folder.resolve("console.txt")
    private val ready = folder.resolve("ready.json")
    private lateinit var process: Process

    init {
        // However the tests end, the server ends with them.
        Runtime.getRuntime().addShutdownHook(Thread { if (::process.isInitialized) process.destroy() })
    }

    /** The codes that the server showed on its console so far. */
    val codes: List<String> get() = SMS_CODE.findAll(console.readText()).map { it.groupValues[1] }.toList()

    /** Returns once the server takes calls. */
    fun start() {
        ready.delete()
        process = command("serve").redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(console)).start()
        until("the server takes calls", START) {
            assertTrue(process.isAlive, "the server ended")
            ready.exists()
        }
    }

    fun stop() {
        process.destroy()
        assertTrue(process.waitFor(START.inWholeSeconds, SECONDS), "the server does not stop")
        assertEquals(0, process.exitValue())
    }

    fun restart() {
        stop()
        start()
    }

    /** Runs a command of the operator beside the server. */
    fun operate(vararg arguments: String) {
        val output = folder.resolve("operator.txt")
        val done = command(*arguments).redirectErrorStream(true).redirectOutput(output).start()
        assertEquals(0, done.waitFor(), output.readText())
    }

    private fun command(vararg arguments: String): ProcessBuilder {
        return ProcessBuilder(BINARY.path, *arguments).apply {
            environment().keys.removeIf { it.startsWith("SVOYKRUG_") }
            environment() += mapOf(
                "SVOYKRUG_DATA_DIR" to folder.resolve("data").path,
                "SVOYKRUG_LISTEN" to """["$address"]""",
                "SVOYKRUG_HTTP_PORT" to "0",
                "SVOYKRUG_DRAIN_SECONDS" to "0",
                "SVOYKRUG_GRACE_SECONDS" to "1",
                "SVOYKRUG_READY_FILE" to ready.path,
                "COLUMNS" to "120",
            )
        }
    }
}

/** Waits for a condition. */
inline fun until(what: String, limit: Duration = 60.seconds, holds: () -> Boolean) {
    val end = TimeSource.Monotonic.markNow() + limit
    while (!holds()) {
        assertTrue(end.hasNotPassedNow(), "not within $limit: $what")
        Thread.sleep(20)
    }
}
