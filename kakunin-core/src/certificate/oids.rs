//! The private object identifiers, all under one arc.
//!
//! 1.3.6.1.4.1.32473 is the arc RFC 5612 reserves for documentation; it stands in until the project has its own
//! number. `docs/oids.md` is the public registry.

use der::asn1::ObjectIdentifier;

/// The extension that carries [`crate::scope::Scope`].
pub const AGENT_SCOPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.1");
/// The critical extension of sessions and sub-agents.
pub const DELEGATION_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.2");
/// Extended key usage: an agent.
pub const EKU_AGENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.3");
/// Extended key usage: a session key of an agent.
pub const EKU_SESSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.4");
/// Extended key usage: the key of a revocation feed.
pub const EKU_FEED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.5");
/// List extension: that a feed exists, and how old it may be.
pub const LIST_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.6");
/// List extension: digests of revoked keys.
pub const REVOKED_KEYS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.7");
/// The extension that carries the digest of a model.
pub const MODEL_HASH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.8");
/// Extended key usage: TLS client (RFC 5280 section 4.2.1.12).
pub const EKU_CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
