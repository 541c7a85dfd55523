import type { RequestSelectors, RequireAgentOptions } from "./types.js";

export type {
  Caller,
  Gateway,
  GatewayOptions,
  ProvenRequest,
  RequestSelectors,
  RequireAgentOptions,
} from "./types.js";

/** A `preParsing` hook of a route or plugin; the caller is `request.caller`. */
export function requireAgent(
  action: string,
  selectors: RequestSelectors | undefined,
  options: RequireAgentOptions,
): (request: any, reply: any, payload: any, done: (error?: any, payload?: any) => void) => void;
