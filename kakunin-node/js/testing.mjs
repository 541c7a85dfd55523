import testing from "./testing.js";

export const { MemoryAuthority, FakeClock, assertDenied, noAgent, openAgent } = testing;
