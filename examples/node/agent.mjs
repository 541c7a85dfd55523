// An agent that pays without end: `KAKUNIN_URL=... KAKUNIN_TOKEN=... node agent.mjs`.
//
// Certificate, lists and the feed of revocations come from the authority by themselves and renew by themselves. Suspend or revoke
// the agent in another terminal, and the loop is denied within a second.
import { setTimeout as wait } from "node:timers/promises";

import { Agent, ConnectError, guard, ScopeDenied, use } from "kakunin-node";

const payment = { amount: "total", currency: "EUR", counterparty: "supplier" };
const pay = guard("payments:send", payment, ({ supplier, total }) => {
  console.log(`paid ${total} EUR to ${supplier}`);
});

try {
  use(await Agent.connect(undefined, "billing"));
} catch (error) {
  if (!(error instanceof ConnectError)) throw error;
  console.error(error.message);
  process.exit(1);
}

for (;;) {
  try {
    pay({ supplier: "acme", total: "1.00" });
  } catch (error) {
    if (!(error instanceof ScopeDenied)) throw error;
    console.log(error.message);
    // Suspended agents are resumed, and an authority that is away comes back; a revocation is final.
    if (error.code === "certificate.revoked") process.exit(1);
  }
  await wait(200);
}
