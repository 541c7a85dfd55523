//! What goes in one body: lines of a stream in their order, each with whatever proves it.
//!
//! A receipt under a seal proves nothing without the seal and without all the others under it, so these go together. The seal
//! may stand far behind: while many receipts are written at once, several groups lie before the first seal of them, and other
//! groups between a group and its seal. What lies between and has no seal in this body goes in the next one, and the cursor
//! waits there; a seal that went before its neighbours goes again with them, which the authority knows by its hash.

use std::collections::BTreeSet;
use std::io;

use kakunin_core::id::StreamId;
use kakunin_core::journal::{Entry, Proof};
use kakunin_core::receipt::{Control, Event, ReceiptHash};

use crate::spool::{Batch, Reached};

/// Lines so far, from the first that is not acknowledged.
pub(crate) struct Collected {
    stream: StreamId,
    from: Reached,
    /// How many octets a body may have.
    most: usize,
    lines: Vec<Line>,
    octets: usize,
    /// More was read than a body takes: what comes now is read for the first line's sake.
    full: bool,
    /// The seal of the first line that has a proof, from behind what is at hand.
    behind: Option<Line>,
    /// The end of the stream was read.
    closed: bool,
}

/// One receipt.
struct Line {
    number: u64,
    hash: ReceiptHash,
    /// None: nothing proves it, and it is sent never.
    text: Option<String>,
    proof: Proof,
    /// The first it seals, and how many.
    seals: Option<(u64, u64)>,
}

impl Line {
    fn of(entry: &Entry) -> Self {
        let statement = entry.receipt().statement();
        let seals = match &statement.event {
            Event::Control(Control::Seal(seal)) => Some((seal.first, seal.count)),
            _ => None,
        };
        Self {
            number: statement.sequence,
            hash: entry.receipt().hash(),
            text: entry.to_log_entry(),
            proof: entry.proof(),
            seals,
        }
    }

    fn octets(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.len().saturating_add(1))
    }
}

impl Collected {
    pub(crate) fn new(stream: StreamId, from: Reached, most: usize) -> Self {
        let (lines, octets, full, behind, closed) = (Vec::new(), 0, false, None, false);
        Self { stream, from, most, lines, octets, full, behind, closed }
    }

    /// Takes an entry up; false when no more are to be read.
    pub(crate) fn take(&mut self, entry: &Entry) -> bool {
        let line = Line::of(entry);
        // An end without a signature may still get one, as long as its process lives.
        self.closed |=
            line.text.is_some() && matches!(entry.receipt().statement().event, Event::Close { .. });
        self.full |= self.octets.saturating_add(line.octets()) > self.most;
        if !self.full {
            self.octets = self.octets.saturating_add(line.octets());
            self.lines.push(line);
        } else if self.lines.is_empty() || self.wanted() == Some(line.hash) {
            self.behind = Some(line);
        }
        let enough = self.full && self.first_can_go();
        !self.closed && !enough
    }

    /// The seal that the first line with a proof goes with.
    fn wanted(&self) -> Option<ReceiptHash> {
        match self.lines.iter().find(|line| line.text.is_some())?.proof {
            Proof::Sealed(by) => Some(by),
            Proof::Signed(_) | Proof::Unsigned => None,
        }
    }

    /// Whether nothing is gained by reading on: of a line without proof only the end of its stream says that none comes.
    fn first_can_go(&self) -> bool {
        let waits = self.lines.first().is_some_and(|line| line.text.is_none());
        (self.closed || !waits) && self.wanted().is_none_or(|by| self.seal(by).is_some())
    }

    fn seal(&self, by: ReceiptHash) -> Option<&Line> {
        let mut known = self.lines.iter().chain(&self.behind);
        known.find(|line| line.hash == by && line.seals.is_some())
    }

    /// What of it goes together.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] when the first line needs more around it than a body takes.
    pub(crate) fn batch(self) -> io::Result<Option<Batch>> {
        let (mut going, mut octets) = (BTreeSet::new(), 0);
        let mut next = None;
        for line in &self.lines {
            if going.contains(&line.number) {
                continue;
            }
            let unit = match line.proof {
                Proof::Signed(_) => Some(vec![line]),
                // Its signature may still come, and nothing goes past it until the stream has ended.
                Proof::Unsigned if self.closed => continue,
                Proof::Unsigned => None,
                Proof::Sealed(by) => self.group(by),
            };
            let unit = unit.map(|unit| {
                let new = |line: &&Line| !going.contains(&line.number);
                unit.into_iter().filter(new).collect::<Vec<_>>()
            });
            let more = unit.iter().flatten().map(|line| line.octets()).sum::<usize>();
            if unit.is_some() && going.is_empty() && more > self.most {
                return Err(too_large(line.number, self.most));
            }
            let Some(unit) = unit.filter(|_| octets + more <= self.most) else {
                next = Some(line.number);
                break;
            };
            octets += more;
            going.extend(unit.into_iter().map(|line| line.number));
        }
        if going.is_empty() {
            // A line of its own that no body takes, and a group of which the first lines alone fill one.
            let is_stuck = self.full && self.first_can_go();
            return if is_stuck { Err(too_large(self.from.next, self.most)) } else { Ok(None) };
        }
        let after = |line: &Line| line.number.saturating_add(1);
        let reached = Reached {
            next: next.or(self.lines.last().map(after)).unwrap_or(self.from.next),
            closed: self.closed && next.is_none() && !self.full,
        };
        let mut body = Vec::with_capacity(octets);
        let lines = self.lines.iter().chain(&self.behind).filter(|line| going.contains(&line.number));
        for text in lines.filter_map(|line| line.text.as_ref()) {
            body.extend_from_slice(text.as_bytes());
            body.push(b'\n');
        }
        Ok(Some(Batch { body, lines: going.len() as u64, stream: self.stream, reached }))
    }

    /// Everything under a seal and the seal itself, if all of it is at hand.
    fn group(&self, by: ReceiptHash) -> Option<Vec<&Line>> {
        let seal = self.seal(by)?;
        let (first, count) = seal.seals?;
        let end = first.checked_add(count)?;
        let mut group: Vec<_> =
            self.lines.iter().filter(|line| (first..end).contains(&line.number)).collect();
        let whole = group.len() as u64 == count && group.iter().all(|line| line.text.is_some());
        group.push(seal);
        whole.then_some(group)
    }
}

fn too_large(number: u64, most: usize) -> io::Error {
    let text = format!(
        "receipt {number} and what is under one seal with it are more than {most} octets, which no upload takes; export them"
    );
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

/// What the authority takes at once.
pub(crate) const MAX_BODY: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Condvar, Mutex};

    use kakunin_core::guard::{Guard, GuardOptions};
    use kakunin_core::home::AgentHome;
    use kakunin_core::journal::{JournalOptions, Sealing, StreamReader};
    use kakunin_core::key::{KeyProvider, PublicKey, SignError, SignInput, Signature, Signer};
    use kakunin_core::request::ActionRequest;

    use super::*;
    use crate::spool::read_batch;
    use crate::tested::{certified, with_authority};

    /// A key that is far away, and answers while the gate is open.
    struct Far {
        key: Signer,
        gate: Arc<Gate>,
    }

    #[derive(Default)]
    struct Gate {
        closed: Mutex<bool>,
        opened: Condvar,
    }

    impl Gate {
        fn set(&self, closed: bool) {
            *self.closed.lock().unwrap() = closed;
            self.opened.notify_all();
        }
    }

    impl KeyProvider for Far {
        fn public(&self) -> &PublicKey {
            self.key.public()
        }

        fn sign(&self, input: SignInput<'_>) -> Result<Signature, SignError> {
            drop(self.gate.opened.wait_while(self.gate.closed.lock().unwrap(), |closed| *closed).unwrap());
            match input {
                SignInput::Raw(message) => self.key.sign(message),
                _ => Err(SignError::Unsupported),
            }
        }
    }

    /// A closed stream in which several groups were written before the first seal of them.
    fn sealed(folder: &Path, bursts: usize) -> PathBuf {
        let home = AgentHome::open(folder, None).unwrap();
        let gate = Arc::<Gate>::default();
        let far = Far { key: Signer::soft(home.key().unwrap()), gate: Arc::clone(&gate) };
        let journal = JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() };
        let signer = Some(Arc::new(Signer::provider(Box::new(far))));
        let guard = Guard::open(home, GuardOptions { journal, signer, ..GuardOptions::default() }).unwrap();
        let names: Vec<String> = (0..16).map(|number| format!("counterparty {number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let action = "refused:".to_owned() + &"x".repeat(100);
        // What is refused is recorded, too: each is one receipt. The first opens the stream, which is signed at once.
        let refused = || guard.admit(&ActionRequest::new(&action).counterparties(&names)).unwrap_err();
        refused();
        for _ in 0..bursts {
            gate.set(true);
            // A guard waits for no signer that is 5 s behind.
            let waits = (0..700).take_while(|_| refused().code() != "journal.unsigned_backlog").count();
            gate.set(false);
            assert!(waits > 0);
        }
        guard.close();
        folder.join("state/journal")
    }

    /// Every batch until there are none, as the authority would take them: each line is proved by what is in its body.
    fn all(journal: &Path, most: usize) -> Result<(BTreeMap<u64, String>, usize), io::Error> {
        let stream = *StreamReader::names(journal).unwrap().first().unwrap();
        let entries: BTreeMap<String, Line> = StreamReader::open(journal, stream)
            .unwrap()
            .map(|entry| Line::of(&entry.unwrap()))
            .map(|line| (line.text.clone().unwrap(), line))
            .collect();
        let (mut sent, mut bodies, mut reached) = (BTreeMap::new(), 0, Reached::default());
        while let Some(batch) = read_batch(journal, stream, reached, most)? {
            assert!(batch.body.len() <= most, "{} of {most}", batch.body.len());
            assert!(batch.reached.next > reached.next, "{reached:?} {:?}", batch.reached);
            let text = String::from_utf8(batch.body).unwrap();
            let lines: Option<Vec<&Line>> = text.lines().map(|line| entries.get(line)).collect();
            let lines = lines.unwrap();
            assert_eq!(lines.len() as u64, batch.lines);
            assert!(lines.is_sorted_by(|one, next| one.number < next.number), "in their order");
            let numbers: BTreeSet<u64> = lines.iter().map(|line| line.number).collect();
            for line in &lines {
                if let Proof::Sealed(by) = line.proof {
                    let seal = lines.iter().find(|seal| seal.hash == by).unwrap();
                    let (first, count) = seal.seals.unwrap();
                    assert!((first..first + count).all(|number| numbers.contains(&number)));
                }
            }
            sent.extend(lines.iter().map(|line| (line.number, line.text.clone().unwrap())));
            (reached, bodies) = (batch.reached, bodies + 1);
        }
        if reached.closed {
            assert_eq!(sent.len(), entries.len(), "each of them");
        }
        Ok((sent, bodies))
    }

    #[test]
    fn sealed_groups_far_beyond_a_body_are_sent_whole_each_with_its_seal() {
        with_authority(|folder, authority| {
            certified(authority, folder, "far");
            let journal = sealed(&folder.join("far"), 2);
            let stream = *StreamReader::names(&journal).unwrap().first().unwrap();
            let entries = StreamReader::open(&journal, stream).unwrap().map(|entry| entry.unwrap());
            let lines: Vec<Line> = entries.map(|entry| Line::of(&entry)).collect();
            // What is before the first seal of a burst, and what one group is with its seal.
            let behind = |line: &Line| match line.proof {
                Proof::Sealed(by) => lines
                    .iter()
                    .skip_while(|other| other.number < line.number)
                    .take_while(|other| other.hash != by)
                    .map(Line::octets)
                    .sum(),
                _ => 0,
            };
            let gap = lines.iter().map(behind).max().unwrap();
            let group = |seal: &Line| {
                let (first, count) = seal.seals?;
                let under = lines.iter().filter(|line| (first..first + count).contains(&line.number));
                Some(under.map(Line::octets).sum::<usize>() + seal.octets())
            };
            let largest = lines.iter().filter_map(group).max().unwrap();
            let whole: usize = lines.iter().map(Line::octets).sum();
            assert!(gap > largest + largest / 2, "several groups are before a seal: {gap} {largest}");
            for most in [largest, largest + 1, largest + largest / 3, gap, 2 * gap, whole, MAX_BODY] {
                let (sent, bodies) = all(&journal, most).unwrap();
                assert_eq!(sent.len(), lines.len(), "{most} {bodies}");
            }
            // A body too small for one group says so, and what is before it has gone.
            let refused = all(&journal, largest - 1).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge, "{refused}");
        });
    }
}
