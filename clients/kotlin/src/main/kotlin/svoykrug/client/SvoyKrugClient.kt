package svoykrug.client

import io.grpc.ChannelCredentials
import io.grpc.InsecureChannelCredentials
import io.grpc.ManagedChannelBuilder
import io.grpc.TlsChannelCredentials
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import svoykrug.auth.v1.Challenge
import svoykrug.auth.v1.CompleteSignInRequest
import svoykrug.auth.v1.CompleteSignInResponse
import svoykrug.auth.v1.IssueServiceTokenRequest
import svoykrug.auth.v1.SignOutRequest
import svoykrug.auth.v1.StartSignInRequest
import svoykrug.common.v1.ErrorReason
import java.io.Closeable
import java.util.UUID
import kotlin.time.TimeSource

/** The version of this client, sent as `x-client-version`. */
public const val VERSION: String = "1.1.0"

/**
 * A connection to the service, which is made with the first call. Any number of coroutines may use it.
 *
 * @param target Where the service is, such as `127.0.0.1:50051`.
 * @param insecure Talk without TLS; for a service on this machine.
 * @param credentials Whom to trust and, where the server asks for one, which certificate to show; the system's authorities by default.
 * @param tokenStore Where the session of a signed-in person is kept.
 * @param serviceKey Calls as a service account.
 * @param language The language of the texts for people: `ru` or `en`.
 * @param clock Tells when a token is to be renewed. It only has to count; one that also counts while a phone sleeps saves a refused call.
 * @param configure Sets anything else of gRPC's channel, such as the interceptor of OpenTelemetry.
 */
public class SvoyKrugClient(
    target: String,
    insecure: Boolean = false,
    credentials: ChannelCredentials = if (insecure) InsecureChannelCredentials.create() else TlsChannelCredentials.create(),
    tokenStore: TokenStore = MemoryTokenStore(),
    serviceKey: ServiceKey? = null,
    language: String = "ru",
    clock: TimeSource.WithComparableMarks = TimeSource.Monotonic,
    configure: ManagedChannelBuilder<*>.() -> Unit = {},
) : Closeable {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private val channel = channel(target, credentials, language, configure)
    private val session = Session(tokenStore) { auth.refreshTokens(it) }
    private val tokens = Tokens(scope, clock) { if (serviceKey == null) session.renew() else issueToken(serviceKey) }
    private val calls = Calls(channel, insecure, tokens)
    private var signIn = CompleteSignInRequest.getDefaultInstance()

    /** Sign-in, tokens and sessions. */
    public val auth: AuthService = AuthService(calls)

    /** Service accounts, signing keys and sessions, for admins. */
    public val authAdmin: AuthAdminService = AuthAdminService(calls)

    /** Members and their profiles. */
    public val users: UsersService = UsersService(calls)

    /** Partner businesses and their staff. */
    public val businesses: BusinessesService = BusinessesService(calls)

    /** Purchases and refunds. */
    public val purchases: PurchasesService = PurchasesService(calls)

    /** Segments, churn and dashboards. */
    public val analytics: AnalyticsService = AnalyticsService(calls)

    /** Long work under way. */
    public val operations: OperationsService = OperationsService(calls)

    init {
        scope.keepConnecting(channel, channel.getState(false))
    }

    /**
     * Has a code sent to a phone, in any spelling.
     *
     * @throws SvoyKrugException The call was refused.
     */
    public suspend fun startSignIn(phone: String): Challenge =
        auth.startSignIn(StartSignInRequest.newBuilder().setPhone(phone).build()).challenge

    /**
     * Signs in; from now on calls carry the person's token.
     *
     * Called again with an equal request after a deadline or a lost connection, it is the same sign-in: the code is not used up by an
     * answer that never came.
     *
     * @param request The challenge's id, the code, and what a new user must give (consents); its request id is set here.
     * @throws SvoyKrugException The call was refused.
     */
    public suspend fun completeSignIn(request: CompleteSignInRequest): CompleteSignInResponse {
        val answer = auth.completeSignIn(repeatable(request))
        tokens.replace(answer.tokens.accessToken) {
            session.replace(StoredSession(answer.userId, answer.tokens.refreshToken))
        }
        return answer
    }

    /**
     * Ends the session on the server, then forgets it; a session that is over already is only forgotten.
     *
     * @throws SvoyKrugException The server could not be told; she stays signed in here, so that it can be repeated. [forget] does without the
     *   server.
     */
    public suspend fun signOut() {
        try {
            auth.signOut(SignOutRequest.getDefaultInstance())
        } catch (refusal: SvoyKrugException) {
            if (refusal.reason !in SESSION_OVER && refusal.reason != ErrorReason.ERROR_REASON_TOKEN_MISSING) throw refusal
        }
        forget()
    }

    /**
     * Signs out on this device alone, without a call: the session leaves the token store, and on the server it goes on until its time is over
     * or somebody revokes it.
     */
    public suspend fun forget(): Unit = tokens.replace(null) { session.replace(null) }

    /**
     * Has the next call make a new connection; calls under way keep theirs. For an app that hears that the device has another network: the
     * connection of the one before is dead, and only silence would tell.
     */
    public fun reconnect(): Unit = channel.enterIdle()

    /** Ends the connection; calls under way end as cancelled or unavailable. */
    override fun close() {
        scope.cancel()
        channel.shutdownNow()
    }

    /** Returns the sign-in request with a request id: that of the last one when it is the same sign-in. */
    @Synchronized
    private fun repeatable(request: CompleteSignInRequest): CompleteSignInRequest {
        val repeated = request.toBuilder().setRequestId(signIn.requestId).build()
        if (repeated != signIn || signIn.requestId.isEmpty()) {
            signIn = request.toBuilder().setRequestId(UUID.randomUUID().toString()).build()
        }
        return signIn
    }

    /** Exchanges an assertion for an access token. It is good once, so a new one is made for each attempt. */
    private suspend fun issueToken(key: ServiceKey): String = repeated {
        auth.issueServiceToken(IssueServiceTokenRequest.newBuilder().setAssertion(key.assertion()).build()).accessToken
    }
}
