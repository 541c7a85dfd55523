// Typed uses that `tsc --strict` accepts; what it must refuse is marked.

import kakunin, {
  Agent,
  type AgentOptions,
  asWritten,
  chain,
  chainHeaders,
  const_,
  currentAgent,
  type Caller,
  type Decision,
  Gateway,
  guard,
  guarded,
  guardTools,
  NotExecuted,
  runAs,
  ScopeDenied,
  ScopeExceeded,
  ToolDenied,
  use,
  verifyAgentScope,
} from "kakunin-node";
import { type ProvenRequest, requireAgent } from "kakunin-node/express";
import { NotProven, prove, signedFetch } from "kakunin-node/fetch";
import { requireAgent as inNext } from "kakunin-node/next";
import { assertDenied, FakeClock, MemoryAuthority, noAgent, openAgent } from "kakunin-node/testing";

interface Order {
  to: string;
  amount: string;
  cents: bigint;
  via?: string;
}

const options: AgentOptions = {
  mode: "observe",
  journal: { levels: { "payments:*": "sync" }, sealed: true },
};
const agent: Agent = Agent.fromDir("agents/billing", options);
// @ts-expect-error There is no such mode.
Agent.fromDir("agents/billing", { mode: "off" });
// @ts-expect-error Options are known by name.
Agent.fromDir("agents/billing", { lits: "x" });
// @ts-expect-error Nobody makes an agent.
new Agent();

const send = guard(
  "payments:send",
  { amount: "amount", currency: "EUR", counterparty: (order) => order.to },
  async (order: Order, times: number) => `${order.to} ${times}`,
);
const sent: Promise<string> = send({ to: "acme", amount: "1.00", cents: 1n }, 2);
// @ts-expect-error The second argument is kept.
send({ to: "acme", amount: "1.00", cents: 1n });
// @ts-expect-error Its type too.
send({ to: "acme", amount: "1.00", cents: 1n }, "2");
// @ts-expect-error And the result.
const wrong: Promise<number> = send({ to: "acme", amount: "1.00", cents: 1n }, 2);
const demanded: string = guarded(send).action;
const dry: Decision = send.guarded.check({ to: "acme", amount: "1.00", cents: 1n }, 2);
const allowed: boolean = dry.allowed;

const generic = guard("read:x", {}, <T,>(value: T): T => value);
const kept: 5 = generic<5>(5);
const items = guard("read:x", { resource: ["to", (order) => [order.to]] }, function* (order: Order) {
  yield order.to;
});
for (const item of items({ to: "acme", amount: "1.00", cents: 1n })) item.toUpperCase();

guard(
  "payments:send",
  { amountMinor: (order) => order.cents, currency: const_("EUR") },
  (order: Order) => order,
);
guard(
  "payments:send",
  { amount: asWritten("amount"), counterparty: const_(["acme"]) },
  (order: Order) => order,
);
guard(
  "payments:send",
  { amount: const_("1.00"), agent, agentId: agent.agentId, promise: true },
  (o: Order) => o,
);
// @ts-expect-error An amount is decimal text and no number.
guard("payments:send", { amount: (order) => Number(order.amount) }, (order: Order) => order);
// @ts-expect-error An amount is one value.
guard("payments:send", { amount: ["amount"] }, (order: Order) => order);
// @ts-expect-error Numbers are read by asWritten or amountMinor.
guard("payments:send", { amount: const_(5) }, (order: Order) => order);
// @ts-expect-error A selector sees what the function sees.
guard("payments:send", { counterparty: (order) => order.nobody }, (order: Order) => order);
// @ts-expect-error Selectors are known by name.
guard("payments:send", { amuont: "amount" }, (order: Order) => order);
// @ts-expect-error A function comes last.
guard("payments:send", {});

class Desk {
  @verifyAgentScope("payments:send", { amount: "amount", currency: "EUR" })
  async pay(order: Order): Promise<string> {
    return order.to;
  }
}
const paid: Promise<string> = new Desk().pay({ to: "acme", amount: "1.00", cents: 1n });

const tools = {
  send: { description: "Sends money", execute: async (order: Order) => order.to },
  look: (path: string) => path.length,
};
const safe = guardTools(tools, {
  send: { action: "payments:send", amount: "amount", currency: "EUR" },
  look: null,
});
const answer: Promise<string> = safe.send.execute({ to: "acme", amount: "1.00", cents: 1n });
const length: number = safe.look("x");
// @ts-expect-error Each tool has a rule.
guardTools(tools, { send: "payments:send" });

use(agent);
const value: number = runAs(agent, () => 5);
const later: Promise<number> = runAs(agent, async () => 5);
const acting: Agent | undefined = currentAgent();
// @ts-expect-error An agent is no plain object.
runAs({ agentId: "x", mode: "enforce" }, () => 5);

try {
  await sent;
} catch (error) {
  if (error instanceof ScopeDenied) {
    const { code, limit, actual, decisionId, receipt, fix } = error;
    const shown: string = [code, limit ?? "", actual ?? "", decisionId ?? "", receipt ?? "", fix].join();
    const told: string = error.forModel() + shown + JSON.stringify(error.toJSON());
    // @ts-expect-error A denial is not edited.
    error.code = told;
  }
  if (error instanceof ScopeExceeded || error instanceof ToolDenied) throw new NotExecuted("no");
}

const linked: number = chain({ traceparent: "00-.." }, () => Object.keys(chainHeaders()).length);
chain.pickUp(new Headers(), async () => chain.join(["a", {}], { agent }));
const at: Decision = agent.check("payments:send", { amountMinor: 5n, currency: "EUR", at: new Date() });
// @ts-expect-error A dry amount is text too.
agent.check("payments:send", { amount: 5 });

const clock = new FakeClock(new Date());
const authority = new MemoryAuthority({ clock });
const issued: Agent = authority.issue({ actions: ["read:*"] }, { days: 1 });
const denied: ScopeDenied = assertDenied("scope.action", () => 5);
const rejected: Promise<ScopeDenied> = assertDenied("scope.action", async () => 5);
const nobody: number = noAgent(() => 5);
openAgent("agents/billing", { clock, state: "memory" }).close();

const same: typeof guard = kakunin.guard;
export {
  acting,
  demanded,
  allowed,
  answer,
  at,
  denied,
  issued,
  kept,
  later,
  length,
  linked,
  nobody,
  paid,
  rejected,
  same,
  value,
  wrong,
};

// Gateways.
const gateway: Gateway = Gateway.open(agent, {
  names: ["shop.example"],
  trustedProxies: ["10.0.0.0/8"],
  nonces: async (mark: string, seconds: number) => mark.length > seconds,
});
// @ts-expect-error A gateway is reached by some name.
Gateway.open(agent, {});
// @ts-expect-error Gateways are opened.
new Gateway();
const payment = {
  amount: "amount",
  currency: "EUR",
  counterparty: (asked: ProvenRequest) => asked.body.iban,
};
const middleware: (req: object, res: object, next: (error?: unknown) => void) => void = requireAgent(
  "payments:send",
  payment,
  { gateway, onError: (error: unknown) => console.error(error) },
);
void middleware;
// @ts-expect-error A demand needs a gateway.
requireAgent("payments:send", payment, {});
// @ts-expect-error There is no such selector.
requireAgent("payments:send", { amont: "amount" }, { gateway });
export const POST = inNext("payments:send", payment, { gateway })(
  async (request: Request, context: { params: Promise<{ id: string }>; caller: Caller }) =>
    Response.json({ id: (await context.params).id, by: context.caller.agentId, with: request.method }),
);
const signed: typeof fetch = signedFetch(agent);
void signed(new URL("https://shop.example/pay"), { method: "POST" }).catch((error: unknown) =>
  error instanceof NotProven ? error.code : undefined,
);
const fields: [string, string][] = prove(agent, { method: "GET", authority: "shop.example", path: "/" });
void fields;
const connected: Agent = await Agent.connect(["https://authority.example"], "billing", {
  token: "kak_enrol_x",
  maxAge: 30,
});
const until: Date | null = connected.status().certificateUntil;
void until;
// @ts-expect-error There is no such option.
void Agent.connect("https://authority.example", "billing", { tokens: "kak_enrol_x" });
void signedFetch(agent, {
  action: "payments:send",
  counterparty: ["iban", ({ body }) => body.via as string],
});
// @ts-expect-error There is no such option.
void signedFetch(agent, { action: "payments:send", counterpary: "iban" });
Gateway.open(agent, { names: ["shop.example"], nonces: "/run/shop/nonces", proxyField: "client-cert" });
// @ts-expect-error Proxies write no such field.
Gateway.open(agent, { names: ["shop.example"], proxyField: "x-client-cert" });
