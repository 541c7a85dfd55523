//! What the gate is given.

use super::gathered::Gathered;
use crate::certificate::TrustAnchors;
use crate::digest::Digest;
use crate::id::AgentId;
use crate::scope::NameLists;
use crate::verify::Report;

/// Something that should be there, or why it is not: an input that is missing is a check that cannot be evaluated, and not
/// an error beside the judgement.
pub type Given<T> = Result<T, String>;

/// Everything that is judged.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Who is to be promoted, if the asker knows it otherwise than from the certificate.
    pub agent: Option<AgentId>,
    /// The certificate, in DER.
    pub certificate: Given<Vec<u8>>,
    /// Certificates between it and a root, in DER.
    pub pool: &'a [Vec<u8>],
    /// Who is believed.
    pub anchors: Given<&'a TrustAnchors>,
    /// Revocation lists, in DER.
    pub lists: Given<&'a [Vec<u8>]>,
    /// The lists of names that the scopes refer to.
    pub names: &'a NameLists,
    /// The record of what was promoted last.
    pub promoted: Promoted,
    /// The scope that the gate promoted last, by its own journal ([`Promotions`](super::Promotions)): anybody could have made a
    /// record.
    pub last: Given<Option<Digest>>,
    /// The receipts.
    pub receipts: Given<Receipts<'a>>,
}

/// The record of the certificate that passed the gate last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promoted {
    /// None is recorded: everything in the scope is new.
    Nothing,
    /// This one, with its issuers, in DER.
    Certificates(Vec<Vec<u8>>),
    /// There should be one, and it cannot be read.
    Unreadable(String),
}

/// Receipts as a verifier saw them.
#[derive(Clone, Copy, Debug)]
pub struct Receipts<'a> {
    /// What the verifier found.
    pub report: &'a Report,
    /// What went by meanwhile.
    pub gathered: &'a Gathered,
}
