import assert from "node:assert/strict";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Client, importPurchases, items } from "@svoykrug/client";
import { PurchasesService } from "@svoykrug/client/svoykrug/purchases/v1/purchases_service_pb";
import type { Device } from "./people.js";

const purchaseTime = timestampFromDate(new Date(Date.now() - 86_400_000));

/** Returns a purchase of 100.00 by whoever has a phone; it is the same one whenever it is asked for. */
export function purchaseOf(phone: string, externalId: string) {
  return { buyer: { case: "phone", value: phone } as const, externalId, amountMinor: 10_000n, purchaseTime };
}

/** Yields a row, and then what a file does that cannot be read on. */
export function* brokenRows() {
  yield purchaseOf("+79990000001", "import-0");
  throw new Error("the file ends in mid-row");
}

/** Imports rows among which the server restarts: the import is whole, and nothing of it doubled. */
export async function importOver(restart: () => Promise<void>, service: Client, businessId: string, phone: string) {
  let attempts = 0;
  async function* rows() {
    attempts += 1;
    for (let row = 0; row < 30; row++) {
      if (row === 20 && attempts === 1) {
        await restart();
      }
      yield purchaseOf(phone, `restart-${row}`);
    }
  }
  const answer = await importPurchases(service, businessId, rows, { batchRows: 10 });
  assert.equal(answer.recordedCount + answer.duplicateCount, 30n);
  assert.ok(attempts > 1, "the import was not sent again");
  assert.equal((await importPurchases(service, businessId, rows)).duplicateCount, 30n);
}

/** Returns how often a person finds a receipt among her purchases. */
export async function countOf(person: Device, externalId: string): Promise<number> {
  let count = 0;
  for await (const purchase of items(person.client.of(PurchasesService).listMyPurchases, {}, (page) => page.purchases)) {
    count += purchase.externalId === externalId ? 1 : 0;
  }
  return count;
}
