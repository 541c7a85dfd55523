//! What may follow from a judgement, if whoever starts the gate asks for it and has the right.
//!
//! Never by default, and only for the agent's own conduct by receipts that are proven: a scope that is too wide or a file
//! that is missing suspends nobody. The right is the home's passphrase, or a key of the role revoker; a key of the role
//! gate is refused by the service.

use kakunin_authority::standing::Order;
use kakunin_core::gate::{Judgement, Outcome};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Consequence {
    pub(crate) suspend: bool,
    pub(crate) revoke: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) suspended: bool,
    pub(crate) revoked: bool,
    /// What was to be done and was not.
    pub(crate) failed: Option<String>,
}

impl Consequence {
    /// The order that follows from `judgement`: a revocation for a hard fail, else a suspension.
    pub(crate) fn order(self, judgement: &Judgement) -> Option<Order> {
        if judgement.verdict() != Outcome::Fail || !judgement.is_against_conduct() {
            return None;
        }
        match self {
            Self { revoke: true, .. } if judgement.is_hard() => Some(Order::Revoke),
            Self { suspend: true, .. } => Some(Order::Suspend),
            _ => None,
        }
    }
}
