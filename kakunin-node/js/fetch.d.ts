/** The sending side: requests that prove who sends them. */

import type { Agent, Names } from "./index.js";
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
export function signedFetch(agent?: Agent, options?: SignedFetchOptions): typeof globalThis.fetch;

/** A request that is about to be sent, as selectors of names look at it. */
export interface SentRequest {
  readonly method: string;
  readonly url: string;
  readonly content: Uint8Array;
  /** The content as JSON; `undefined` if it is none. */
  readonly body: any;
}

/** A path into the JSON content, or a function of the request. */
export type NamesOf = string | ((sent: SentRequest) => Names);

export interface SignedFetchOptions {
  fetch?: typeof globalThis.fetch;
  /**
   * What is asked for, as the service demands it. Where the certificate refers to a detached list, each request then shows the
   * places of its names there (`kakunin-names`), so the service need not have it.
   */
  action?: string;
  /** Where the names are that the action is towards. */
  counterparty?: NamesOf | readonly NamesOf[];
  /** Where the names are of what is touched. */
  resource?: NamesOf | readonly NamesOf[];
}

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
