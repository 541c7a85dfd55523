import { requireAgent } from "kakunin-node/next";

import { gateway, ran } from "../../../gateway.js";

let read;

export function GET(request, context) {
  read ??= requireAgent(
    "read:invoices",
    {},
    { gateway: gateway() },
  )(async (request, { caller, params }) => {
    const { name } = await params;
    ran({ method: request.method, caller: caller.agentId, name });
    return Response.json({ name });
  });
  return read(request, context);
}
