package svoykrug.client

import io.grpc.InsecureChannelCredentials
import io.grpc.Status
import kotlinx.coroutines.flow.emptyFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.extension.ExtendWith
import svoykrug.analytics.v1.getFreshnessRequest
import svoykrug.analytics.v1.watchDashboardRequest
import svoykrug.auth.v1.listServiceAccountsRequest
import svoykrug.auth.v1.setServiceAccountScopesRequest
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

@ExtendWith(WorldOfTests::class)
@Timeout(300)
class TransportTest(private val world: World) {
    @Test
    fun `a call that the contract does not call repeatable is sent once`(): Unit = runBlocking {
        CuttingProxy(world.server.address).use { proxy ->
            proxy.cutting = true
            world.client(proxy.address).use { client ->
                val lost = assertFailsWith<SvoyKrugException> { client.startSignIn(VERA) }
                assertEquals(Status.Code.UNAVAILABLE, lost.code)
            }
            assertEquals(1, proxy.cuts.get())
        }
    }

    @Test
    fun `no token is sent without TLS unless the client was told to`(): Unit = runBlocking {
        val plain = InsecureChannelCredentials.create()
        val key = ServiceKey.fromFile(world.keyFile)
        SvoyKrugClient(world.server.address, credentials = plain, serviceKey = key).use { client ->
            val refusal = assertFailsWith<SvoyKrugException> { client.analytics.getFreshness(getFreshnessRequest {}) }
            assertEquals("a token is sent over TLS only", refusal.text)
        }
    }

    @Test
    fun `streams whose token was revoked go on with a fresh one`(): Unit = runBlocking {
        val issued = Counting("svoykrug.auth.v1.AuthService/IssueServiceToken")
        world.service(issued).use { service ->
            val watch = service.analytics.watchDashboard(watchDashboardRequest { businessId = world.businessId })
            val calls = listOf<suspend () -> Any>(
                { watch.first() },
                { service.importPurchases(world.businessId, emptyFlow()) },
            )
            for (call in calls) {
                call()
                val before = issued.calls.get()
                changeScopes()
                until("the token is refused") {
                    call()
                    issued.calls.get() > before
                }
                assertEquals(before + 1, issued.calls.get())
            }
        }
    }

    /** Gives the service a scope that it lacks, or takes it away: either ends its access token. */
    private suspend fun changeScopes() {
        val account = world.admin.authAdmin.listServiceAccounts(listServiceAccountsRequest {}).serviceAccountsList.first()
        world.admin.authAdmin.setServiceAccountScopes(
            setServiceAccountScopesRequest {
                serviceAccountId = account.id
                scopes += account.scopesList - "users.read"
                if ("users.read" !in account.scopesList) scopes += "users.read"
            },
        )
    }
}
