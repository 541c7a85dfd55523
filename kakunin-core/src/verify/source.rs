//! Where receipts come from: streams of items, with what lies beside them.

use std::io;
use std::path::{Path, PathBuf};

use super::report::Extent;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::journal::{Archive, Proof, ReadError, StreamReader};
use crate::receipt::{Disclosure, ReceiptHash, Statement, UnverifiedReceipt, to_jws};
use crate::time::UnixTime;

/// One receipt with everything its source shows about it. Nobody has checked any of it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) receipt: UnverifiedReceipt,
    pub(crate) proof: Proof,
    pub(crate) disclosures: Vec<Disclosure>,
}

/// A folder or a bundle. What it gives is in the order of streams, and in each stream ascending.
pub(crate) trait Source {
    /// What it claims to hold.
    fn extent(&self) -> Extent;

    /// Whether all its streams must be one agent's.
    fn is_of_one_agent(&self) -> bool;

    /// Hands everything to `visitor`, as often as it is called.
    fn walk(&self, visitor: &mut dyn Visitor) -> io::Result<()>;

    /// The names of the certificates and of the lists it has.
    fn papers(&self) -> (Vec<Digest>, Vec<Digest>);

    /// The certificate whose SHA-256 is `name`, or what lies under this name.
    fn certificate(&self, name: &Digest) -> Option<Vec<u8>>;

    /// The list whose TBSCertList has the SHA-256 `name`, or what lies under this name.
    fn list(&self, name: &Digest) -> Option<Vec<u8>>;

    /// Whether something lies among certificates and lists that is neither.
    fn has_strangers(&self) -> bool;
}

/// Who is led through a source.
pub(crate) trait Visitor {
    /// A stream begins.
    fn begin(&mut self, stream: StreamId);

    /// Its next receipt.
    fn item(&mut self, item: Item) -> Next;

    /// It ends: after `torn` bytes of a torn write, or where a fault lies.
    fn end(&mut self, torn: u64, fault: Option<&'static str>);
}

/// What a visitor wants to see after a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Receipt,
    Stream,
}

/// A journal folder.
pub(crate) struct JournalSource {
    folder: PathBuf,
    archive: Archive,
}

impl JournalSource {
    /// The journal in `folder`, which was found by [`crate::journal::locate`].
    pub(crate) fn at(folder: &Path) -> Self {
        Self { archive: Archive::of(folder), folder: folder.to_owned() }
    }
}

impl Source for JournalSource {
    fn extent(&self) -> Extent {
        Extent::Streams
    }

    fn is_of_one_agent(&self) -> bool {
        true
    }

    fn walk(&self, visitor: &mut dyn Visitor) -> io::Result<()> {
        for mut reader in StreamReader::streams(&self.folder)? {
            visitor.begin(reader.stream());
            let mut fault = None;
            for entry in reader.by_ref() {
                match entry {
                    Ok(entry) => {
                        let (receipt, proof, disclosures) = entry.into_parts();
                        if visitor.item(Item { receipt, proof, disclosures }) == Next::Stream {
                            break;
                        }
                    }
                    Err(ReadError::Io(error)) => return Err(error),
                    Err(ReadError::Fault { code, .. }) => fault = Some(code),
                }
            }
            visitor.end(reader.torn(), fault);
        }
        Ok(())
    }

    fn papers(&self) -> (Vec<Digest>, Vec<Digest>) {
        self.archive.names()
    }

    fn certificate(&self, name: &Digest) -> Option<Vec<u8>> {
        self.archive.certificate(name)
    }

    fn list(&self, name: &Digest) -> Option<Vec<u8>> {
        self.archive.list(name)
    }

    fn has_strangers(&self) -> bool {
        self.archive.has_strangers()
    }
}

/// A receipt as it passes by, for who wants to show it. Only the verdict says what it is worth.
#[derive(Debug)]
pub struct Seen<'a> {
    pub(super) item: &'a Item,
    pub(super) not_after: Option<UnixTime>,
}

impl Seen<'_> {
    /// Its name.
    #[must_use]
    pub const fn hash(&self) -> ReceiptHash {
        self.item.receipt.hash()
    }

    /// What it states.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        self.item.receipt.statement()
    }

    /// SHA-256 of the certificate that is said to have signed.
    #[must_use]
    pub const fn certificate(&self) -> &Digest {
        self.item.receipt.certificate()
    }

    /// What there is to prove it by.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.item.proof
    }

    /// The values it commits to, as far as they are here.
    #[must_use]
    pub fn disclosures(&self) -> &[Disclosure] {
        &self.item.disclosures
    }

    /// The time at which it existed, by a witness.
    #[must_use]
    pub const fn not_after(&self) -> Option<UnixTime> {
        self.not_after
    }

    /// The token; of a receipt without signature of its own, what would be signed.
    #[must_use]
    pub fn token(&self) -> String {
        match &self.item.proof {
            Proof::Signed(signature) => to_jws(self.item.receipt.signing_input(), signature),
            Proof::Sealed(_) | Proof::Unsigned => {
                String::from_utf8_lossy(self.item.receipt.signing_input()).into_owned()
            }
        }
    }
}
