import type { RequestSelectors, RequireAgentOptions } from "./types.js";

export type {
  Caller,
  Gateway,
  GatewayOptions,
  ProvenRequest,
  RequestSelectors,
  RequireAgentOptions,
} from "./types.js";

/** Middleware that lets a request on whose sender proves to be an agent that may do this; it is `req.caller`. */
export function requireAgent(
  action: string,
  selectors: RequestSelectors | undefined,
  options: RequireAgentOptions,
): (req: any, res: any, next: (error?: any) => void) => void;
