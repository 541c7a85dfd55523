//! The feed of an issuing authority: what changes between two lists, signed as it happens (WIRE 3).
//!
//! `item` is one signed line, read strictly and verified under a [`crate::certificate::FeedCertificate`]. Carrying items from
//! an authority to a guard is nobody's business here.

mod item;

pub use item::{
    Content, Entry, Item, ItemError, ItemSignError, MAX_ENTRIES, MAX_ITEM, UnverifiedItem, VerifiedItem,
};
