import * as kakunin from "./index.js";

export * from "./index.js";
export default kakunin;
