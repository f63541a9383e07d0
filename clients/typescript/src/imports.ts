import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "./client.js";
import {
  type ImportPurchasesRequestSchema,
  type ImportPurchasesResponse,
  type NewPurchaseSchema,
  PurchasesService,
} from "./gen/svoykrug/purchases/v1/purchases_service_pb.js";
import { repeated } from "./repeating.js";

/** A purchase to import. */
export type NewPurchase = MessageInitShape<typeof NewPurchaseSchema>;

// Large messages decode far cheaper a row than small ones, and this stays well under the 4 MB of one message.
const BATCH_ROWS = 2_000;
const MOST_BATCH_ROWS = 5_000;

/**
 * Imports purchases of one business, up to millions. It needs gRPC: gRPC-Web has no streams of requests, so a browser
 * uses `batchRecordPurchases` or the CSV import.
 *
 * A broken stream is sent again from the start, up to five times: what is there already counts as a duplicate.
 *
 * @param client Whoever may write the business's purchases.
 * @param businessId The business, a UUID.
 * @param rows Returns the purchases from the first one each time it is called.
 * @param options `batchRows`: how many rows a message holds and a transaction commits, 2,000 by default, 5,000 at most;
 *   `onSent`: called with the number of rows sent in this attempt; `signal`: ends the import, of which the batches before
 *   are in.
 * @returns The counts of the last attempt, and the rejected rows with their number and reason.
 * @throws SvoyKrugError when the import was refused, or broke five times; whatever the rows throw ends the import too, and
 *   the batches before are in.
 */
export async function importPurchases(
  client: Client,
  businessId: string,
  rows: () => Iterable<NewPurchase> | AsyncIterable<NewPurchase>,
  options: { batchRows?: number; onSent?: (rowCount: number) => void; signal?: AbortSignal } = {},
): Promise<ImportPurchasesResponse> {
  const batchRows = options.batchRows ?? BATCH_ROWS;
  if (!(batchRows >= 1 && batchRows <= MOST_BATCH_ROWS)) {
    throw new RangeError(`batchRows is 1 to ${MOST_BATCH_ROWS}, not ${batchRows}`);
  }
  const { signal } = options;
  const purchases = client.of(PurchasesService);
  let stream: ReturnType<typeof requests> | undefined;
  return repeated(async () => {
    // The rows of an attempt that has failed may still be awaited: the next attempt begins when it can be fed.
    await stream?.return(undefined);
    const failures: unknown[] = [];
    stream = requests(businessId, noting(rows(), failures), batchRows, options.onSent);
    try {
      return await purchases.importPurchases(stream, signal && { signal });
    } catch (error) {
      throw failures.length > 0 ? failures[0] : error;
    }
  }, signal);
}

async function* requests(
  businessId: string,
  rows: AsyncIterable<NewPurchase>,
  batchRows: number,
  onSent: ((rowCount: number) => void) | undefined,
): AsyncGenerator<MessageInitShape<typeof ImportPurchasesRequestSchema>> {
  let purchases: NewPurchase[] = [];
  let sentCount = 0;
  for await (const row of rows) {
    purchases.push(row);
    if (purchases.length === batchRows) {
      yield { businessId, purchases };
      sentCount += purchases.length;
      onSent?.(sentCount);
      purchases = [];
    }
  }
  // At least one message: the first one names the business.
  yield { businessId, purchases };
  onSent?.(sentCount + purchases.length);
}

/** Notes what the rows themselves throw: the transport throws its own errors into the requests, and wraps this one. */
async function* noting<T>(rows: Iterable<T> | AsyncIterable<T>, failures: unknown[]): AsyncGenerator<T> {
  try {
    yield* rows;
  } catch (failure) {
    failures.push(failure);
    throw failure;
  }
}
