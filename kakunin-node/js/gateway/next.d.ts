import type { Caller, RequestSelectors, RequireAgentOptions } from "./types.js";

export type {
  Caller,
  Gateway,
  GatewayOptions,
  ProvenRequest,
  RequestSelectors,
  RequireAgentOptions,
} from "./types.js";

/** Wraps a route handler, which is given the caller in its context and the content unread. */
export function requireAgent(
  action: string,
  selectors: RequestSelectors | undefined,
  options: RequireAgentOptions,
): <R extends Request, C extends object>(
  handler: (request: R, context: C & { caller: Caller }) => Response | Promise<Response>,
) => (request: R, context: C) => Promise<Response>;
