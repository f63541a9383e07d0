package svoykrug.client

import java.io.Closeable
import java.io.DataInputStream
import java.io.IOException
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread

// In HTTP/2 a frame begins with nine bytes: three of the length of what follows, one of its type, which of an answer is first this one.
private const val FRAME_HEAD_BYTES = 9
private const val TYPE_BYTE = 3
private const val HEADERS_FRAME = 1

/** Forwards connections to the server; while it is told to, it cuts each one where an answer begins. */
class CuttingProxy(private val server: String) : Closeable {
    private val listener = ServerSocket(0, 50, InetAddress.getLoopbackAddress())
    val address: String = "127.0.0.1:${listener.localPort}"
    val cuts = AtomicInteger()

    @Volatile
    var cutting = false

    init {
        thread(isDaemon = true) {
            untilClosed {
                while (true) {
                    val caller = listener.accept()
                    thread(isDaemon = true) { forward(caller) }
                }
            }
        }
    }

    override fun close() = listener.close()

    private fun forward(caller: Socket) = caller.use {
        Socket(server.substringBefore(':'), server.substringAfter(':').toInt()).use { target ->
            thread(isDaemon = true) {
                untilClosed { caller.getInputStream().copyTo(target.getOutputStream()) }
                target.close()
            }
            untilClosed { answer(DataInputStream(target.getInputStream()), caller) }
        }
    }

    private fun answer(input: DataInputStream, caller: Socket) {
        val head = ByteArray(FRAME_HEAD_BYTES)
        while (true) {
            input.readFully(head)
            if (cutting && head[TYPE_BYTE].toInt() == HEADERS_FRAME) {
                cuts.incrementAndGet()
                return
            }
            val length = head.take(TYPE_BYTE).fold(0) { sum, byte -> (sum shl 8) or (byte.toInt() and 0xff) }
            caller.getOutputStream().write(head + input.readNBytes(length))
        }
    }
}

/** Runs what goes on until a connection ends. */
private fun untilClosed(work: () -> Unit) {
    try {
        work()
    } catch (_: IOException) {
        return
    }
}
