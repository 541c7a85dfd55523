//! The terms of a verification, and the one pass over everything.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::crew::{Crew, Job};
use super::papers::Papers;
use super::report::{Invalid, Place, Reason, Report};
use super::source::{Item, JournalSource, Next, Seen, Source, Visitor};
use super::stream::{Code, StreamCheck, disclosures, may_allow};
use super::time::{Age, Links, Undecided};
use crate::certificate::TrustAnchors;
use crate::id::{AgentId, StreamId};
use crate::journal::{Proof, locate};
use crate::receipt::{Answer, Control, Event, ReceiptHash};
use crate::time::UnixTime;

/// Verifies the journal of an agent's directory, of its state directory, or the journal folder itself, by its roots alone.
///
/// # Errors
/// Only when nothing can be judged, because a file cannot be read; everything else is in the report.
pub fn journal(path: &Path, anchors: &TrustAnchors) -> io::Result<Report> {
    Verification::by(anchors).journals(&[path], &mut ())
}

/// What the caller believes, and what is to be done.
#[derive(Clone, Copy)]
pub struct Verification<'a> {
    anchors: &'a TrustAnchors,
}

/// Who looks on while receipts are verified.
pub trait Watch {
    /// A receipt went by. What it is worth, the report says.
    fn receipt(&mut self, seen: &Seen<'_>);
}

impl Watch for () {
    fn receipt(&mut self, _: &Seen<'_>) {}
}

impl<'a> Verification<'a> {
    /// Believes these roots.
    #[must_use]
    pub const fn by(anchors: &'a TrustAnchors) -> Self {
        Self { anchors }
    }

    /// Verifies journals, each given as the directory of an agent, its state or the journal folder itself.
    ///
    /// # Errors
    /// Only when nothing can be judged, because a file cannot be read; everything else is in the report.
    pub fn journals(&self, paths: &[&Path], watch: &mut dyn Watch) -> io::Result<Report> {
        let mut sources = Vec::with_capacity(paths.len());
        for path in paths {
            let missing = || io::Error::new(io::ErrorKind::NotFound, "no journal is there");
            sources.push(JournalSource::at(&locate(path).ok_or_else(missing)?));
        }
        let sources: Vec<&dyn Source> = sources.iter().map(|source| source as &dyn Source).collect();
        self.run(&sources, watch)
    }

    /// Verifies everything that `sources` hold, together.
    pub(crate) fn run(&self, sources: &[&dyn Source], watch: &mut dyn Watch) -> io::Result<Report> {
        thread::scope(|scope| {
            let mut pass = Pass {
                papers: Papers::of(sources, self.anchors),
                crew: Crew::start(scope)?,
                links: Links::default(),
                undecided: Vec::new(),
                order: 0,
                stream: None,
                streams: Vec::new(),
                agent: None,
                one_agent: false,
                failure: None,
                report: Report::default(),
                watch,
            };
            for source in sources {
                pass.report.extent = source.extent();
                pass.one_agent = source.is_of_one_agent();
                pass.agent = None;
                source.walk(&mut pass)?;
            }
            if pass.failure.is_none() && pass.links.missing() > 0 {
                let mut second = SecondPass { links: &mut pass.links, not_before: None };
                for source in sources {
                    source.walk(&mut second)?;
                }
            }
            pass.finish()
        })
    }
}

/// The one pass: receipt by receipt, stream by stream, source by source.
struct Pass<'a, 'scope, 'w> {
    papers: Papers<'a>,
    crew: Crew<'scope>,
    links: Links,
    undecided: Vec<Undecided>,
    /// How many receipts went by.
    order: u64,
    stream: Option<StreamCheck>,
    streams: Vec<StreamId>,
    agent: Option<AgentId>,
    one_agent: bool,
    failure: Option<Failure>,
    report: Report,
    watch: &'w mut dyn Watch,
}

/// Something wrong, and its place among all receipts: the first of all counts, whoever finds it.
struct Failure {
    order: u64,
    invalid: Invalid,
}

impl Visitor for Pass<'_, '_, '_> {
    fn begin(&mut self, stream: StreamId) {
        let twice = self.streams.contains(&stream);
        self.streams.push(stream);
        let check = StreamCheck::new(stream, self.report.extent);
        if twice {
            self.fail("journal.duplicate_stream", stream, 0);
        }
        self.stream = Some(check);
    }

    fn item(&mut self, item: Item) -> Next {
        let Some(mut check) = self.stream.take() else { return Next::Stream };
        let (stream, index) = (check.summary.stream, check.next);
        let judged = self.receipt(item, &mut check);
        self.stream = Some(check);
        self.order += 1;
        match judged {
            Ok(()) => Next::Receipt,
            Err(code) => {
                self.fail(code, stream, index);
                Next::Stream
            }
        }
    }

    fn end(&mut self, torn: u64, fault: Option<Code>) {
        let Some(mut check) = self.stream.take() else { return };
        let (stream, index) = (check.summary.stream, check.next);
        if let Some(code) = fault {
            self.fail(code, stream, index);
        } else if index > 0 {
            match check.end(torn) {
                Ok(reasons) => self.report.reasons.extend(reasons),
                Err(code) => self.fail(code, stream, index),
            }
        }
        self.report.streams.push(check.summary);
    }
}

impl Pass<'_, '_, '_> {
    fn fail(&mut self, code: Code, stream: StreamId, index: u64) {
        if self.failure.is_none() {
            let invalid = Invalid { code, place: Place::Receipt { stream, index } };
            self.failure = Some(Failure { order: self.order, invalid });
        }
    }

    /// One receipt; the error is a code.
    fn receipt(&mut self, item: Item, check: &mut StreamCheck) -> Result<(), Code> {
        let (hash, statement) = (item.receipt.hash(), item.receipt.statement());
        check.place(statement, hash)?;
        // A journal is one agent's; another's streams were put in from elsewhere.
        if self.one_agent && *self.agent.get_or_insert(statement.agent) != statement.agent {
            return Err("journal.merged");
        }
        let redacted = disclosures(&item)?;
        check.signer(&item)?;
        let signatory = self.papers.signatory(item.receipt.certificate()).ok_or("receipt.certificate")?;
        let path = signatory.path();
        if path.agent().agent() != statement.agent {
            return Err("receipt.subject");
        }
        check.opening(statement, path.agent().decoded().der())?;
        check.proof(&item)?;
        check.chain(statement)?;
        check.event(statement, hash)?;

        let list = match &statement.event {
            Event::Decision { list: Some(named), .. } | Event::Control(Control::List(named)) => {
                let checked = self.papers.list(named, &signatory);
                Some(check.list(named, checked)?)
            }
            _ => None,
        };
        let parents = elsewhere(&item, check);
        for parent in &parents {
            self.links.name(*parent, hash, check.bracket);
        }
        self.links.pass(hash, check.bracket.not_before, &parents);
        if let Event::Decision { answer: Answer::Allow, .. } = &statement.event {
            let claimed = statement.stamp.time();
            may_allow(check.bracket.judged(claimed), path, list)?;
            if let Some(revoked) = signatory.revoked() {
                self.undecided.push(Undecided {
                    order: self.order,
                    stream: statement.stream,
                    index: statement.sequence,
                    hash,
                    claimed,
                    revoked,
                    bracket: check.bracket,
                    parents,
                });
            }
        }
        check.take(statement, hash, item.proof, redacted);
        self.watch.receipt(&Seen { item: &item, not_after: check.bracket.not_after });
        if let Proof::Signed(signature) = item.proof {
            self.crew.hand(Job {
                order: self.order,
                index: check.next.saturating_sub(1),
                receipt: item.receipt,
                signature,
                signatory: Arc::clone(&signatory),
            });
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Report> {
        self.ages();
        let Self { papers, crew, links, mut failure, mut report, .. } = self;
        let signature = crew.finish()?;
        if let Some((order, invalid)) = signature
            && failure.as_ref().is_none_or(|failure| order <= failure.order)
        {
            failure = Some(Failure { order, invalid });
        }
        if failure.is_none() && !papers.are_whole() {
            let invalid = Invalid { code: "journal.archive", place: Place::Evidence };
            failure = Some(Failure { order: self.order, invalid });
        }
        if links.missing() > 0 {
            report.reasons.push(Reason::DanglingParents { count: links.missing() });
        }
        report.invalid = failure.map(|failure| failure.invalid);
        Ok(report)
    }

    /// Judges the allowances of certificates that were revoked.
    fn ages(&mut self) {
        let claimed: HashSet<StreamId> = self.report.reasons.iter().filter_map(unwitnessed).collect();
        for undecided in std::mem::take(&mut self.undecided) {
            let (stream, index) = (undecided.stream, undecided.index);
            match undecided.decide(&self.links) {
                Age::BeforeRevocation => {}
                // As long as nobody witnessed its end, every time of the stream is a claim, and the report says so.
                Age::ClaimedBefore if claimed.contains(&stream) => {}
                Age::ClaimedBefore => self.report.unproven(stream, index, None),
                Age::Unproven { lag } => self.report.unproven(stream, index, Some(lag)),
                Age::AfterRevocation => {
                    let earlier = |failure: &Failure| undecided.order < failure.order;
                    if self.failure.as_ref().is_none_or(earlier) {
                        let place = Place::Receipt { stream, index };
                        let invalid = Invalid { code: "receipt.revoked", place };
                        self.failure = Some(Failure { order: undecided.order, invalid });
                    }
                }
            }
        }
    }
}

fn unwitnessed(reason: &Reason) -> Option<StreamId> {
    match reason {
        Reason::TailNotWitnessed { stream } => Some(*stream),
        _ => None,
    }
}

/// What a receipt follows from that is not near it in its own stream, an outcome's own decision apart.
fn elsewhere(item: &Item, check: &StreamCheck) -> Vec<ReceiptHash> {
    let statement = item.receipt.statement();
    let own = usize::from(matches!(statement.event, Event::Outcome { .. }));
    let parents = statement.parents.iter().skip(own);
    parents.filter(|parent| !check.recent.holds(parent)).copied().collect()
}

/// Looks for receipts that somebody named after they had gone by.
struct SecondPass<'l> {
    links: &'l mut Links,
    not_before: Option<UnixTime>,
}

impl Visitor for SecondPass<'_> {
    fn begin(&mut self, _: StreamId) {
        self.not_before = None;
    }

    fn item(&mut self, item: Item) -> Next {
        let statement = item.receipt.statement();
        if let Event::Decision { list: Some(list), .. } = &statement.event {
            self.not_before = self.not_before.max(Some(list.this_update));
        }
        self.links.pass(item.receipt.hash(), self.not_before, &statement.parents);
        Next::Receipt
    }

    fn end(&mut self, _: u64, _: Option<Code>) {}
}
