package svoykrug.client

import com.google.protobuf.InvalidProtocolBufferException
import com.google.protobuf.MessageLite
import com.google.protobuf.Parser
import io.grpc.Metadata
import io.grpc.Status
import io.grpc.StatusException
import svoykrug.common.v1.ErrorReason
import svoykrug.google.rpc.BadRequest
import svoykrug.google.rpc.ErrorInfo
import svoykrug.google.rpc.LocalizedMessage
import svoykrug.google.rpc.RequestInfo
import svoykrug.google.rpc.RetryInfo
import kotlin.time.Duration
import kotlin.time.Duration.Companion.nanoseconds
import kotlin.time.Duration.Companion.seconds

private const val DOMAIN = "svoykrug"
private const val PREFIX = "ERROR_REASON_"
private val DETAILS = Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER)
private val REQUEST_ID = Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER)

// The answers that mean: this session is over for good. No other failure may sign her out, a proxy's 401 least of all.
internal val SESSION_OVER: Set<ErrorReason> = setOf(
    ErrorReason.ERROR_REASON_REFRESH_TOKEN_INVALID,
    ErrorReason.ERROR_REASON_SESSION_REVOKED,
    ErrorReason.ERROR_REASON_SESSION_COMPROMISED,
)

/** The answers that ask for a fresh access token. */
internal val TOKEN_DEAD: Set<ErrorReason> =
    setOf(ErrorReason.ERROR_REASON_TOKEN_EXPIRED, ErrorReason.ERROR_REASON_ACCESS_TOKEN_REVOKED)

/**
 * A call that was refused, or that did not reach the server. It is gRPC's own exception with the facts of the refusal.
 *
 * @property reasonName The name of the reason without its prefix, such as `CODE_WRONG`; empty where the server itself did not answer, as
 *   when the connection broke.
 * @property text What a person may read, in the language of the client.
 * @property metadata Facts for programs, such as `guesses_left`.
 * @property fieldViolations The rule that each bad field breaks, by the field's path.
 * @property retryAfter How long to wait before the same call may succeed; null where waiting does not help.
 * @property requestId Names the call in the server's log.
 */
public class SvoyKrugException internal constructor(
    status: Status,
    trailers: Metadata? = null,
    public val reasonName: String = "",
    public val text: String = status.description.orEmpty(),
    public val metadata: Map<String, String> = emptyMap(),
    public val fieldViolations: Map<String, String> = emptyMap(),
    public val retryAfter: Duration? = null,
    public val requestId: String = "",
) : StatusException(status, trailers) {
    /** The gRPC status code. */
    public val code: Status.Code get() = status.code

    /**
     * Why the call was refused. `ERROR_REASON_UNSPECIFIED` where the server itself did not answer, `UNRECOGNIZED` for a reason that a
     * newer server has and this client does not know yet.
     */
    public val reason: ErrorReason = when (reasonName) {
        "" -> ErrorReason.ERROR_REASON_UNSPECIFIED
        else -> ErrorReason.entries.find { it.name == PREFIX + reasonName } ?: ErrorReason.UNRECOGNIZED
    }

    /** The failure in one line for a log; it holds nothing personal. */
    override val message: String
        get() = buildString {
            append(reasonName.ifEmpty { code.name }).append(": ").append(text)
            for ((path, rule) in fieldViolations.toSortedMap()) append("; $path: $rule")
            if (requestId.isNotEmpty()) append(" (request $requestId)")
        }
}

/** Returns the typed exception of a failed call. */
internal fun typed(failure: StatusException): SvoyKrugException {
    val trailers = failure.trailers ?: Metadata()
    val details = Details(trailers[DETAILS])
    val info = details.first("google.rpc.ErrorInfo", ErrorInfo.parser())?.takeIf { it.domain == DOMAIN }
    val localized = details.first("google.rpc.LocalizedMessage", LocalizedMessage.parser())
    val bad = details.first("google.rpc.BadRequest", BadRequest.parser())
    val retry = details.first("google.rpc.RetryInfo", RetryInfo.parser())
    val request = details.first("google.rpc.RequestInfo", RequestInfo.parser())
    return SvoyKrugException(
        failure.status.withCause(failure),
        trailers,
        reasonName = info?.reason.orEmpty(),
        text = localized?.message ?: failure.status.description.orEmpty(),
        metadata = info?.metadataMap.orEmpty(),
        fieldViolations = bad?.fieldViolationsList.orEmpty().associate { it.field to it.description },
        retryAfter = retry?.retryDelay?.let { it.seconds.seconds + it.nanos.nanoseconds },
        requestId = request?.requestId ?: trailers[REQUEST_ID].orEmpty(),
    )
}

/** The details of a status: messages of any type, each at most once; bytes that nobody of ours wrote hold none. */
private class Details(packed: ByteArray?) {
    private val status = packed?.let { read(svoykrug.google.rpc.Status.parser(), it) }

    fun <Detail : MessageLite> first(type: String, parser: Parser<Detail>): Detail? =
        status?.detailsList?.filter { it.typeUrl.substringAfterLast('/') == type }
            ?.firstNotNullOfOrNull { read(parser, it.value.toByteArray()) }

    private fun <Message> read(parser: Parser<Message>, bytes: ByteArray): Message? = try {
        parser.parseFrom(bytes)
    } catch (_: InvalidProtocolBufferException) {
        null
    }
}

/** Returns the exception of a call that ended before it was sent. */
internal fun deadlinePassed(): SvoyKrugException =
    SvoyKrugException(Status.DEADLINE_EXCEEDED.withDescription("the deadline passed before the call was sent"))
