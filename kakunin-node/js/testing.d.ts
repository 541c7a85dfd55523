/** Help for testing code that is guarded, with real certificates and real decisions. */

import type { Agent, Mode, ScopeDenied } from "./index";

/** A clock that moves only when told. */
export class FakeClock {
  constructor(now?: Date);
  /** The wall clock. */
  readonly now: Date;
  /** Lets time pass. */
  advance(seconds: number): void;
  /** Sets the wall clock, as an administrator would; no other clock moves. */
  setWall(now: Date): void;
  /** The machine sleeps: the wall clock goes on, the monotonic clock stands still. */
  sleep(seconds: number): void;
}

/** Certifies agents with real certificates and says how they stand, in this process only. */
export class MemoryAuthority {
  constructor(options?: { clock?: FakeClock });
  /** A new agent: its certificate ends after `days`, its revocation list after `hours`. Scopes are TOML or an object. */
  issue(
    scope: string | object,
    options?: { name?: string; days?: number; hours?: number; mode?: Mode },
  ): Agent;
  /** A new certificate for the same key, with another scope if one is given. */
  renew(agent: Agent, options?: { scope?: string | object; days?: number }): void;
  /** Until `resume`, everything the agent does is denied. */
  suspend(agent: Agent, reason?: string): void;
  /** Lifts a suspension. */
  resume(agent: Agent): void;
  /** Ends the agent's certificate for good. */
  revoke(agent: Agent, reason?: string): void;
  /** The current revocation lists as PEM, signed anew. */
  lists(options?: { hours?: number }): string;
  /** Gives an agent this text as its revocation lists, whatever it is. */
  handLists(agent: Agent, lists: string): void;
}

/** Holds that exactly this denial is thrown, or is what a promise is rejected with. */
export function assertDenied(code: string, fn: () => PromiseLike<unknown>): Promise<ScopeDenied>;
export function assertDenied(code: string, fn: () => unknown): ScopeDenied;

/** Runs `fn` without any agent, whatever `use` set. */
export function noAgent<T>(fn: () => T): T;

/** Opens an agent's directory with a clock of its own. Unlike `Agent.fromDir` it opens anew each time. */
export function openAgent(
  directory: string,
  options?: { clock?: FakeClock; lists?: string; state?: string },
): Agent;
