//! The pen: writes the receipts of one stream, each knowing its place and the one before.

use std::ops::Range;
use std::sync::Arc;

use super::handle::Identity;
use super::segment::{FrameKind, push_frame};
use crate::base64::push_base64url;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::key::Signer;
use crate::receipt::{Anchor, Payload, ReceiptHash, header_prefix};

/// Where a stream stands, and who writes it.
pub(super) struct Pen {
    pub(super) stream: StreamId,
    /// The sequence number of the next receipt.
    pub(super) sequence: u64,
    /// What the next receipt names as the one before.
    pub(super) previous: Digest,
    pub(super) signer: Arc<Signer>,
    /// Under which certificate it writes, DER.
    pub(super) certificate: Vec<u8>,
    /// The checkpoint that receipts name as having been there before them.
    pub(super) anchor: Option<Anchor>,
    prefix: Vec<u8>,
    subject: String,
    memory: bool,
    json: Vec<u8>,
}

/// A receipt that was framed: its name, and where its signing input lies in the frames.
pub(super) struct Written {
    pub(super) hash: ReceiptHash,
    pub(super) sequence: u64,
    pub(super) signing_input: Range<usize>,
}

impl Pen {
    /// A pen at the start of `stream`: its first receipt names certificate and nonce as what came before.
    pub(super) fn new(stream: StreamId, identity: &Identity, nonce: &[u8; 16], memory: bool) -> Self {
        Self::resume(stream, identity, 0, genesis(&identity.certificate, nonce), memory)
    }

    /// A pen at the end of a stream that someone else began.
    pub(super) fn resume(
        stream: StreamId,
        identity: &Identity,
        sequence: u64,
        previous: Digest,
        memory: bool,
    ) -> Self {
        let mut pen = Self {
            stream,
            sequence,
            previous,
            signer: Arc::clone(&identity.signer),
            certificate: Vec::new(),
            anchor: None,
            prefix: Vec::new(),
            subject: String::new(),
            memory,
            json: Vec::with_capacity(2048),
        };
        pen.take_identity(identity);
        pen
    }

    /// Writes under another certificate from now on.
    pub(super) fn take_identity(&mut self, identity: &Identity) {
        self.signer = Arc::clone(&identity.signer);
        self.certificate.clone_from(&identity.certificate);
        self.prefix = header_prefix(identity.signer.algorithm(), &Digest::of(&identity.certificate));
        self.subject = identity.agent.to_urn();
    }

    /// Appends the frame of the next receipt to `frames` and moves on.
    pub(super) fn write<'a>(&'a mut self, frames: &mut Vec<u8>, mut payload: Payload<'a>) -> Written {
        let mut json = std::mem::take(&mut self.json);
        json.clear();
        let sequence = self.sequence;
        payload.stream = self.stream;
        payload.sequence = sequence;
        payload.previous = self.previous;
        payload.subject = &self.subject;
        payload.memory = self.memory;
        payload.anchor = self.anchor;
        payload.write(&mut json);
        let signing_input = push_frame(frames, FrameKind::Receipt, |out| {
            let start = out.len();
            out.extend_from_slice(&self.prefix);
            push_base64url(out, &json);
            start..out.len()
        });
        let hash = ReceiptHash::of(frames.get(signing_input.clone()).unwrap_or_default());
        self.json = json;
        self.sequence = sequence.saturating_add(1);
        self.previous = *hash.digest();
        Written { hash, sequence, signing_input }
    }
}

/// What the first receipt of a stream names as the one before it.
pub(crate) fn genesis(certificate: &[u8], nonce: &[u8; 16]) -> Digest {
    Digest::of_parts(&[certificate, nonce])
}
