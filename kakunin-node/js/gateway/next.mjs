import kakunin from "./next.js";

export const { requireAgent } = kakunin;
