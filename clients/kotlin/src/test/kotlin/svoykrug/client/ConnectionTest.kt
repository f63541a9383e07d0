package svoykrug.client

import io.grpc.Grpc
import io.grpc.InsecureServerCredentials
import io.grpc.Metadata
import io.grpc.ServerCall
import io.grpc.ServerCallHandler
import io.grpc.ServerInterceptor
import io.grpc.ServerServiceDefinition
import io.grpc.Status
import io.grpc.stub.ServerCalls
import io.grpc.stub.StreamObserver
import kotlinx.coroutines.flow.flowOf
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.extension.ExtendWith
import svoykrug.auth.v1.AuthServiceGrpc
import svoykrug.auth.v1.issueServiceTokenResponse
import svoykrug.auth.v1.revokeOtherSessionsRequest
import svoykrug.auth.v1.signOutRequest
import svoykrug.auth.v1.startSignInResponse
import svoykrug.common.v1.ErrorReason
import svoykrug.purchases.v1.ImportPurchasesRequest
import svoykrug.purchases.v1.ImportPurchasesResponse
import svoykrug.purchases.v1.NewPurchase
import svoykrug.purchases.v1.PurchasesServiceGrpc
import svoykrug.purchases.v1.importPurchasesResponse
import svoykrug.users.v1.getMeRequest
import java.io.Closeable
import java.util.concurrent.ConcurrentHashMap
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.time.Duration.Companion.seconds

/** Connections that are lost in other ways than by their end. */
@ExtendWith(WorldOfTests::class)
@Timeout(300)
class ConnectionTest(private val world: World) {
    /** What the step of a half-open connection waits for comes at once. */
    @Test
    fun `a client that hears of another network makes a new connection with the next call`(): Unit = runBlocking {
        CuttingProxy(world.server.address).use { network ->
            world.client(network.address).use { client ->
                val her = world.signInDemo(client, BORIS).userId
                network.forgetConnections()
                fails { client.users.getMe(getMeRequest {}, deadline = 1.seconds) }
                client.reconnect()
                assertEquals(her, client.me().id)
            }
        }
    }

    @Test
    fun `what a stopping server cancels unseen is sent again where it may be`(): Unit = runBlocking {
        StoppingServer().use { server ->
            SvoyKrugClient(server.address, insecure = true, serviceKey = ServiceKey.fromFile(world.keyFile)).use { service ->
                assertEquals(1, service.importPurchases("business", flowOf(NewPurchase.getDefaultInstance())).recordedCount)
                assertEquals(2, server.calls["IssueServiceToken"])
                assertEquals(2, server.calls["ImportPurchases"])
                val lost = assertFailsWith<SvoyKrugException> { service.startSignIn(VERA) }
                assertEquals(Status.Code.UNAVAILABLE, lost.code)
                assertEquals(1, server.calls["StartSignIn"])
            }
        }
    }

    /** Signing out tells the server, which cannot be done in the air; forgetting needs nobody. */
    @Test
    fun `a session ends without the server`(): Unit = runBlocking {
        val store = MemoryTokenStore()
        CuttingProxy(world.server.address).use { network ->
            world.client(network.address, store).use { client ->
                world.signInDemo(client, BORIS)
                network.away = true
                network.endConnections()
                fails { client.auth.signOut(signOutRequest {}, deadline = 1.seconds) }
                assertNotNull(store.load(), "signed out here, and not on the server")
                client.forget()
                assertNull(store.load())
            }
        }
    }

    @Test
    fun `a session that was revoked elsewhere is signed out of`(): Unit = runBlocking {
        val (revoked, other) = List(2) { world.client() }
        listOf(revoked, other).forEach { world.signInDemo(it, BORIS) }
        other.auth.revokeOtherSessions(revokeOtherSessionsRequest {})
        until("the session is over") {
            try {
                revoked.me()
                false
            } catch (refusal: SvoyKrugException) {
                refusal.reason == ErrorReason.ERROR_REASON_SESSION_REVOKED
            }
        }
        revoked.signOut()
        refused(ErrorReason.ERROR_REASON_TOKEN_MISSING) { revoked.me() }
        listOf(revoked, other).forEach(SvoyKrugClient::close)
    }
}

/** Answers the first call of each method as a server does that stops, and the others well. */
private class StoppingServer : Closeable {
    val calls = ConcurrentHashMap<String, Int>()
    private val server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
        .intercept(
            object : ServerInterceptor {
                override fun <Request : Any, Answer : Any> interceptCall(
                    call: ServerCall<Request, Answer>,
                    headers: Metadata,
                    next: ServerCallHandler<Request, Answer>,
                ): ServerCall.Listener<Request> {
                    if (calls.merge(call.methodDescriptor.bareMethodName!!, 1, Int::plus) != 1) return next.startCall(call, headers)
                    call.close(Status.CANCELLED.withDescription("the server stops"), Metadata())
                    return object : ServerCall.Listener<Request>() {}
                }
            },
        )
        .addService(auth())
        .addService(purchases())
        .build()
        .start()
    val address = "127.0.0.1:${server.port}"

    override fun close() {
        server.shutdownNow().awaitTermination()
    }

    private fun auth() = ServerServiceDefinition.builder(AuthServiceGrpc.SERVICE_NAME)
        .addMethod(
            AuthServiceGrpc.getIssueServiceTokenMethod(),
            ServerCalls.asyncUnaryCall { _, caller -> caller.answer(issueServiceTokenResponse { accessToken = tokenOf("service") }) },
        )
        .addMethod(
            AuthServiceGrpc.getStartSignInMethod(),
            ServerCalls.asyncUnaryCall { _, caller -> caller.answer(startSignInResponse {}) },
        )
        .build()

    private fun purchases() = ServerServiceDefinition.builder(PurchasesServiceGrpc.SERVICE_NAME)
        .addMethod(
            PurchasesServiceGrpc.getImportPurchasesMethod(),
            ServerCalls.asyncClientStreamingCall { caller -> Importing(caller) },
        )
        .build()
}

private class Importing(private val caller: StreamObserver<ImportPurchasesResponse>) : StreamObserver<ImportPurchasesRequest> {
    private var rows = 0L

    override fun onNext(batch: ImportPurchasesRequest) {
        rows += batch.purchasesCount
    }

    override fun onError(failure: Throwable) = Unit

    override fun onCompleted() = caller.answer(importPurchasesResponse { recordedCount = rows })
}

private fun <Answer> StreamObserver<Answer>.answer(answer: Answer) {
    onNext(answer)
    onCompleted()
}
