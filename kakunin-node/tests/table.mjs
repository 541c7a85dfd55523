/** The agent of the attack table: 10,000.00 EUR to 1,000 known parties, weekdays 09:00 to 17:00. */

import { runAs } from "kakunin-node";
import { FakeClock, MemoryAuthority } from "kakunin-node/testing";

export const PARTIES = ["acme", "globex", ...Array.from({ length: 998 }, (_, number) => `party-${number}`)];

export const SCOPE = {
  actions: ["payments:send", "read:*"],
  limit: [{ for: ["payments:send"], currency: "EUR", per_action: "10000.00" }],
  counterparties: [{ for: ["payments:send"], allow: PARTIES }],
  hours: { zone: "UTC", slots: ["Mon-Fri 09:00-17:00"] },
};

/** A Monday in office hours. */
export const MONDAY = new Date("2026-11-23T10:00:00Z");

/** The selectors of a payment. */
export const PAY = { amount: "total", currency: "EUR", counterparty: "supplier" };

/** Everything that a test of the table needs; `body` counts how often it ran. */
export function setting(scope = SCOPE) {
  const clock = new FakeClock(MONDAY);
  const authority = new MemoryAuthority({ clock });
  const agent = authority.issue(scope);
  const body = () => {
    body.ran += 1;
    return "ran";
  };
  body.ran = 0;
  return { clock, authority, agent, body, acting: (fn) => runAs(agent, fn) };
}
