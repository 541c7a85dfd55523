import type { RequestSelectors, RequireAgentOptions } from "./types.js";

export type {
  Caller,
  Gateway,
  GatewayOptions,
  ProvenRequest,
  RequestSelectors,
  RequireAgentOptions,
} from "./types.js";

/** Middleware; the caller is `ctx.state.caller`. */
export function requireAgent(
  action: string,
  selectors: RequestSelectors | undefined,
  options: RequireAgentOptions,
): (ctx: any, next: () => Promise<any>) => Promise<void>;
