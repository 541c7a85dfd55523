/** What a service that demands proof says and is told. */

import type { IncomingMessage } from "node:http";

import type { Agent, Selectors } from "../index.js";

export interface GatewayOptions {
  /**
   * The authorities under which the service is reached, as clients write them and without the port that is the scheme's:
   * `["shop.example", "10.0.0.7:8443"]`. A request that was signed for another one is refused.
   */
  names: string[];
  /** How many octets of content are read of a request; 1 MiB if nobody says. */
  maxBody?: number;
  /** A folder of detached lists of names, `<root>.txt`, that callers' scopes refer to. */
  nameLists?: string;
  /** Whether the client certificate of a TLS connection that ends in this process proves who calls. */
  tls?: boolean;
  /** Addresses and networks of proxies whose word on client certificates is believed, in the one field of `proxyField`. */
  trustedProxies?: string[];
  /** The field that the proxies write, `Client-Cert` or `X-Forwarded-Client-Cert`. The other one, which a client could write, counts for nothing. */
  proxyField?: "client-cert" | "x-forwarded-client-cert";
  /**
   * A folder of chains, `<serial>.pem`: callers that only name their certificate, in `x-kakunin-cert-serial`, are let in without
   * proof, and every receipt says so. For migrations in closed networks.
   */
  serials?: string;
  /**
   * A store of used proofs that several workers share: it remembers `mark` for so many seconds, and answers `true` if it did not
   * know it and `false` if it did. What it answers otherwise, or throws, refuses the request. Without it each thread remembers for
   * itself, and takes no proof that may have been used before it began. A string is a folder that all processes of this host share
   * which are given it, those in Python too: no server is needed. It is refused if it is another user's, a link, or if others may
   * write there. Its lock is waited for 100 ms, and 5 ms for a second after that was in vain: nothing else runs in this thread then.
   */
  nonces?: string | ((mark: string, seconds: number) => boolean | Promise<boolean>);
}

/**
 * A service's own agent, by whose lists and feed callers are judged and in whose journal they are recorded, and the names under
 * which requests reach it.
 */
export class Gateway {
  private constructor();
  static open(agent: Agent, options: GatewayOptions): Gateway;
  readonly maxBody: number;
  /** The service's own agent. */
  readonly agent: Agent;
}

/** The agent that a request is from. */
export class Caller {
  private constructor();
  readonly agentId: string;
  /** The serial number of its certificate, in hexadecimal digits. */
  readonly certificateSerial: string;
  /** How it proved that it has the certificate's key; `none` if it did not. */
  readonly possession: "signature" | "tls" | "proxy" | "none";
}

/** What selectors see of a request: what the proof covers, in one form for every framework. Header fields are not covered. */
export class ProvenRequest {
  private constructor();
  readonly method: string;
  readonly path: string;
  /**
   * The texts of the query by their names. Reading it throws, and so denies, when another reader could find other ones: names with
   * brackets, more than 1,000 parameters, a `#`. So does reading a name that is there twice.
   */
  readonly query: Record<string, string>;
  /** What the route's pattern took out of the path. */
  readonly params: Record<string, any>;
  /** The parsed JSON. Throws when the content is none, is encoded, does not say plainly that it is, or has a name twice. */
  readonly body: any;
  /** The content as it was sent. */
  readonly raw: Buffer;
  readonly caller: Caller;
  /** The framework's own request, of which nothing but the above is proven. */
  readonly request: any;
}

/** Which values of a request the leash is asked about. A string is a path into its JSON: `"order.total"`. */
export type RequestSelectors = Pick<
  Selectors<[request: ProvenRequest]>,
  "amount" | "amountMinor" | "currency" | "counterparty" | "resource"
>;

export interface RequireAgentOptions {
  gateway: Gateway;
  /** Is told what is wrong with the service itself; a warning of the process if nobody is. */
  onError?: (error: unknown) => void;
}

/** The head of a request as it was sent. */
export interface Line {
  method: string;
  authority: string | undefined;
  path: string;
  query: string | undefined;
  /** Names and values in turn. */
  fields: string[];
  socket: IncomingMessage["socket"] | undefined;
}

/** A request on its way to a decision. */
export interface Arrival extends Omit<Line, "path" | "query"> {
  /** What is the same object for every demand on this request. */
  key: object;
  target: string;
  params: Record<string, any> | undefined;
  request: unknown;
  octets(limit: number): Promise<Buffer>;
  /** Whether it was answered already, or nobody waits for an answer. */
  isGone(): boolean;
}
