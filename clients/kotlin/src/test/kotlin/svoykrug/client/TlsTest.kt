package svoykrug.client

import io.grpc.Grpc
import io.grpc.Metadata
import io.grpc.MethodDescriptor
import io.grpc.ServerCall
import io.grpc.ServerCallHandler
import io.grpc.ServerCredentials
import io.grpc.ServerInterceptor
import io.grpc.ServerServiceDefinition
import io.grpc.Status
import io.grpc.TlsChannelCredentials
import io.grpc.TlsServerCredentials
import io.grpc.stub.ServerCalls
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import svoykrug.auth.v1.AuthServiceGrpc
import svoykrug.auth.v1.refreshTokensResponse
import svoykrug.auth.v1.tokens
import svoykrug.users.v1.GetMeResponse
import svoykrug.users.v1.UsersServiceGrpc
import java.io.Closeable
import java.io.File
import java.security.KeyStore
import java.util.Base64
import java.util.concurrent.CopyOnWriteArrayList
import javax.net.ssl.KeyManagerFactory
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

private const val PASSWORD = "only for this test"

@Timeout(120)
class TlsTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `a token travels over TLS to a server that is trusted, and nothing to another`(): Unit = runBlocking {
        val store = MemoryTokenStore().apply { save(StoredSession("anna", "a refresh token")) }
        TlsServer(newKey()).use { server ->
            SvoyKrugClient(server.address, tokenStore = store).use { client ->
                val refusal = assertFailsWith<SvoyKrugException> { client.me() }
                assertEquals(Status.Code.UNAVAILABLE, refusal.code)
                assertEquals(emptyList(), server.seen.toList())
            }
            val trust = TlsChannelCredentials.newBuilder().trustManager(folder.resolve("certificate.pem")).build()
            SvoyKrugClient(server.address, tokenStore = store, credentials = trust).use { client ->
                client.me()
                assertEquals(listOf(null, "Bearer ${server.token}"), server.seen.toList())
            }
        }
    }

    /** Returns a key of 127.0.0.1, and writes its certificate. */
    private fun newKey(): KeyStore {
        val file = folder.resolve("key.p12")
        val keytool = File(System.getProperty("java.home"), "bin/keytool").path
        val made = ProcessBuilder(
            keytool, "-genkeypair", "-alias", "server", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "2",
            "-dname", "CN=server", "-ext", "SAN=ip:127.0.0.1", "-storetype", "PKCS12", "-keystore", file.path,
            "-storepass", PASSWORD,
        ).inheritIO().start()
        assertEquals(0, made.waitFor())
        val store = KeyStore.getInstance(file, PASSWORD.toCharArray())
        val certificate = Base64.getMimeEncoder().encodeToString(store.getCertificate("server").encoded)
        folder.resolve("certificate.pem")
            .writeText("-----BEGIN CERTIFICATE-----\n$certificate\n-----END CERTIFICATE-----\n")
        return store
    }
}

/** Refreshes whatever token, answers GetMe, and remembers what calls were authorized with. */
private class TlsServer(key: KeyStore) : Closeable {
    val token = tokenOf("anna")
    val seen = CopyOnWriteArrayList<String?>()
    private val server = Grpc.newServerBuilderForPort(0, credentials(key))
        .intercept(
            object : ServerInterceptor {
                override fun <Request : Any, Answer : Any> interceptCall(
                    call: ServerCall<Request, Answer>,
                    headers: Metadata,
                    next: ServerCallHandler<Request, Answer>,
                ): ServerCall.Listener<Request> {
                    seen += headers[Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)]
                    return next.startCall(call, headers)
                }
            },
        )
        .addService(answering(AuthServiceGrpc.getRefreshTokensMethod(), refreshed()))
        .addService(answering(UsersServiceGrpc.getGetMeMethod(), GetMeResponse.getDefaultInstance()))
        .build()
        .start()
    val address = "127.0.0.1:${server.port}"

    override fun close() {
        server.shutdownNow().awaitTermination()
    }

    private fun refreshed() = refreshTokensResponse {
        tokens = tokens {
            accessToken = token
            refreshToken = "the next refresh token"
        }
    }

    private fun credentials(key: KeyStore): ServerCredentials {
        val managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
        managers.init(key, PASSWORD.toCharArray())
        return TlsServerCredentials.newBuilder().keyManager(*managers.keyManagers).build()
    }

    private fun <Request : Any, Answer : Any> answering(method: MethodDescriptor<Request, Answer>, answer: Answer) =
        ServerServiceDefinition.builder(method.serviceName!!).addMethod(
            method,
            ServerCalls.asyncUnaryCall { _, caller ->
                caller.onNext(answer)
                caller.onCompleted()
            },
        ).build()
}
