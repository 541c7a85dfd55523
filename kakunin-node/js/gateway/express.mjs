import kakunin from "./express.js";

export const { requireAgent } = kakunin;
