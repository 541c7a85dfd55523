// A native module is loaded by Node, and goes into no bundle.
export default { serverExternalPackages: ["kakunin-node"] };
