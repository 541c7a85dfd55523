// The gateway of this application, opened by its first request: `next build` runs the modules of routes, too.
import { appendFileSync } from "node:fs";

import { Gateway } from "kakunin-node";
import { FakeClock, openAgent } from "kakunin-node/testing";

// Routes may have a copy of this module each, and the process has one gateway.
const KEY = Symbol.for("kakunin.tests.next");

export function gateway() {
  globalThis[KEY] ??= open();
  return globalThis[KEY];
}

function open() {
  const { DESK, LISTS, NAME } = process.env;
  // It began a while ago, so it takes proofs at once, and goes on with the time.
  const clock = new FakeClock(new Date(Date.now() - 12_000));
  const opened = Gateway.open(openAgent(DESK, { clock, lists: LISTS }), { names: [NAME], maxBody: 2000 });
  clock.advance(12);
  setInterval(() => clock.advance(Math.max(0, Date.now() - clock.now.getTime()) / 1000), 50).unref();
  return opened;
}

/** Says what ran, for the test to read. */
export function ran(what) {
  appendFileSync(process.env.RAN, `${JSON.stringify(what)}\n`);
}
