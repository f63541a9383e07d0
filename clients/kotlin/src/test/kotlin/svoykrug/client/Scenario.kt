package svoykrug.client

import com.google.protobuf.fieldMask
import com.google.protobuf.timestamp
import io.grpc.Status
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.asFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import svoykrug.analytics.v1.watchDashboardRequest
import svoykrug.auth.v1.completeSignInRequest
import svoykrug.common.v1.ErrorReason
import svoykrug.purchases.v1.NewPurchase
import svoykrug.purchases.v1.Purchase
import svoykrug.purchases.v1.copy
import svoykrug.purchases.v1.listMyPurchasesRequest
import svoykrug.purchases.v1.newPurchase
import svoykrug.purchases.v1.recordPurchaseRequest
import svoykrug.purchases.v1.refundPurchaseRequest
import svoykrug.users.v1.Role
import svoykrug.users.v1.User
import svoykrug.users.v1.UserKt
import svoykrug.users.v1.setUserRolesRequest
import svoykrug.users.v1.updateMeRequest
import svoykrug.users.v1.user
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertSame
import kotlin.test.assertTrue
import kotlin.time.Clock
import kotlin.time.Duration
import kotlin.time.Duration.Companion.days

const val NOBODY = "00000000-0000-4000-8000-000000000000"
private const val STRANGER = "+79990000004"

/** The steps, each of which stands on those before it; `BadDays` has the rest. */
class Scenario(private val world: World, private val table: Table) {
    val store = MemoryTokenStore()
    val service = world.service()
    private val yesterday = timestamp { seconds = (Clock.System.now() - 1.days).epochSeconds }
    private val refreshes = Counting("svoykrug.auth.v1.AuthService/RefreshTokens")
    val anna = world.client(store = store, interceptor = refreshes)
    lateinit var annaId: String
    private lateinit var purchase: Purchase

    suspend fun signIn() {
        val answer = world.signInByConsole(anna, ANNA)
        annaId = answer.userId
        assertEquals(annaId, anna.me().id)
        met("is_herself")
        assertEquals(StoredSession(annaId, answer.tokens.refreshToken), store.load())
        met("session_stored")
    }

    /** Her role changes, which ends her access token on the server; two calls at once make one refresh. */
    suspend fun refreshUnderWay() {
        world.admin.users.setUserRoles(
            setUserRolesRequest {
                userId = annaId
                roles += listOf(Role.ROLE_MEMBER, Role.ROLE_ADMIN)
            },
        )
        until("her token is refused") {
            coroutineScope { List(2) { async { anna.me() } }.awaitAll() }
            refreshes.calls.get() > 0
        }
        met("every_call_answered")
        assertEquals(1, refreshes.calls.get())
        met("one_refresh")
    }

    suspend fun profileMask() {
        val before = anna.me()
        val after = update {
            displayName = "Анна"
            locale = "en"
            email = "anna@example.com"
        }
        assertEquals("Анна", after.displayName)
        met("display_name_new")
        val (rest, restBefore) = listOf(after, before).map { user ->
            user.toBuilder().clearDisplayName().clearEtag().clearUpdateTime().build()
        }
        assertEquals(restBefore, rest)
        met("other_fields_kept")
    }

    suspend fun staleEtag() {
        val read = anna.me()
        update {
            displayName = "Анна Первая"
            etag = read.etag
        }
        val stale = refused(ErrorReason.ERROR_REASON_STALE_ETAG) {
            update {
                displayName = "Анна Вторая"
                etag = read.etag
            }
        }
        assertEquals(Status.Code.ABORTED, stale.code)
        met("second_refused")
        assertEquals("Анна Первая", anna.me().displayName)
        met("first_counts")
    }

    suspend fun recordPurchase() {
        val request = recordPurchaseRequest {
            businessId = world.businessId
            purchase = receipt("receipt", 1)
        }
        val first = service.purchases.recordPurchase(request)
        val again = service.purchases.recordPurchase(request)
        assertFalse(first.duplicate)
        met("first_is_new")
        assertTrue(again.duplicate)
        assertEquals(first.purchase.id, again.purchase.id)
        met("second_is_duplicate")
        purchase = first.purchase
    }

    suspend fun refundPurchase() {
        assertEquals(40_00, refund("refund-1", 40_00))
        met("first_counts")
        val tooMuch = refused(ErrorReason.ERROR_REASON_REFUND_EXCEEDS_PURCHASE) { refund("refund-2", 90_00) }
        assertEquals("6000", tooMuch.metadata["refundable_minor"])
        met("second_refused")
    }

    suspend fun importStream() {
        val rows = List(2_500) { receipt("import", it) }
        val stranger = receipt("import", 2_500).copy { phone = STRANGER }
        val answer = service.importPurchases(world.businessId, (rows + stranger).asFlow())
        assertEquals(2_500, answer.recordedCount)
        assertEquals(listOf(2_500L), answer.rejectedRowsList.map { it.rowNumber })
        met("one_row_rejected")
        assertEquals(2_500, service.importPurchases(world.businessId, rows.asFlow()).duplicateCount)
        met("all_duplicates")
        refused(ErrorReason.ERROR_REASON_NOT_FOUND) { service.importPurchases(NOBODY, rows.asFlow()) }
        met("no_business_refused")
        val broken = IllegalStateException("the file ends in mid-row")
        val thrown = assertFailsWith<IllegalStateException> {
            service.importPurchases(world.businessId, rows.asFlow().map { throw broken })
        }
        assertSame(broken, generateSequence<Throwable>(thrown) { it.cause }.last())
        met("broken_rows_raise")
    }

    suspend fun listPages() {
        val fetched = AtomicInteger()
        val pages = pages({ it.nextPageToken }) { token ->
            fetched.incrementAndGet()
            anna.purchases.listMyPurchases(
                listMyPurchasesRequest {
                    pageSize = 500
                    pageToken = token
                },
            )
        }
        val hers = listOf(purchase.externalId) + List(2_500) { receipt("import", it).externalId }
        assertEquals(hers.sorted(), pages.items { it.purchasesList }.map { it.externalId }.toList().sorted())
        met("each_once")
        fetched.set(0)
        assertEquals(500, pages.first().purchasesCount)
        assertEquals(1, fetched.get())
    }

    suspend fun watchAndCancel(): Unit = coroutineScope {
        val watch = service.analytics.watchDashboard(watchDashboardRequest { businessId = world.businessId })
        assertTrue(watch.first().hasDashboard())
        met("holds_a_dashboard")
        var answers = 0
        val watching = launch {
            watch.collect {
                answers++
                cancel()
            }
        }
        watching.join()
        assertTrue(watching.isCancelled)
        assertEquals(1, answers)
        met("ends_as_cancelled")
    }

    suspend fun typedErrors() {
        world.client().use { nobody ->
            val missing = refused(ErrorReason.ERROR_REASON_TOKEN_MISSING) { nobody.me() }
            assertEquals(Status.Code.UNAUTHENTICATED, missing.code)
            assertEquals("Please sign in.", missing.text)
            assertTrue(missing.requestId.isNotEmpty())
            met("token_missing")
            val invalid = refused(ErrorReason.ERROR_REASON_INVALID_FIELDS) { nobody.startSignIn("12345") }
            assertNotNull(invalid.fieldViolations["phone"])
            met("invalid_fields")
            val challenge = nobody.startSignIn(STRANGER)
            val tooSoon = refused(ErrorReason.ERROR_REASON_RESEND_TOO_SOON) { nobody.startSignIn(STRANGER) }
            assertTrue(assertNotNull(tooSoon.retryAfter) > Duration.ZERO)
            met("resend_too_soon")
            val guess = completeSignInRequest {
                challengeId = challenge.challengeId
                code = if ("000000" in world.server.codes) "000001" else "000000"
            }
            val wrong = refused(ErrorReason.ERROR_REASON_CODE_WRONG) { nobody.completeSignIn(guess) }
            assertEquals("4", wrong.metadata["guesses_left"])
            met("code_wrong")
        }
        // She is an admin, and roles are given by superadmins.
        refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED) {
            anna.users.setUserRoles(
                setUserRolesRequest {
                    userId = annaId
                    roles += Role.ROLE_MEMBER
                },
            )
        }
        met("permission_denied")
    }

    /** Tells that an expectation of the step under way holds. */
    fun met(expectation: String) = table.met(expectation)

    /** Returns a purchase of Anna's. */
    fun receipt(kind: String, number: Int): NewPurchase = newPurchase {
        userId = annaId
        externalId = "$kind-$number"
        amountMinor = 100_00
        purchaseTime = yesterday
    }

    private suspend fun update(change: UserKt.Dsl.() -> Unit): User {
        val request = updateMeRequest {
            user = user(change)
            updateMask = fieldMask { paths += "display_name" }
        }
        return anna.users.updateMe(request).user
    }

    /** Returns what of the purchase is refunded then. */
    private suspend fun refund(id: String, minor: Long): Long {
        val request = refundPurchaseRequest {
            businessId = world.businessId
            purchaseId = purchase.id
            externalId = id
            amountMinor = minor
            refundTime = timestamp { seconds = Clock.System.now().epochSeconds }
        }
        return service.purchases.refundPurchase(request).purchase.refundedMinor
    }
}
