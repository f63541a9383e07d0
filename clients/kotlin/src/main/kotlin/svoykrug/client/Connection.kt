package svoykrug.client

import io.grpc.ChannelCredentials
import io.grpc.ConnectivityState
import io.grpc.Grpc
import io.grpc.ManagedChannel
import io.grpc.ManagedChannelBuilder
import io.grpc.Metadata
import io.grpc.stub.MetadataUtils
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import java.util.concurrent.TimeUnit.SECONDS
import kotlin.time.Duration.Companion.seconds

// A connection that is dead without a word (NAT, tunnels) is found by a ping after 12 s of silence in mid-call, unanswered for 5 s: before
// a second call with the deadline of 10 s ends. The server allows a ping every 10 s; without calls there is none.
private const val KEEPALIVE_SECONDS = 12L
private const val KEEPALIVE_TIMEOUT_SECONDS = 5L
private val LONGEST_BACKOFF = 10.seconds

/**
 * Returns a channel, which connects with its first call.
 *
 * gRPC's own retries are off, and `Calls` repeats what the contract allows: with them a call on its way when the connection breaks is
 * sent once more whatever it is, for the transport of OkHttp says of each that the server refused it unseen.
 */
internal fun channel(
    target: String,
    credentials: ChannelCredentials,
    language: String,
    configure: ManagedChannelBuilder<*>.() -> Unit,
): ManagedChannel = Grpc.newChannelBuilder(target, credentials)
    .disableRetry()
    .keepAliveTime(KEEPALIVE_SECONDS, SECONDS)
    .keepAliveTimeout(KEEPALIVE_TIMEOUT_SECONDS, SECONDS)
    .intercept(MetadataUtils.newAttachHeadersInterceptor(headers(language)))
    .apply(configure)
    .build()

private fun headers(language: String): Metadata {
    val all = mapOf("accept-language" to language, "x-client-version" to "kotlin/$VERSION")
    return Metadata().apply {
        for ((name, value) in all) put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value)
    }
}

/** After a long outage gRPC would wait up to two minutes before it tries again; the server is back long before. */
internal fun CoroutineScope.keepConnecting(channel: ManagedChannel, state: ConnectivityState) {
    if (state == ConnectivityState.SHUTDOWN) return
    channel.notifyWhenStateChanged(state) {
        val next = channel.getState(false)
        if (next == ConnectivityState.TRANSIENT_FAILURE) {
            launch {
                delay(LONGEST_BACKOFF)
                while (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
                    channel.resetConnectBackoff()
                    delay(LONGEST_BACKOFF)
                }
            }
        }
        keepConnecting(channel, next)
    }
}
