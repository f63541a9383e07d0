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
