import type { RequestSelectors, RequireAgentOptions } from "./types.js";

export type {
  Caller,
  Gateway,
  GatewayOptions,
  ProvenRequest,
  RequestSelectors,
  RequireAgentOptions,
} from "./types.js";

/** A guard and an interceptor in one: `@UseGuards(agent) @UseInterceptors(agent)`. The caller is `request.caller`. */
export function requireAgent(
  action: string,
  selectors: RequestSelectors | undefined,
  options: RequireAgentOptions,
): {
  canActivate(context: any): Promise<boolean>;
  intercept(context: any, next: any): any;
};

/** Both as a decorator of a handler or a controller. */
export function RequireAgent(
  action: string,
  selectors: RequestSelectors | undefined,
  options: RequireAgentOptions,
): MethodDecorator & ClassDecorator;
