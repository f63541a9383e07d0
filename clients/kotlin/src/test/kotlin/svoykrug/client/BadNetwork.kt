package svoykrug.client

import io.grpc.Status
import io.grpc.TlsChannelCredentials
import kotlinx.coroutines.flow.count
import svoykrug.common.v1.ErrorReason
import svoykrug.purchases.v1.RecordPurchaseRequest
import svoykrug.purchases.v1.batchRecordPurchasesRequest
import svoykrug.purchases.v1.listMyPurchasesRequest
import svoykrug.purchases.v1.recordPurchaseRequest
import svoykrug.users.v1.getMeRequest
import java.io.File
import java.nio.file.Files
import java.security.KeyFactory
import java.security.KeyStore
import java.security.cert.CertificateFactory
import java.security.spec.PKCS8EncodedKeySpec
import java.util.Base64
import java.util.concurrent.atomic.AtomicReference
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import kotlin.time.AbstractLongTimeSource
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.DurationUnit
import kotlin.time.measureTimedValue

/** How much longer than its deadline a call may take on a slow machine. */
val SLACK = 4.seconds

/** The steps of the scenario in which the link, a certificate or a clock fails. */
class BadNetwork(private val world: World, private val scenario: Scenario) {
    /** The link goes while a purchase is under way, and is back seconds later: it counts once, and nobody is signed out. */
    suspend fun aeroplaneMode() {
        val store = MemoryTokenStore()
        val before = world.client(store = store).use { world.signInDemo(it, BORIS) }
        val request = purchase("aeroplane", 1)
        CuttingProxy(world.server.address).use { network ->
            val phone = world.client(network.address, store)
            val till = world.client(network.address, key = ServiceKey.fromFile(world.keyFile))
            till.purchases.recordPurchase(purchase("aeroplane", 0))
            phone.me()
            val kept = store.load()
            // An application that is started in the air has no token yet.
            val cold = world.client(network.address, store)
            network.stalled = true
            fails { till.purchases.recordPurchase(request, deadline = 1.seconds) }
            network.away = true
            fails { phone.users.getMe(getMeRequest {}, deadline = 1.seconds) }
            fails { cold.users.getMe(getMeRequest {}, deadline = 1.seconds) }
            scenario.met("calls_end")
            assertEquals(kept?.refreshToken, store.load()?.refreshToken)
            network.stalled = false
            network.away = false
            network.endConnections()
            for (client in listOf(phone, cold)) isBack { assertEquals(before.userId, client.me().id) }
            scenario.met("session_stays")
            isBack { till.purchases.recordPurchase(request) }
            countsOnce(till, request)
            scenario.met("purchase_counts_once")
            listOf(phone, cold, till).forEach(SvoyKrugClient::close)
        }
    }

    /** The server's certificate has expired; then it gets another. */
    suspend fun expiredCertificate() {
        val folder = certificates()
        val shown = AtomicReference(identity(folder, "expired"))
        val store = MemoryTokenStore()
        val before = world.client(store = store).use { world.signInDemo(it, BORIS) }
        val trust = TlsChannelCredentials.newBuilder().trustManager(folder.resolve("authority.pem")).build()
        CuttingProxy(world.server.address, shown::get).use { front ->
            SvoyKrugClient(front.address, tokenStore = store, credentials = trust).use { client ->
                fails { client.users.getMe(getMeRequest {}, deadline = 1.seconds) }
                assertEquals(before.tokens.refreshToken, store.load()?.refreshToken)
                scenario.met("call_ends")
                shown.set(identity(folder, "valid"))
                isBack { assertEquals(before.userId, client.me().id) }
                scenario.met("goes_on_when_valid")
            }
        }
        folder.deleteRecursively()
    }

    /** The wall clock is five minutes slow, and then as much fast. What it is to the life of a token shows [TokensTest]. */
    suspend fun wrongClock() {
        val batch = batchRecordPurchasesRequest {
            businessId = world.businessId
            purchases += scenario.receipt("wrong-clock", 1)
        }
        val wrongClocks = listOf((-5).minutes, 5.minutes).map { wrong -> { System.currentTimeMillis() + wrong.inWholeMilliseconds } }
        for (wallClock in wrongClocks) {
            val refreshes = Counting("svoykrug.auth.v1.AuthService/RefreshTokens")
            val clock = object : AbstractLongTimeSource(DurationUnit.MILLISECONDS) {
                override fun read() = wallClock()
            }
            world.client(store = scenario.store, interceptor = refreshes, clock = clock).use { started ->
                repeat(3) { assertEquals(scenario.annaId, started.me().id) }
                assertEquals(1, refreshes.calls.get())
            }
        }
        scenario.met("person_stays_signed_in")
        for (clock in wrongClocks) {
            val key = ServiceKey.fromFile(world.keyFile).apply { wallClock = clock }
            world.client(key = key).use { service ->
                val answer = service.purchases.batchRecordPurchases(batch)
                assertEquals(1, answer.recordedCount + answer.duplicateCount)
            }
        }
        scenario.met("service_signs_in")
    }

    /** The connection is dead and nobody says so: a NAT or a tunnel forgot it. New ones go through. */
    suspend fun halfOpenConnection() {
        val request = purchase("half-open", 0)
        CuttingProxy(world.server.address).use { network ->
            // She is an admin, who may record purchases.
            world.client(network.address, scenario.store).use { client ->
                assertEquals(scenario.annaId, client.me().id)
                val kept = scenario.store.load()
                network.forgetConnections()
                fails { client.purchases.recordPurchase(request, deadline = 1.seconds) }
                fails { client.users.getMe(getMeRequest {}, deadline = 1.seconds) }
                // Silence of 12 s, a ping of 5 s, and a machine that is slow: with the two calls within the minute.
                until("the connection is given up", 50.seconds) {
                    isAnswered { client.purchases.recordPurchase(request, deadline = 1.seconds) }
                }
                scenario.met("calls_end")
                assertEquals(scenario.annaId, client.me().id)
                assertEquals(kept, scenario.store.load())
                scenario.met("same_session")
                countsOnce(client, request)
                scenario.met("purchase_counts_once")
            }
        }
    }

    /** Records a receipt that was recorded once more: one purchase came of it. */
    private suspend fun countsOnce(client: SvoyKrugClient, request: RecordPurchaseRequest) {
        assertTrue(client.purchases.recordPurchase(request).duplicate)
        val pages = pages({ it.nextPageToken }) { token ->
            scenario.anna.purchases.listMyPurchases(listMyPurchasesRequest { pageToken = token })
        }
        assertEquals(1, pages.items { it.purchasesList }.count { it.externalId == request.purchase.externalId })
    }

    private fun purchase(kind: String, number: Int) = recordPurchaseRequest {
        businessId = world.businessId
        purchase = scenario.receipt(kind, number)
    }
}

/**
 * Makes a call with a deadline of a second, and returns whether it was answered. Otherwise it must end by then, with a typed error which
 * leaves open what became of it.
 */
private suspend fun isAnswered(call: suspend () -> Any): Boolean {
    val (answered, took) = measureTimedValue { isNotLost(call) }
    assertTrue(took < 1.seconds + SLACK, "a call with a deadline of a second took $took")
    return answered
}

/** Makes a call with a deadline of a second that nobody answers. */
suspend fun fails(call: suspend () -> Any) = assertFalse(isAnswered(call), "the call was answered")

/** Calls until the server is back: she has to do nothing for it, and no failure on the way may be of another kind. */
suspend fun isBack(call: suspend () -> Any) = until("the server is back") { isNotLost(call) }

private suspend fun isNotLost(call: suspend () -> Any): Boolean = try {
    call()
    true
} catch (failure: SvoyKrugException) {
    assertEquals(ErrorReason.ERROR_REASON_UNSPECIFIED, failure.reason, failure.message)
    assertTrue(failure.code in setOf(Status.Code.UNAVAILABLE, Status.Code.DEADLINE_EXCEEDED), failure.message)
    false
}

/** Returns a folder with what tests/clients/certificates.py writes. */
private fun certificates(): File {
    val folder = Files.createTempDirectory("svoykrug-certificates-").toFile()
    val script = File("../../tests/clients/certificates.py").path
    assertEquals(0, ProcessBuilder(PYTHON, script, folder.path).inheritIO().start().waitFor())
    return folder
}

/** Returns what a server talks TLS with that shows one of the certificates. */
private fun identity(folder: File, name: String): SSLContext {
    val pem = folder.resolve("key.pem").readLines().filterNot { it.startsWith("-----") }.joinToString("")
    val key = KeyFactory.getInstance("EC").generatePrivate(PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)))
    val certificate = folder.resolve("$name.pem").inputStream().use {
        CertificateFactory.getInstance("X.509").generateCertificate(it)
    }
    val store = KeyStore.getInstance(KeyStore.getDefaultType()).apply {
        load(null, null)
        setKeyEntry(name, key, charArrayOf(), arrayOf(certificate))
    }
    val managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
    managers.init(store, charArrayOf())
    return SSLContext.getInstance("TLS").apply { init(managers.keyManagers, null, null) }
}
