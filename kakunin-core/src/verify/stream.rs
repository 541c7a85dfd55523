//! One stream, receipt by receipt: what each says about its place and about the ones before.

use std::collections::HashMap;

use super::feeds::Fed;
use super::logs::{OwnLog, Sight};
use super::owned::Owner;
use super::papers::{CheckedList, Signatory};
use super::report::{Extent, Reason, StreamSummary};
use super::source::{ChainLength, Item};
use super::time::{Bracket, CLOCK_TOLERANCE, Floor, Recent};
use crate::certificate::AgentPath;
use crate::digest::Digest;
use crate::id::{ChainId, StreamId};
use crate::journal::{Proof, genesis};
use crate::receipt::{Answer, Control, Event, ListUse, Mode, ReceiptHash, Statement, Totals};
use crate::revocation::{FeedHead, Standing, follows};
use crate::time::UnixTime;
use crate::tree;

/// A stable code of what is wrong.
pub(super) type Code = &'static str;

/// The state of one stream while it is read.
pub(super) struct StreamCheck {
    pub(super) summary: StreamSummary,
    extent: Extent,
    /// The sequence number that comes next if nothing is left out.
    pub(super) next: u64,
    previous: Option<Digest>,
    certificate: Option<Digest>,
    /// The list of each issuing key that was named last: a new authority counts from the beginning.
    last_lists: HashMap<Digest, ListUse>,
    /// How far the feed of each issuing key was said to be last.
    last_heads: HashMap<Digest, FeedHead>,
    /// Receipts that name a feed whose changes are not here.
    unfed: Vec<u64>,
    chains: HashMap<ChainId, u64>,
    /// Where there is one chain only: its counter as far as its receipts are proven. There, nothing else holds the place of
    /// a receipt that nobody signed.
    shown: Option<u64>,
    /// Calls that no proven outcome ended.
    waiting: HashMap<ReceiptHash, u64>,
    unsigned: Vec<u64>,
    /// The hashes of these, as a recovery counts them.
    found: tree::Growing,
    seals: Vec<ReceiptHash>,
    pub(super) recent: Recent,
    /// Whose stream it is.
    owner: Option<Owner>,
    /// What the lists say that this or an earlier receipt of the stream names.
    floor: Floor,
    /// The log that the agent runs itself.
    pub(super) own_log: OwnLog,
    /// What the proven closing receipt counts.
    closing: Option<Totals>,
    /// Whether somebody else saw the closing receipt.
    settled: bool,
    counted: Counted,
    recovered: bool,
    outside: Vec<u64>,
    reasons: Vec<Reason>,
}

/// What a closing receipt counts, proven or not: it is signed and follows from all of them.
#[derive(Default)]
struct Counted {
    allow: u64,
    deny: u64,
    outcome: u64,
}

impl StreamCheck {
    pub(super) fn new(stream: StreamId, extent: Extent) -> Self {
        Self {
            summary: StreamSummary {
                stream,
                agent: None,
                root: None,
                certificate: None,
                receipts: 0,
                allowed: 0,
                denied: 0,
                outcomes: 0,
                unsigned: 0,
                logged: 0,
                witnessed: 0,
                clock_jumps: 0,
                closed: false,
                claimed: None,
            },
            extent,
            next: 0,
            previous: None,
            certificate: None,
            last_lists: HashMap::new(),
            last_heads: HashMap::new(),
            unfed: Vec::new(),
            chains: HashMap::new(),
            shown: None,
            waiting: HashMap::new(),
            unsigned: Vec::new(),
            found: tree::Growing::default(),
            seals: Vec::new(),
            recent: Recent::default(),
            owner: None,
            floor: Floor::default(),
            own_log: OwnLog::default(),
            closing: None,
            settled: false,
            counted: Counted::default(),
            recovered: false,
            outside: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// The place of the next receipt: stream, sequence, previous hash, and who may come where.
    pub(super) fn place(&self, statement: &Statement, hash: ReceiptHash) -> Result<(), Code> {
        if statement.stream != self.summary.stream {
            return Err("receipt.stream");
        }
        if self.previous == Some(*hash.digest()) {
            return Err("journal.duplicate_receipt");
        }
        if statement.sequence < self.next {
            return Err("journal.duplicate_sequence");
        }
        let follows = statement.sequence == self.next;
        if !follows && (self.extent == Extent::Streams || self.summary.receipts == 0) {
            return Err("receipt.sequence");
        }
        if follows && self.previous.is_some_and(|previous| previous != statement.previous) {
            return Err("receipt.previous");
        }
        let recovered = matches!(statement.event, Event::Control(Control::Recovered { .. }));
        let opens = matches!(statement.event, Event::Open { .. });
        if opens != (statement.sequence == 0) || (self.summary.closed && !recovered) {
            return Err("receipt.phase");
        }
        Ok(())
    }

    /// The certificate may change where the old key announced it, or where a recovery took over: signed, either.
    pub(super) fn signer(&mut self, item: &Item) -> Result<(), Code> {
        let (statement, x5t) = (item.receipt.statement(), item.receipt.certificate());
        let signed = matches!(item.proof, Proof::Signed(_));
        let recovered = matches!(statement.event, Event::Control(Control::Recovered { .. }));
        let expected = self.certificate.get_or_insert(*x5t);
        if expected != x5t && !(recovered && signed) {
            return Err("receipt.certificate");
        }
        *expected = *x5t;
        match &statement.event {
            Event::Control(Control::Rotate { next }) if signed => *expected = *next,
            _ => {}
        }
        Ok(())
    }

    /// A stream is one agent's, under one root: nobody goes on with another's, nor ends it.
    pub(super) fn owned(&mut self, signatory: &Signatory) -> Result<(), Code> {
        let owner = self.owner.get_or_insert_with(|| Owner::of(signatory));
        if owner.meet(signatory) { Ok(()) } else { Err("receipt.certificate") }
    }

    /// The first receipt names this certificate and its own nonce as what came before.
    pub(super) fn opening(&self, statement: &Statement, certificate: &[u8]) -> Result<(), Code> {
        match statement.event {
            Event::Open { nonce, .. } if statement.previous != genesis(certificate, &nonce) => {
                Err("receipt.previous")
            }
            _ => Ok(()),
        }
    }

    /// What there is to prove it by. A signature is checked elsewhere; a seal must come, and is signed itself.
    pub(super) fn proof(&mut self, item: &Item) -> Result<(), Code> {
        let hash = item.receipt.hash();
        match item.proof {
            Proof::Signed(_) => self.seals.retain(|seal| *seal != hash),
            Proof::Sealed(seal) => {
                if self.seals.last() != Some(&seal) {
                    self.seals.push(seal);
                }
                if self.seals.len() > OPEN_SEALS {
                    return Err("receipt.seal");
                }
            }
            Proof::Unsigned => {
                self.summary.unsigned += 1;
                self.unsigned.push(item.receipt.statement().sequence);
                self.found.push(hash.digest().as_bytes());
            }
        }
        Ok(())
    }

    /// The counter in its chain. In what holds one chain only that one is whole, and only proven receipts make it so: in
    /// whole streams those that follow are bound to every receipt before them, here gaps lie between.
    pub(super) fn chain(&mut self, item: &Item) -> Result<(), Code> {
        let Some((chain, Some(counter))) = item.receipt.statement().chain else { return Ok(()) };
        let last = self.chains.get(&chain);
        let whole = match self.extent {
            Extent::Streams => true,
            Extent::Chain(only) => only == chain,
        };
        let next = last.map_or(0, |last| last.saturating_add(1));
        if (whole && counter != next) || counter < next {
            return Err("receipt.chain");
        }
        self.chains.insert(chain, counter);
        if self.extent == Extent::Chain(chain) && item.is_proven() {
            if counter != self.shown.map_or(0, |last| last.saturating_add(1)) {
                return Err("receipt.chain");
            }
            self.shown = Some(counter);
        }
        Ok(())
    }

    /// A list that a receipt names: known, and no older than the one named before of the same `issuer`, a key's id.
    pub(super) fn list(
        &mut self,
        named: &ListUse,
        checked: Option<CheckedList>,
        issuer: Digest,
    ) -> Result<CheckedList, Code> {
        let checked = checked.ok_or("receipt.list")?;
        if let Some(last) = self.last_lists.get(&issuer) {
            if named.number < last.number {
                return Err("receipt.list_number");
            }
            if named.number == last.number && named.digest != last.digest {
                return Err("receipt.list");
            }
        }
        self.last_lists.insert(issuer, *named);
        Ok(checked)
    }

    /// What a receipt says of the feed beside its list: no less than the one before, and leading back to the list. What is not
    /// here decides nothing, and is told.
    pub(super) fn feed(
        &mut self,
        (index, head): (u64, FeedHead),
        fed: Fed,
        issuer: Digest,
        checked: CheckedList,
    ) -> Result<CheckedList, Code> {
        if let Some(last) = self.last_heads.insert(issuer, head) {
            follows(last, head).map_err(|_| "receipt.feed")?;
        }
        let standing = match fed {
            Fed::Contradiction => return Err("receipt.feed"),
            Fed::Missing => {
                self.unfed.push(index);
                checked.standing
            }
            Fed::Standing(standing) => standing,
        };
        // It has what it asks for.
        Ok(CheckedList { standing, feed: None, ..checked })
    }

    /// What the event says about other receipts of the stream. What nobody signed ends no call, recovers nothing, closes
    /// nothing and names no log, and yet has to be true.
    pub(super) fn event(&mut self, item: &Item) -> Result<(), Code> {
        let (statement, hash, proven) = (item.receipt.statement(), item.receipt.hash(), item.is_proven());
        match &statement.event {
            Event::Decision { answer, mode, .. } => {
                // A denial that was enforced has no outcome, nor has a question.
                if *mode == Mode::Observe || (*mode == Mode::Enforce && *answer == Answer::Allow) {
                    self.waiting.insert(hash, statement.sequence);
                }
                match answer {
                    Answer::Allow => self.counted.allow += 1,
                    Answer::Deny(_) => self.counted.deny += 1,
                }
            }
            Event::Outcome { decision, .. } => {
                let open = match proven {
                    true => self.waiting.remove(decision).is_some(),
                    false => self.waiting.contains_key(decision),
                };
                if !open {
                    return Err("receipt.outcome");
                }
                self.counted.outcome += 1;
            }
            // A recovery that was killed at its first signature leaves one, which the next recovery counts.
            Event::Control(Control::Recovered { .. }) if !proven => {}
            Event::Control(Control::Recovered { cut, unsigned, digest }) => {
                // One chain does not hold every receipt that was found.
                if self.extent == Extent::Streams
                    && (*unsigned != self.unsigned.len() as u64 || *digest != self.found.root())
                {
                    return Err("receipt.recovered");
                }
                let (stream, cut, unsigned) = (statement.stream, *cut, *unsigned);
                self.reasons.push(Reason::Recovered { stream, cut, unsigned });
                self.recovered = true;
            }
            Event::Close { totals } => {
                self.totals(totals.as_ref())?;
                self.closing = totals.filter(|_| proven);
            }
            Event::Open { own_log, .. } if proven => self.own_log = OwnLog::Said(*own_log),
            Event::Open { .. } | Event::Control(_) => {}
        }
        Ok(())
    }

    fn totals(&self, totals: Option<&Totals>) -> Result<(), Code> {
        match totals {
            Some(totals) if self.extent == Extent::Streams => {
                let counted = Totals {
                    allow: self.counted.allow,
                    deny: self.counted.deny,
                    outcome: self.counted.outcome,
                    chains: self.chains.len() as u64,
                    chains_root: Totals::root_of(&self.chains),
                };
                if counted == *totals { Ok(()) } else { Err("receipt.close") }
            }
            // The part of a stream is counted by the chain alone, where the source ends.
            Some(_) => Ok(()),
            // Only recovery cannot count.
            None if self.recovered => Ok(()),
            None => Err("receipt.close"),
        }
    }

    /// Whether the stream, as far as it was read, may have a receipt that goes on like this: it has no end, and does not
    /// contradict the beginning of what follows.
    pub(super) fn may_go_on_with(&self, statement: &Statement) -> bool {
        let next = statement.sequence == self.next;
        !self.summary.closed && (!next || self.previous.is_none_or(|last| last == statement.previous))
    }

    /// Whether it is a note that the one chain did not make.
    pub(super) fn is_beside(&self, statement: &Statement) -> bool {
        is_beside(self.extent, statement)
    }

    /// What bounds the time of the receipt that is just being read, whose certificate `issuer` issued; the list that it names
    /// is of `lister`.
    pub(super) fn bracket(&mut self, item: &Item, issuer: Digest, lister: Digest, sight: Sight) -> Bracket {
        raise(&mut self.floor, item, lister);
        Bracket { not_before: self.floor.under(&issuer), not_after: sight.not_after }
    }

    /// The receipt is taken: it counts if it is proven.
    pub(super) fn take(&mut self, item: &Item, outside: bool, sight: Sight) {
        let (statement, hash) = (item.receipt.statement(), item.receipt.hash());
        let at = statement.stamp.time();
        if outside {
            self.outside.push(statement.sequence);
        }
        let summary = &mut self.summary;
        summary.receipts += 1;
        // What nothing proves neither counts nor closes, and is nobody's.
        let proven = item.is_proven();
        if proven {
            let (first, last) = summary.claimed.unwrap_or((at, at));
            summary.claimed = Some((first.min(at), last.max(at)));
            summary.agent = Some(statement.agent);
        }
        summary.closed = proven && matches!(statement.event, Event::Close { .. });
        self.settled = summary.closed && sight.settles;
        summary.logged += u64::from(sight.logged);
        summary.witnessed += u64::from(sight.not_after.is_some());
        match &statement.event {
            Event::Decision { answer: Answer::Allow, .. } if proven => summary.allowed += 1,
            Event::Decision { answer: Answer::Deny(_), .. } if proven => summary.denied += 1,
            Event::Outcome { .. } if proven => summary.outcomes += 1,
            Event::Control(Control::Clock { .. }) if proven => summary.clock_jumps += 1,
            _ => {}
        }
        self.previous = Some(*hash.digest());
        self.next = statement.sequence.saturating_add(1);
        if proven {
            self.recent.push(hash);
        }
    }

    /// What keeps this stream from being complete, once it was read to its end. `length` is how far its source says that
    /// the one chain goes.
    ///
    /// # Errors
    /// A seal that the reader promised did not come, or the end of the chain is another.
    pub(super) fn end(&mut self, torn: u64, length: Option<&ChainLength>) -> Result<Vec<Reason>, Code> {
        if !self.seals.is_empty() {
            return Err("receipt.seal");
        }
        let stream = self.summary.stream;
        let mut reasons = Vec::new();
        if !self.settled {
            reasons.push(Reason::TailNotWitnessed { stream });
        }
        if !self.chain_ends(length)? {
            reasons.push(Reason::ChainLengthUnproven { stream });
        }
        if !self.summary.closed {
            reasons.push(Reason::Open { stream });
        }
        if torn > 0 {
            reasons.push(Reason::Torn { stream, bytes: torn });
        }
        reasons.append(&mut self.reasons);
        if !self.unsigned.is_empty() {
            let indices = std::mem::take(&mut self.unsigned);
            reasons.push(Reason::Unsigned { stream, indices });
        }
        if !self.unfed.is_empty() {
            let indices = std::mem::take(&mut self.unfed);
            reasons.push(Reason::FeedMissing { stream, indices });
        }
        if !self.waiting.is_empty() {
            let mut indices: Vec<u64> = self.waiting.values().copied().collect();
            indices.sort_unstable();
            reasons.push(Reason::OutcomeMissing { stream, indices });
        }
        if !self.outside.is_empty() {
            let indices = std::mem::take(&mut self.outside);
            reasons.push(Reason::TimeOutOfBracket { stream, indices });
        }
        Ok(reasons)
    }
}

impl StreamCheck {
    /// Whether it is shown that the one chain ends here where it seems to end.
    fn chain_ends(&self, length: Option<&ChainLength>) -> Result<bool, Code> {
        let Extent::Chain(chain) = self.extent else { return Ok(true) };
        let Some(last) = self.shown else {
            // Nothing shows that the chain had no part in the stream, unless none had.
            return Ok(self.closing.is_some_and(|totals| totals.chains == 0));
        };
        let (Some(length), Some(totals)) = (length, &self.closing) else { return Ok(false) };
        let leaf = tree::leaf_hash(Totals::chain_leaf(&chain, length.last).as_bytes());
        if length.proof.size != totals.chains || length.proof.root(leaf) != Some(totals.chains_root) {
            return Err("receipt.close");
        }
        if length.last == last { Ok(true) } else { Err("receipt.chain") }
    }
}

/// Whether a receipt came along for its stream's sake: a note of another chain than the one that `extent` is.
pub(crate) fn is_beside(extent: Extent, statement: &Statement) -> bool {
    let Extent::Chain(only) = extent else { return false };
    matches!(statement.event, Event::Control(_)) && statement.chain.is_none_or(|(chain, _)| chain != only)
}

/// Lets the list that `item` names, of `issuer`, say how old it and what follows at most are. What nobody signed says nothing.
pub(super) fn raise(floor: &mut Floor, item: &Item, issuer: Digest) {
    if let (Some(named), true) = (item.receipt.statement().event.list(), item.is_proven()) {
        floor.raise(issuer, named.this_update);
    }
}

/// Each disclosure must be one the receipt commits to; gives the commitments that have none.
pub(super) fn disclosures(item: &Item) -> Result<Vec<Digest>, Code> {
    let mut open: Vec<(&str, Digest)> = item.receipt.statement().event.commitments().collect();
    for disclosure in &item.disclosures {
        let matching =
            |(name, digest): &(&str, Digest)| *name == disclosure.name() && digest == disclosure.digest();
        let place = open.iter().position(matching).ok_or("journal.disclosure")?;
        open.swap_remove(place);
    }
    Ok(open.into_iter().map(|(_, digest)| digest).collect())
}

/// An allowance needs a certificate and a list that were good at the time, and that list's word.
pub(super) fn may_allow(
    claimed: UnixTime,
    bracket: Bracket,
    path: &AgentPath,
    list: Option<CheckedList>,
) -> Result<(), Code> {
    let validity = path.agent().decoded().validity();
    let start = list.map_or(validity.not_before, |checked| checked.list.this_update.max(validity.not_before));
    let at = bracket.judged(claimed, start);
    if at.plus(CLOCK_TOLERANCE) < validity.not_before || at > validity.not_after {
        return Err("receipt.validity");
    }
    let checked = list.ok_or("receipt.list")?;
    if at.plus(CLOCK_TOLERANCE) < checked.list.this_update || at >= checked.list.next_update {
        return Err("receipt.list_stale");
    }
    if checked.feed.is_some() {
        return Err("receipt.feed");
    }
    if checked.standing == Standing::Good { Ok(()) } else { Err("receipt.standing") }
}

/// Seals that receipts of one stream may wait for at once: groups follow one another.
const OPEN_SEALS: usize = 16;
