// Decision chains: every receipt names the one it follows from.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { chain, chainHeaders, chainMeta, guard, KakuninError } from "kakunin-node";
import { assertDenied } from "kakunin-node/testing";

import { setting } from "./table.mjs";

const HEADER = "kakunin-chain";
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

function from(headers = chainHeaders()) {
  const [, id, receipt] = /^([0-9a-f]{32});from=([0-9a-f]{64})$/.exec(headers[HEADER] ?? "") ?? [];
  return { id, receipt };
}

test("node_hands_on_the_decision_whose_body_runs", async () => {
  const { agent } = setting();
  const read = guard("read:x", { agent }, () => from());
  const later = guard("read:x", { agent }, async () => {
    await sleep(1);
    return from();
  });
  assert.deepEqual(chainHeaders(), {});
  assert.deepEqual(chainMeta(), {});
  assert.equal(read().id, undefined, "no chain, no link");
  await chain({ traceparent: TRACE }, async () => {
    const id = chain.id();
    assert.deepEqual(chainHeaders(), {}, "nothing was recorded yet");
    const [one, two] = [read(), await later()];
    assert.equal(one.id, id);
    assert.equal(two.id, id);
    assert.notEqual(one.receipt, two.receipt);
    assert.deepEqual(chainHeaders(), {}, "the bodies have ended");
    const nested = guard("read:x", { agent }, () => [
      from(),
      read(),
      from(),
      chainHeaders().traceparent,
      chainMeta(),
    ])();
    assert.equal(nested[0].receipt, nested[2].receipt);
    assert.notEqual(nested[0].receipt, nested[1].receipt);
    assert.equal(nested[3], TRACE);
    assert.ok(JSON.stringify(nested[4]).includes(nested[0].receipt));
  });
  assert.equal(chain.id(), undefined);
  assert.throws(() => chain({ traceparent: "00-zz" }, () => 1), KakuninError);
});

test("node_picks_up_a_chain_from_whatever_carries_it", () => {
  const { agent } = setting();
  const sent = chain(() => guard("read:x", { agent }, () => [chainHeaders(), chainMeta(), chain.id()])());
  const [headers, meta, id] = sent;
  const carriers = [
    headers,
    { "Kakunin-Chain": headers[HEADER] },
    new Map(Object.entries(headers)),
    Object.entries(headers),
    new Headers(headers),
    { [HEADER]: [headers[HEADER]] },
    { [HEADER]: Buffer.from(headers[HEADER]) },
    meta,
  ];
  for (const carrier of carriers) {
    chain.pickUp(carrier, () => {
      assert.equal(chain.id(), id);
      assert.equal(from().receipt, from(headers).receipt);
    });
  }
  const broken = [
    undefined,
    null,
    {},
    "",
    5,
    { [HEADER]: "" },
    { [HEADER]: `${headers[HEADER]} ` },
    { [HEADER]: headers[HEADER].toUpperCase() },
    { [HEADER]: [headers[HEADER], headers[HEADER]] },
    { [HEADER]: 5 },
    { [HEADER]: `${headers[HEADER]}, ${headers[HEADER]}` },
    [
      [HEADER, headers[HEADER]],
      ["KAKUNIN-CHAIN", headers[HEADER]],
    ],
    { "kakunin/chain": { from: 5 } },
    {
      get [HEADER]() {
        throw new Error("no");
      },
    },
    [5],
    [[]],
  ]; // prettier-ignore
  for (const carrier of broken) {
    chain.pickUp(carrier, () => {
      assert.match(chain.id(), /^[0-9a-f]{32}$/);
      assert.notEqual(chain.id(), id, String(carrier));
      assert.deepEqual(chainHeaders(), {});
    });
  }
});

test("node_joins_what_comes_together", async () => {
  const { agent } = setting();
  const read = guard("read:x", { agent }, () => chainHeaders());
  await chain(async () => {
    const [one, two] = [read(), read()];
    await sleep(1);
    const joined = chain.join([one, from(two).receipt], { agent });
    assert.match(joined, /^[0-9a-f]{64}$/);
    assert.equal(from().receipt, joined);
    assert.equal(from(await guard("read:x", { agent }, async () => chainHeaders())()).id, chain.id());
    const stranger = chain(() => read());
    assert.throws(() => chain.join(["zz"], { agent }), KakuninError);
    chain.join([stranger, one], { agent });
  });
  assert.equal(chain.id(), undefined);
  assert.throws(() => chain.join([], { agent }), KakuninError);
});

test("node_keeps_each_task_in_its_own_place", async () => {
  const { agent } = setting();
  const work = guard("read:x", { agent }, async (turns) => {
    const mine = from().receipt;
    for (let turn = 0; turn < turns; turn += 1) {
      await sleep(0);
      assert.equal(from().receipt, mine);
    }
    return mine;
  });
  const items = guard("read:x", { agent }, function* () {
    for (;;) yield from().receipt;
  });
  await chain(async () => {
    const streams = [items(), items()];
    const all = await Promise.all(Array.from({ length: 20 }, (_, turns) => work(turns)));
    assert.equal(new Set(all).size, 20);
    const seen = streams.map((stream) => stream.next().value);
    assert.deepEqual(chainHeaders(), {}, "its caller is elsewhere");
    assert.deepEqual(
      streams.map((stream) => stream.next().value),
      seen,
    );
  });
});

test("node_denies_in_a_chain_as_anywhere", () => {
  const { agent, body } = setting();
  chain(() => assertDenied("scope.action", () => guard("write:x", { agent }, body)()));
  const denied = chain(() =>
    assertDenied("request.counterparty_invalid", () =>
      guard(
        "payments:send",
        { agent, amount: () => "1.00", currency: "EUR", counterparty: () => ["acme", 5] },
        body,
      )(),
    ),
  );
  assert.match(denied.receipt, /^[0-9a-f]{64}$/);
  assert.equal(body.ran, 0);
});
