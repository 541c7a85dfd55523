import { requireAgent } from "kakunin-node/next";

import { gateway, ran } from "../../gateway.js";

const SELECTORS = { amount: "amount", currency: "EUR", counterparty: "to" };

let pay;

export function POST(request, context) {
  pay ??= requireAgent("payments:send", SELECTORS, { gateway: gateway() })(async (request, { caller }) => {
    const text = await request.text();
    ran({ method: request.method, caller: caller.agentId, text });
    return Response.json({ paid: JSON.parse(text).amount });
  });
  return pay(request, context);
}
