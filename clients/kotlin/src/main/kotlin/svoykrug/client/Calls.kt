package svoykrug.client

import io.grpc.CallCredentials
import io.grpc.CallOptions
import io.grpc.Deadline
import io.grpc.ManagedChannel
import io.grpc.Metadata
import io.grpc.MethodDescriptor
import io.grpc.SecurityLevel
import io.grpc.Status
import io.grpc.StatusException
import io.grpc.kotlin.ClientCalls
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.delay
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import java.util.concurrent.Executor
import java.util.concurrent.TimeUnit.NANOSECONDS
import kotlin.time.Duration
import kotlin.time.Duration.Companion.nanoseconds

private val AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)

private const val MOST_SENDS = 4

/**
 * Gives every call a deadline, a token and typed errors, and repeats those that may be sent again.
 *
 * @param channel Sends the calls, with the headers that all have.
 * @param insecure Whether tokens may travel without TLS.
 * @param tokens Gives each call its token.
 */
internal class Calls(private val channel: ManagedChannel, private val insecure: Boolean, private val tokens: Tokens) {
    /** Runs a call with one request and one answer. */
    suspend fun <Request, Answer> unary(
        method: MethodDescriptor<Request, Answer>,
        request: Request,
        deadline: Duration?,
    ): Answer {
        val attempts = Attempts(method, deadline)
        while (true) {
            val options = attempts.next()
            try {
                return ClientCalls.unaryRpc(channel, method, request, options, Metadata())
            } catch (failure: StatusException) {
                val error = failed(failure)
                if (!attempts.goOnAfter(error)) throw error
            }
        }
    }

    /** Returns the answers of a call, which begins when they are collected; once the first one is there it is not sent again. */
    fun <Request, Answer> download(
        method: MethodDescriptor<Request, Answer>,
        request: Request,
        deadline: Duration?,
    ): Flow<Answer> = flow {
        val attempts = Attempts(method, deadline)
        var begun = false
        do {
            var again = false
            val answers = ClientCalls.serverStreamingRpc(channel, method, request, attempts.next(), Metadata())
            emitAll(
                answers.onEach { begun = true }.catch { failure ->
                    val error = failed(failure as? StatusException ?: throw failure)
                    again = !begun && attempts.goOnAfter(error)
                    if (!again) throw error
                },
            )
        } while (again)
    }

    /** Runs a call with a stream of requests; it cannot be sent twice, so a refused token fails it. */
    suspend fun <Request, Answer> upload(
        method: MethodDescriptor<Request, Answer>,
        requests: Flow<Request>,
        deadline: Duration?,
    ): Answer {
        val attempts = Attempts(method, deadline)
        val options = attempts.next()
        try {
            return ClientCalls.clientStreamingRpc(channel, method, requests, options, Metadata())
        } catch (failure: StatusException) {
            throw failed(failure).also { attempts.isRefused(it) }
        }
    }

    /**
     * Returns the exception of a failed call. A server that stops answers CANCELLED to what reaches it in the last milliseconds, unseen
     * (grpc#41785); where nobody closed the client the connection was lost, for who cancels a coroutine gets no status.
     */
    private fun failed(failure: StatusException): SvoyKrugException {
        val error = typed(failure)
        if (error.code != Status.Code.CANCELLED || error.reasonName.isNotEmpty() || channel.isShutdown) return error
        return typed(StatusException(Status.UNAVAILABLE.withDescription(failure.status.description), failure.trailers))
    }

    /** The attempts of one call, which share its deadline: the wait for a token counts. */
    private inner class Attempts(method: MethodDescriptor<*, *>, deadline: Duration?) {
        private val rule = METHODS.getValue(method.fullMethodName)
        private val end = (deadline ?: rule.deadline)?.let { Deadline.after(it.inWholeNanoseconds, NANOSECONDS) }
        private var token: String? = null
        private var renewed = false
        private var failed = 0

        suspend fun next(): CallOptions {
            token = if (rule.public) null else tokens.current() ?: fresh()
            return CallOptions.DEFAULT.withDeadline(end).withCallCredentials(token?.let { Bearer(it, insecure) })
        }

        /**
         * Returns whether the call is sent again after a failure, when it is time to: once with a fresh token, and up to four times in all
         * when the server was away and the contract allows it.
         */
        suspend fun goOnAfter(failure: SvoyKrugException): Boolean {
            if (isRefused(failure)) return !renewed.also { renewed = true }
            val isAway = failure.code == Status.Code.UNAVAILABLE && !channel.isShutdown
            if (!rule.repeatable || !isAway || ++failed == MOST_SENDS) return false
            val wait = pause(failed, failure)
            return (wait < left()).also { if (it) delay(wait) }
        }

        /** Returns whether an attempt failed because its token has died, and sees that the token is not used again. */
        fun isRefused(failure: SvoyKrugException): Boolean {
            val dead = token?.takeIf { failure.reason in TOKEN_DEAD } ?: return false
            tokens.discard(dead)
            return true
        }

        private fun left(): Duration = end?.timeRemaining(NANOSECONDS)?.nanoseconds ?: Duration.INFINITE

        // Another dispatcher keeps the time: that of the caller may be a test's, whose time is not that of a server.
        private suspend fun fresh(): String? = withContext(Dispatchers.Default) {
            try {
                withTimeout(left()) { tokens.get() }
            } catch (_: TimeoutCancellationException) {
                ensureActive() // A timeout around the call stays one.
                throw deadlinePassed()
            } catch (_: CancellationException) {
                ensureActive() // The caller's own cancellation stays one.
                throw SvoyKrugException(Status.CANCELLED.withDescription("the client is closed"))
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
