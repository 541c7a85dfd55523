// The same package by `require`.

import kakunin = require("kakunin-node");
import testing = require("kakunin-node/testing");

const agent: kakunin.Agent = new testing.MemoryAuthority().issue({ actions: ["read:*"] });
const read = kakunin.guard("read:x", { resource: "path" }, (file: { path: string }) => file.path.length);
const length: number = kakunin.runAs(agent, () => read({ path: "x" }));
const denial: kakunin.ScopeDenied = testing.assertDenied("agent.missing", () => testing.noAgent(() => length));
export = denial;
