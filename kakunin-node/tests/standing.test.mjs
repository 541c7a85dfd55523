// Rows P9 to P12: lists, clocks, what happens between call and execution, budgets.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { BudgetDenied, guard, KakuninError, NotExecuted, ScopeDenied } from "kakunin-node";
import { assertDenied, FakeClock, MemoryAuthority } from "kakunin-node/testing";

import { MONDAY, setting } from "./table.mjs";

const READ = { actions: ["read:*"] };
const DAILY = {
  actions: ["payments:send"],
  limit: [{ for: ["payments:send"], currency: "EUR", per_day: "100.00" }],
};
const HOUR = 3600;
const DAY = 24 * HOUR;
const BEGIN = "-----BEGIN X509 CRL-----";

function reading(options = {}) {
  const { authority, clock, body } = setting(READ);
  const agent = authority.issue(READ, options);
  return { authority, clock, agent, body, read: guard("read:x", { agent }, () => body()) };
}

test("node_denies_the_suspended_and_the_revoked", () => {
  const { authority, agent, read, body } = reading();
  read();
  authority.suspend(agent, "a look at the books");
  assertDenied("certificate.held", read);
  authority.resume(agent);
  read();
  authority.revoke(agent);
  assertDenied("certificate.revoked", read);
  assert.throws(() => authority.resume(agent));
  assert.equal(body.ran, 2);
});

test("node_keeps_its_list_when_it_is_handed_a_bad_one", () => {
  const { authority, agent, read, body } = reading();
  const old = authority.lists();
  read();
  authority.suspend(agent);
  for (const bad of [
    old,
    new MemoryAuthority().lists(),
    "",
    "no PEM",
    `${BEGIN}\nAAAA\n-----END X509 CRL-----\n`,
    "ÿ",
  ]) {
    authority.handLists(agent, bad);
    assertDenied("certificate.held", read);
  }
  assert.ok(agent.notices().some((notice) => notice.includes("list")));
  assert.equal(body.ran, 1);
});

test("node_denies_an_agent_that_never_saw_a_good_list", () => {
  const cases = [
    [() => "", "revocation.missing"],
    [() => "ÿþ", "revocation.missing"],
    [() => new MemoryAuthority().lists(), "revocation.invalid"],
    [flipped, "revocation.invalid"],
  ];
  for (const [make, code] of cases) {
    const { authority, agent, read, body } = reading();
    authority.handLists(agent, make(authority.lists()));
    assertDenied(code, read);
    assert.equal(body.ran, 0);
  }
});

/** Both lists with the last bit of each signature turned. */
function flipped(lists) {
  const blocks = lists.split(BEGIN).slice(1);
  return blocks
    .map((block) => {
      const der = Buffer.from(block.split("-----END")[0], "base64");
      der[der.length - 1] ^= 1;
      return `${BEGIN}\n${der.toString("base64")}\n-----END X509 CRL-----\n`;
    })
    .join("");
}

test("node_denies_a_list_from_the_future", () => {
  const { authority, clock } = reading();
  clock.advance(HOUR);
  const future = authority.lists();
  clock.setWall(MONDAY);
  const agent = authority.issue(READ);
  authority.handLists(agent, future);
  const body = () => assert.fail("ran");
  // The clock was set back by an hour as well, which may be what is noticed first.
  assert.throws(guard("read:x", { agent }, body), (error) => {
    assert.ok(error instanceof ScopeDenied);
    return ["revocation.invalid", "clock.untrusted"].includes(error.code);
  });
});

test("node_denies_a_list_that_is_too_old", () => {
  const { authority, clock, agent, read, body } = reading({ days: 30, hours: 168 });
  read();
  clock.advance(169 * HOUR);
  assertDenied("revocation.stale", read);
  authority.handLists(agent, authority.lists());
  read();
  assert.equal(body.ran, 2);
});

test("node_denies_a_certificate_that_has_ended_until_it_is_renewed", () => {
  const { authority, clock, agent, read, body } = reading({ days: 1 });
  read();
  clock.advance(DAY + HOUR);
  assertDenied("certificate.expired", read);
  authority.renew(agent);
  authority.handLists(agent, authority.lists());
  read();
  assert.equal(body.ran, 2);
});

test("node_does_not_trust_a_clock_that_is_set_back_a_day", () => {
  const { clock, read, body } = reading();
  read();
  clock.setWall(new Date(MONDAY.getTime() - DAY * 1000));
  assertDenied("clock.untrusted", read);
  clock.setWall(MONDAY);
  read();
  assert.equal(body.ran, 2);
});

test("node_looks_again_after_a_sleep_and_after_a_jump_of_the_clock", () => {
  const slept = reading({ days: 30, hours: 168 });
  slept.read();
  slept.clock.sleep(12 * HOUR);
  slept.read();
  slept.clock.sleep(7 * DAY);
  assertDenied("revocation.stale", slept.read);
  assert.equal(slept.body.ran, 2);

  const jumped = reading();
  jumped.read();
  jumped.clock.setWall(new Date(MONDAY.getTime() + 8 * DAY * 1000));
  assertDenied("certificate.expired", jumped.read);
  assert.equal(jumped.body.ran, 1);
});

test("node_judges_a_generator_when_it_is_begun_and_not_when_it_is_made", async () => {
  for (const change of ["end", "revoke"]) {
    const { authority, clock, agent, body } = reading();
    const items = guard("read:x", { agent }, function* () {
      yield body();
    })();
    const later = guard("read:x", { agent }, async function* () {
      yield body();
    })();
    if (change === "end") clock.advance(8 * DAY);
    else authority.revoke(agent);
    const code = change === "end" ? "certificate.expired" : "certificate.revoked";
    assertDenied(code, () => items.next());
    await assertDenied(code, () => later.next());
    assert.equal(body.ran, 0);
  }
});

test("node_judges_an_async_function_when_it_begins_and_a_task_that_waited_too", async () => {
  const { authority, agent, body } = reading();
  const read = guard("read:x", { agent }, async () => body());
  const waiting = Promise.resolve().then(() => read());
  authority.revoke(agent);
  await assertDenied("certificate.revoked", () => waiting);
  assert.equal(body.ran, 0);
});

test("node_tasks_at_the_edge_of_a_daily_limit_never_pass_it", async () => {
  const { agent } = setting(DAILY);
  const paid = [];
  const pay = guard("payments:send", { amount: "total", currency: "EUR", agent }, async (order) => {
    await sleep(Math.random() * 5);
    paid.push(order.total);
  });
  const results = await Promise.allSettled(Array.from({ length: 64 }, () => pay({ total: "10.00" })));
  assert.equal(paid.length, 10);
  const denied = results.filter(
    ({ reason }) => reason instanceof BudgetDenied && reason.code === "budget.window",
  );
  assert.equal(denied.length, 54);
});

test("node_gives_back_what_a_body_did_not_do", () => {
  const { agent } = setting(DAILY);
  const pay = guard("payments:send", { amount: "total", currency: "EUR", agent }, ({ error }) => {
    if (error !== undefined) throw error;
  });
  assert.throws(() => pay({ total: "100.00", error: new NotExecuted("the bank was closed") }), NotExecuted);
  pay({ total: "40.00" });
  assert.throws(() => pay({ total: "60.00", error: new Error("nobody knows") }), /nobody knows/);
  const denied = assertDenied("budget.window", () => pay({ total: "0.01" }));
  assert.equal(denied.limit, "100.00 EUR in 86400 s");
});

test("node_observes_without_denying_and_says_so_and_not_the_revoked", () => {
  const { authority, body } = setting(DAILY);
  const agent = authority.issue(DAILY, { mode: "observe" });
  assert.equal(agent.mode, "observe");
  const pay = guard("payments:send", { amount: "total", currency: "EUR", agent }, () => body());
  pay({ total: "1000.00" });
  pay({});
  guard("write:x", { agent }, body)();
  assert.equal(body.ran, 3);
  authority.revoke(agent);
  assertDenied("certificate.revoked", () => pay({ total: "1.00" }));
  assert.equal(body.ran, 3);
});

test("node_clocks_and_authorities_of_tests_refuse_what_they_cannot_read", () => {
  assert.throws(() => new FakeClock("today"), TypeError);
  assert.throws(() => new FakeClock(new Date(Number.NaN)), TypeError);
  assert.throws(() => new FakeClock().advance("1"), TypeError);
  assert.throws(() => new MemoryAuthority({ clok: new FakeClock() }), TypeError);
  assert.throws(() => new MemoryAuthority().issue({ actoins: ["a"] }), KakuninError);
  assert.throws(() => new MemoryAuthority().issue(READ, { mode: "off" }), KakuninError);
  assert.throws(() => assertDenied("scope.amuont", () => 1), TypeError);
  assert.throws(() => assertDenied("scope.amount", () => 1), /nothing was denied/);
});
