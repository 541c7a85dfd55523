// An agent that pays at a service that demands proof: `node buyer.mjs URL agents/billing 12.50 acme`.
//
// Any number of amounts and parties may follow; for each a line is printed, with the status of the answer and the code of what
// was refused. Each payment is a chain, which begins with the agent's own decision to ask.
import { setTimeout as wait } from "node:timers/promises";

import { Agent, chain, guard, use } from "kakunin-node";
import { signedFetch } from "kakunin-node/fetch";

const [url, directory, ...payments] = process.argv.slice(2);
use(Agent.fromDir(directory));
// What is asked for, as the service demands it: where the certificate refers to a long list of parties, each request shows where
// its own stands there.
const send = signedFetch(undefined, { action: "payments:send", counterparty: "iban" });

const ask = guard("payments:ask", {}, async (amount, iban) => {
  const headers = { "content-type": "application/json" };
  const payment = { method: "POST", headers, body: JSON.stringify({ amount, iban }) };
  let answer = await send(`${url}/pay`, payment);
  while (answer.status === 503) {
    // A service that has just begun knows nothing of the proofs of before.
    await wait(1000 * Number(answer.headers.get("retry-after")));
    answer = await send(`${url}/pay`, payment);
  }
  return `${answer.status} ${(await answer.json()).code ?? "paid"}`;
});

for (let at = 0; at < payments.length; at += 2) {
  console.log(await chain(() => ask(payments[at], payments[at + 1])));
}
