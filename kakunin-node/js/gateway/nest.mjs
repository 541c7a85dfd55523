import kakunin from "./nest.js";

export const { RequireAgent, requireAgent } = kakunin;
