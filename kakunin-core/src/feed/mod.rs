//! The feed of an issuing authority: what changes between two lists, signed as it happens (WIRE 3).
//!
//! `item` is one signed line, read strictly and verified under a [`crate::certificate::FeedCertificate`]; `follower` joins them
//! with a list to what is known now. Carrying items from
//! an authority to a guard is nobody's business here.

mod follower;
mod item;

pub use follower::{Follower, Progress, Refusal};
pub use item::{
    Content, Entry, Item, ItemError, ItemSignError, MAX_ENTRIES, MAX_ITEM, UnverifiedItem, VerifiedItem,
};
