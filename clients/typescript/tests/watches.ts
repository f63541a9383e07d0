import type { Client, SvoyKrugError } from "@svoykrug/client";
import { AnalyticsService } from "@svoykrug/client/svoykrug/analytics/v1/analytics_service_pb";
import { refusal } from "./people.js";
import { until } from "./server.js";

/** Watches a business until the watch fails; it returns when the first answer is there. */
export async function watch(admin: Client, businessId: string): Promise<{ ended: Promise<SvoyKrugError> }> {
  let isWatching = false;
  const dashboards = admin.of(AnalyticsService).watchDashboard({ businessId });
  const ended = refusal(
    drained(dashboards, () => {
      isWatching = true;
    }),
  );
  await until(async () => isWatching);
  return { ended };
}

/** Reads a stream to its end. */
export async function drained(stream: AsyncIterable<unknown>, onAnswer: () => void): Promise<void> {
  for await (const _ of stream) {
    onAnswer();
  }
}
