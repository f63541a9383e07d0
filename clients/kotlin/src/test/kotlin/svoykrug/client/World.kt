package svoykrug.client

import com.google.protobuf.timestamp
import io.grpc.CallOptions
import io.grpc.Channel
import io.grpc.ClientCall
import io.grpc.ClientInterceptor
import io.grpc.MethodDescriptor
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.extension.ExtensionContext
import org.junit.jupiter.api.extension.ExtensionContext.Namespace
import org.junit.jupiter.api.extension.ParameterContext
import org.junit.jupiter.api.extension.ParameterResolver
import svoykrug.auth.v1.CompleteSignInResponse
import svoykrug.auth.v1.completeSignInRequest
import svoykrug.auth.v1.setDemoPhoneRequest
import svoykrug.businesses.v1.Category
import svoykrug.businesses.v1.createBusinessRequest
import svoykrug.common.v1.ErrorReason
import svoykrug.users.v1.ConsentKind
import svoykrug.users.v1.User
import svoykrug.users.v1.batchCreateUsersRequest
import svoykrug.users.v1.consentGrant
import svoykrug.users.v1.getMeRequest
import svoykrug.users.v1.newUser
import java.nio.file.Files
import java.nio.file.attribute.PosixFilePermissions
import java.util.UUID
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.time.Clock
import kotlin.time.Duration.Companion.hours
import kotlin.time.TimeSource

const val ANNA = "+79990000002"
const val BORIS = "+79990000010"
const val VERA = "+79990000011"
/** Who follows the README. */
const val READER = "+79991234567"
const val UNCLAIMED = "+79990000005"
const val DEMO_CODE = "424242"
private const val ADMIN = "+79990000001"
private val SCOPES = listOf(
    "users.write", "purchases.write", "purchases.read", "analytics.read", "analytics.write", "operations.read",
)

val CONSENTS = listOf(ConsentKind.CONSENT_KIND_TERMS, ConsentKind.CONSENT_KIND_PERSONAL_DATA).map {
    consentGrant {
        kind = it
        version = "2026-11"
        granted = true
    }
}

/** The server that all tests share, and who is known there. */
class World : AutoCloseable {
    // The embedded PostgreSQL does not run as root, and must get here.
    private val folder = Files.createTempDirectory("svoykrug-kotlin-").also {
        Files.setPosixFilePermissions(it, PosixFilePermissions.fromString("rwxr-xr-x"))
    }.toFile()
    val server = ServerProcess(folder).apply { start() }
    val keyFile = folder.resolve("service-key.json")
    val admin = client()
    val businessId: String

    init {
        server.operate("admin", "grant", ADMIN, "superadmin")
        val scopes = SCOPES.flatMap { listOf("--scope", it) }
        server.operate("keys", "create-service-account", "crm", "--key-file", keyFile.path, *scopes.toTypedArray())
        businessId = runBlocking { prepare() }
    }

    /** Returns a client in English without TLS. */
    fun client(
        address: String = server.address,
        store: TokenStore = MemoryTokenStore(),
        key: ServiceKey? = null,
        interceptor: ClientInterceptor = Counting(""),
        clock: TimeSource.WithComparableMarks = TimeSource.Monotonic,
    ) = SvoyKrugClient(address, insecure = true, tokenStore = store, serviceKey = key, language = "en", clock = clock) {
        intercept(interceptor)
    }

    fun service(interceptor: ClientInterceptor = Counting("")) =
        client(key = ServiceKey.fromFile(keyFile), interceptor = interceptor)

    /** Signs a person in with the code that the server shows. */
    suspend fun signInByConsole(client: SvoyKrugClient, phone: String): CompleteSignInResponse {
        val before = server.codes.size
        val challenge = client.startSignIn(phone)
        until("a code was sent") { server.codes.size > before }
        return client.completeSignIn(signIn(challenge.challengeId, server.codes.last()))
    }

    /** Signs a demo user in, who gets no SMS. */
    suspend fun signInDemo(client: SvoyKrugClient, phone: String): CompleteSignInResponse =
        client.completeSignIn(signIn(client.startSignIn(phone).challengeId, DEMO_CODE))

    override fun close() {
        admin.close()
        server.stop()
        folder.deleteRecursively()
    }

    private suspend fun prepare(): String {
        signInByConsole(admin, ADMIN)
        admin.users.batchCreateUsers(batchCreateUsersRequest { users += listOf(ANNA, UNCLAIMED).map { newUser { phone = it } } })
        for (demo in listOf(BORIS, VERA, READER)) {
            admin.authAdmin.setDemoPhone(
                setDemoPhoneRequest {
                    phone = demo
                    code = DEMO_CODE
                    expireTime = timestamp { seconds = (Clock.System.now() + 1.hours).epochSeconds }
                },
            )
        }
        val request = createBusinessRequest {
            name = "Салон"
            category = Category.CATEGORY_BEAUTY
            requestId = UUID.randomUUID().toString()
        }
        return admin.businesses.createBusiness(request).business.id
    }

    private fun signIn(challenge: String, sent: String) = completeSignInRequest {
        challengeId = challenge
        code = sent
        consents += CONSENTS
    }
}

/** Hands the one [World] to the tests that ask for it, and ends it after the last. */
class WorldOfTests : ParameterResolver {
    override fun supportsParameter(parameter: ParameterContext, context: ExtensionContext): Boolean =
        parameter.parameter.type == World::class.java

    override fun resolveParameter(parameter: ParameterContext, context: ExtensionContext): Any =
        context.root.getStore(Namespace.GLOBAL).computeIfAbsent(StartedWorld::class.java).world.getOrThrow()
}

/** The world, or why there is none: it is started once. */
class StartedWorld : AutoCloseable {
    val world = runCatching { World() }

    override fun close() {
        world.onSuccess(World::close)
    }
}

/** Counts the calls of one method. */
class Counting(private val path: String) : ClientInterceptor {
    val calls = AtomicInteger()

    override fun <Request : Any, Answer : Any> interceptCall(
        method: MethodDescriptor<Request, Answer>,
        options: CallOptions,
        next: Channel,
    ): ClientCall<Request, Answer> {
        if (method.fullMethodName == path) calls.incrementAndGet()
        return next.newCall(method, options)
    }
}

suspend fun SvoyKrugClient.me(): User = users.getMe(getMeRequest {}).user

/** Returns the typed error of a call, which must have the reason. */
suspend fun refused(reason: ErrorReason, call: suspend () -> Any): SvoyKrugException {
    val refusal = assertFailsWith<SvoyKrugException> { call() }
    assertEquals(reason, refusal.reason, refusal.message)
    return refusal
}
