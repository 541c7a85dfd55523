import kakunin from "./koa.js";

export const { requireAgent } = kakunin;
