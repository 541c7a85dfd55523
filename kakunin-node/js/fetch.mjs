import kakunin from "./fetch.js";

export const { NotProven, prove, signedFetch } = kakunin;
