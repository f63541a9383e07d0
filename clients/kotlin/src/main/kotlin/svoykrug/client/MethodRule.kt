package svoykrug.client

import kotlin.time.Duration

/**
 * What a client must know of a method of the contract.
 *
 * @property public It is called without a token.
 * @property deadline That of a call which names none; null for a stream that the caller ends.
 * @property repeatable It may be sent again when the server was unavailable.
 */
internal data class MethodRule(val public: Boolean, val deadline: Duration?, val repeatable: Boolean)

/** The gRPC service config: what a server that goes away answers is retried where it may be. */
internal fun serviceConfig(): Map<String, Any> {
    val names = METHODS.filterValues { it.repeatable }.keys.map { path ->
        mapOf("service" to path.substringBefore('/'), "method" to path.substringAfter('/'))
    }
    val policy = mapOf(
        "maxAttempts" to 4.0,
        "initialBackoff" to "0.2s",
        "maxBackoff" to "3s",
        "backoffMultiplier" to 2.5,
        // A server that stops answers CANCELLED to what reaches it in the last milliseconds, unseen (grpc#41785).
        "retryableStatusCodes" to listOf("UNAVAILABLE", "CANCELLED"),
    )
    return mapOf("methodConfig" to listOf(mapOf("name" to names, "retryPolicy" to policy)))
}
