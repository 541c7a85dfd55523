import kakunin from "./fastify.js";

export const { requireAgent } = kakunin;
