import kakunin from "./hono.js";

export const { requireAgent } = kakunin;
