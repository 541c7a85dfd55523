//! What proves something besides a signature: nothing, unless the deployer said so.
