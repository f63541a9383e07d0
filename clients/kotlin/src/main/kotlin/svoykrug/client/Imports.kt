package svoykrug.client

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.flow
import svoykrug.purchases.v1.ImportPurchasesRequest
import svoykrug.purchases.v1.ImportPurchasesResponse
import svoykrug.purchases.v1.NewPurchase

// Large messages decode far cheaper a row than small ones, and this stays well under the 4 MB of one message.
private const val BATCH_ROWS = 2_000

/**
 * Imports purchases of one business, up to millions.
 *
 * A broken stream is sent again from the start, up to five times: [rows] is collected anew for each attempt and gives the same rows in
 * the same order, and what is there already counts as a duplicate. What [rows] throws ends the import and is thrown; the batches
 * before it may be in.
 *
 * @receiver A client of a service, or of the business's staff.
 * @return The counts of the last attempt, and the rejected rows with their number and reason.
 * @throws SvoyKrugException The import was refused, or broke five times.
 */
public suspend fun SvoyKrugClient.importPurchases(businessId: String, rows: Flow<NewPurchase>): ImportPurchasesResponse =
    repeated {
        var broken: Throwable? = null
        val requests = batches(businessId, rows).catch { failure ->
            broken = failure
            throw failure
        }
        try {
            purchases.importPurchases(requests)
        } catch (failure: SvoyKrugException) {
            throw broken ?: failure
        }
    }

/** Returns the rows in messages; at least one, for it names the business. */
private fun batches(businessId: String, rows: Flow<NewPurchase>): Flow<ImportPurchasesRequest> = flow {
    var batch = ImportPurchasesRequest.newBuilder().setBusinessId(businessId)
    rows.collect { row ->
        if (batch.purchasesCount == BATCH_ROWS) {
            emit(batch.build())
            batch = ImportPurchasesRequest.newBuilder().setBusinessId(businessId)
        }
        batch.addPurchases(row)
    }
    emit(batch.build())
}
