// A page of another site than the gateway's: it signs its reader in, and shows the dashboard of her business as it changes.
import { Client, ConnectionLost, SvoyKrugError } from "@svoykrug/client";
import { AnalyticsService } from "@svoykrug/client/svoykrug/analytics/v1/analytics_service_pb";
import { ConsentKind } from "@svoykrug/client/svoykrug/users/v1/user_pb";
import { grpcWebTransport } from "@svoykrug/client/web";

const asked = new URLSearchParams(location.search);
const client = new Client({ transport: grpcWebTransport(asked.get("gateway") ?? ""), language: "en" });
const shown = (id: string) => document.querySelector(`#${id}`)!;
const say = (text: string) => (shown("state").textContent = text);
let challenge: Awaited<ReturnType<Client["startSignIn"]>> | undefined;

async function watch(): Promise<void> {
  let pushes = 0;
  for await (const { dashboard } of client.of(AnalyticsService).watchDashboard({ businessId: asked.get("business") ?? "" })) {
    const period = dashboard!.period!;
    shown("purchases").textContent = `${period.purchaseCount}`;
    shown("revenue").textContent = (Number(period.netRevenueMinor) / 100).toFixed(2);
    shown("members").textContent = `${period.activeMemberCount}`;
    shown("pushes").textContent = `${++pushes}`;
  }
}

async function pressed(button: string, form: HTMLFormElement): Promise<void> {
  const value = (name: string) => (form.elements.namedItem(name) as HTMLInputElement).value;
  if (button === "start") {
    challenge = await client.startSignIn(value("phone"));
    say("The code is on its way.");
  } else if (challenge) {
    const kinds = [ConsentKind.TERMS, ConsentKind.PERSONAL_DATA];
    const consents = kinds.map((kind) => ({ kind, version: "2026-11", granted: true }));
    await client.completeSignIn(challenge, value("code"), { consents });
    say("Signed in.");
    await watch();
  }
}

document.querySelector("form")!.addEventListener("submit", (event) => {
  event.preventDefault();
  pressed((event.submitter as HTMLButtonElement).value, event.target as HTMLFormElement).catch((error: unknown) => {
    say(error instanceof ConnectionLost ? "No answer." : error instanceof SvoyKrugError ? error.text : String(error));
  });
});
