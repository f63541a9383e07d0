package svoykrug.client

import io.grpc.CallCredentials
import io.grpc.CallOptions
import io.grpc.Channel
import io.grpc.Deadline
import io.grpc.Metadata
import io.grpc.MethodDescriptor
import io.grpc.SecurityLevel
import io.grpc.Status
import io.grpc.StatusException
import io.grpc.kotlin.ClientCalls
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.retryWhen
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import java.util.concurrent.Executor
import java.util.concurrent.TimeUnit.NANOSECONDS
import kotlin.time.Duration
import kotlin.time.Duration.Companion.nanoseconds

private val AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)

/**
 * Gives every call a deadline, a token and typed errors, and repeats those whose token has died.
 *
 * @param channel Sends the calls, with the headers that all have.
 * @param insecure Whether tokens may travel without TLS.
 * @param tokens Gives each call its token.
 */
internal class Calls(private val channel: Channel, private val insecure: Boolean, private val tokens: Tokens) {
    /** Runs a call with one request and one answer, and once more with a fresh token when the server refused the one it had. */
    suspend fun <Request, Answer> unary(
        method: MethodDescriptor<Request, Answer>,
        request: Request,
        deadline: Duration?,
    ): Answer {
        val attempts = Attempts(method, deadline)
        val once: suspend () -> Answer = {
            typedErrors { ClientCalls.unaryRpc(channel, method, request, attempts.next(), Metadata()) }
        }
        return try {
            once()
        } catch (refusal: SvoyKrugException) {
            if (!attempts.refused(refusal)) throw refusal
            once()
        }
    }

    /** Returns the answers of a call, which begins when they are collected; the first one decides whether a fresh token is needed. */
    fun <Request, Answer> download(
        method: MethodDescriptor<Request, Answer>,
        request: Request,
        deadline: Duration?,
    ): Flow<Answer> = flow {
        val attempts = Attempts(method, deadline)
        var begun = false
        val once = flow {
            emitAll(ClientCalls.serverStreamingRpc(channel, method, request, attempts.next(), Metadata()))
        }
        emitAll(
            once.onEach { begun = true }
                .catch { throw typed(it) }
                .retryWhen { failure, repeated -> attempts.refused(failure) && !begun && repeated == 0L },
        )
    }

    /** Runs a call with a stream of requests; it cannot be sent twice, so a refused token fails it. */
    suspend fun <Request, Answer> upload(
        method: MethodDescriptor<Request, Answer>,
        requests: Flow<Request>,
        deadline: Duration?,
    ): Answer {
        val attempts = Attempts(method, deadline)
        return try {
            typedErrors { ClientCalls.clientStreamingRpc(channel, method, requests, attempts.next(), Metadata()) }
        } catch (refusal: SvoyKrugException) {
            attempts.refused(refusal)
            throw refusal
        }
    }

    /** The attempts of one call, which share its deadline: the wait for a token counts. */
    private inner class Attempts(method: MethodDescriptor<*, *>, deadline: Duration?) {
        private val rule = METHODS.getValue(method.fullMethodName)
        private val end = (deadline ?: rule.deadline)?.let { Deadline.after(it.inWholeNanoseconds, NANOSECONDS) }
        private var token: String? = null

        suspend fun next(): CallOptions {
            token = if (rule.public) null else tokens.current() ?: fresh()
            return CallOptions.DEFAULT.withDeadline(end).withCallCredentials(token?.let { Bearer(it, insecure) })
        }

        /** Returns whether an attempt failed because its token has died, and sees that the token is not used again. */
        fun refused(failure: Throwable): Boolean {
            val dead = token?.takeIf { failure is SvoyKrugException && failure.reason in TOKEN_DEAD } ?: return false
            tokens.discard(dead)
            return true
        }

        // Another dispatcher keeps the time: that of the caller may be a test's, whose time is not that of a server.
        private suspend fun fresh(): String? = withContext(Dispatchers.Default) {
            try {
                withTimeout(end?.timeRemaining(NANOSECONDS)?.nanoseconds ?: Duration.INFINITE) { tokens.get() }
            } catch (_: TimeoutCancellationException) {
                throw deadlinePassed()
            }
        }
    }
}

/** The call credential of one attempt. It is not sent without TLS, unless the client was told to. */
private class Bearer(private val token: String, private val insecure: Boolean) : CallCredentials() {
    override fun applyRequestMetadata(request: RequestInfo, executor: Executor, applier: MetadataApplier) {
        if (request.securityLevel == SecurityLevel.PRIVACY_AND_INTEGRITY || insecure) {
            applier.apply(Metadata().apply { put(AUTHORIZATION, "Bearer $token") })
        } else {
            applier.fail(Status.UNAUTHENTICATED.withDescription("a token is sent over TLS only"))
        }
    }
}

private suspend fun <Answer> typedErrors(call: suspend () -> Answer): Answer = try {
    call()
} catch (failure: StatusException) {
    throw typed(failure)
}
