/** The sending side: requests that prove who sends them. */

import type { Agent } from "./index.js";
import { KakuninError } from "./index.js";

/** A request that goes without a proof, and therefore does not go. */
export class NotProven extends KakuninError {
  /** The stable code. */
  readonly code: string;
}

/**
 * A `fetch` that signs method, address, content and time by the key of the agent's certificate: of this agent, else of the context's,
 * else of the one that `use` set. Inside a guarded function of a decision chain the request says what it follows from.
 *
 * The content is read into memory. No redirect is followed, because a proof is for one address: the answer of the redirect is
 * returned, `redirect: "error"` rejects it, and `redirect: "follow"` is a `TypeError`.
 */
export function signedFetch(
  agent?: Agent,
  options?: { fetch?: typeof globalThis.fetch },
): typeof globalThis.fetch;

export interface ProvableRequest {
  method: string;
  /** Host, and port unless it is the scheme's, as it will be sent. */
  authority: string;
  /** The octets that will be sent. */
  path: string;
  /** What stands behind the `?`. */
  query?: string;
  content?: Uint8Array;
}

/** The fields of a proof, for clients that are no `fetch`: each is sent once, and no others of those names. */
export function prove(agent: Agent, request: ProvableRequest): [name: string, value: string][];
