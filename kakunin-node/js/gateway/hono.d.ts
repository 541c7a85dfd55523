import type { RequestSelectors, RequireAgentOptions } from "./types.js";

export type {
  Caller,
  Gateway,
  GatewayOptions,
  ProvenRequest,
  RequestSelectors,
  RequireAgentOptions,
} from "./types.js";

/** Middleware; the caller is `c.get("caller")`. */
export function requireAgent(
  action: string,
  selectors: RequestSelectors | undefined,
  options: RequireAgentOptions,
): (c: any, next: () => Promise<void>) => Promise<Response | undefined>;
