package svoykrug.client

import java.io.Closeable
import java.io.DataInputStream
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicInteger
import javax.net.ssl.SSLContext
import javax.net.ssl.SSLSocket
import kotlin.concurrent.thread

// In HTTP/2 a frame begins with nine bytes: three of the length of what follows, one of its type, which of an answer is first this one.
private const val FRAME_HEAD_BYTES = 9
private const val TYPE_BYTE = 3
private const val HEADERS_FRAME = 1
private const val PART_BYTES = 32_768

/**
 * Forwards connections to the server, as a bad network does.
 *
 * @param server Its address.
 * @param tls What it talks TLS with, as of each connection; null: no TLS.
 */
class CuttingProxy(private val server: String, private val tls: (() -> SSLContext)? = null) : Closeable {
    private val listener = ServerSocket(0, 50, InetAddress.getLoopbackAddress())
    val address: String = "127.0.0.1:${listener.localPort}"
    val cuts = AtomicInteger()
    private val sockets = CopyOnWriteArrayList<Socket>()

    /** Whether each connection is cut where an answer begins; [cuts] counts them. */
    @Volatile
    var cutting = false

    /** Whether no byte of an answer comes through. */
    @Volatile
    var stalled = false

    /** Whether no byte comes through, and there is no way for new connections. */
    @Volatile
    var away = false

    private val accepted = AtomicInteger()

    @Volatile
    private var firstAlive = 0

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

    /** Ends every connection, as a device does whose address is gone. */
    fun endConnections() {
        sockets.forEach(Socket::close)
        sockets.clear()
    }

    /** Makes every connection a hole into which bytes fall, and tells nobody; new ones go through. */
    fun forgetConnections() {
        firstAlive = accepted.get() + 1
    }

    private fun forward(socket: Socket): Unit = socket.use {
        val number = accepted.incrementAndGet()
        val isHole = { away || number < firstAlive }
        if (away) return
        untilClosed {
            val caller = tls?.let { secured(socket, it()) } ?: socket
            Socket(server.substringBefore(':'), server.substringAfter(':').toInt()).use { target ->
                sockets += listOf(socket, target)
                thread(isDaemon = true) {
                    untilClosed { send(caller.getInputStream(), target.getOutputStream(), isHole) }
                    target.close()
                }
                untilClosed { answer(DataInputStream(target.getInputStream()), caller, isHole) }
            }
        }
    }

    private fun secured(plain: Socket, context: SSLContext): SSLSocket {
        val socket = context.socketFactory.createSocket(plain, null, plain.port, true) as SSLSocket
        socket.useClientMode = false
        socket.sslParameters = socket.sslParameters.apply { applicationProtocols = arrayOf("h2") }
        socket.startHandshake()
        return socket
    }

    private fun send(input: InputStream, output: OutputStream, isHole: () -> Boolean) {
        val part = ByteArray(PART_BYTES)
        while (true) {
            val length = input.read(part)
            if (length < 0) return
            if (!isHole()) output.write(part, 0, length)
        }
    }

    private fun answer(input: DataInputStream, caller: Socket, isHole: () -> Boolean) {
        val head = ByteArray(FRAME_HEAD_BYTES)
        while (true) {
            input.readFully(head)
            if (cutting && head[TYPE_BYTE].toInt() == HEADERS_FRAME) {
                cuts.incrementAndGet()
                return
            }
            val length = head.take(TYPE_BYTE).fold(0) { sum, byte -> (sum shl 8) or (byte.toInt() and 0xff) }
            val frame = head + input.readNBytes(length)
            if (!stalled && !isHole()) caller.getOutputStream().write(frame)
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
