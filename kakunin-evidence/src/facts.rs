//! The facts that predicates are judged by: counted while the verifier lets receipts go by.
//!
//! Takes in each receipt once, in the verifier's order, and keeps figures and the first few receipts of each kind, so
//! that memory does not grow with the log. A receipt without a signature is no fact. Whether the others are right is
//! known only at the end, from the verifier's report: [`Settled`] says it, and no predicate holds where it is INVALID.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::journal::Proof;
use kakunin_core::receipt::{Answer, Control, Event, Mode, ProofOfPossession, ReceiptHash, Statement};
use kakunin_core::report::{Account, Inquiry, InquiryError, what};
use kakunin_core::time::UnixTime;
use kakunin_core::verify::{Place, Reason, ReplayCount, Seen, ValueCount, Verdict, Watch};

use crate::bounds::is_bounded;
use crate::finding::Pointer;
use crate::gates::{GateVerdict, Gates, is_gate};
use crate::lists::{Lists, Wait};
use crate::watched::{Terms, Watched, Watching};

/// The time that a report is about, by what receipts claim; both ends belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// From when; from the beginning, if none.
    pub from: Option<UnixTime>,
    /// Until when; to the end, if none.
    pub to: Option<UnixTime>,
}

impl Period {
    pub(crate) fn has(&self, time: UnixTime) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time <= to)
    }
}

/// What the verifier says of the evidence as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Everything is there, and somebody else confirms the end.
    Complete,
    /// What is there is right; these are the codes of what lacks.
    NotComplete(Vec<String>),
    /// No receipt that anybody signed.
    Empty,
    /// Something is wrong: its code, in words, and the receipt, if it is one.
    Invalid {
        /// The code.
        code: String,
        /// What is wrong, and where.
        text: String,
        /// The stream and the number, if it is a receipt.
        at: Option<(String, u64)>,
    },
}

/// What went by.
#[derive(Clone, Debug)]
pub struct Facts {
    pub(crate) subject: String,
    pub(crate) settled: Settled,
    pub(crate) exit: u8,
    pub(crate) period: Period,
    pub(crate) evidence: Digest,
    pub(crate) claimed: Option<(UnixTime, UnixTime)>,
    pub(crate) seen: u64,
    pub(crate) receipts: u64,
    pub(crate) streams: u64,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    pub(crate) outcomes: u64,
    pub(crate) checks: u64,
    pub(crate) observed: u64,
    pub(crate) observed_denials: u64,
    pub(crate) nameless: u64,
    pub(crate) unlisted: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
    pub(crate) actions: BTreeMap<String, (u64, u64)>,
    /// Denials by what the certificate allows that stopped the action.
    pub(crate) outside: u64,
    pub(crate) stopped: u64,
    pub(crate) waits: Vec<Wait>,
    /// Between which times third parties show that receipts lay here: the earliest by which a witness saw one, and the
    /// latest before which one cannot have been written or that a witness names.
    pub(crate) proven: (Option<UnixTime>, Option<UnixTime>),
    pub(crate) agents: BTreeMap<AgentId, AgentFacts>,
    pub(crate) callers: BTreeMap<&'static str, u64>,
    pub(crate) linked: u64,
    pub(crate) witnessed: u64,
    pub(crate) gates: BTreeMap<GateVerdict, u64>,
    /// Receipts that are named like a verdict of a gate and are none.
    pub(crate) ungated: u64,
    pub(crate) erasures: u64,
    pub(crate) values: ValueCount,
    pub(crate) replay: Option<ReplayCount>,
    pub(crate) lacks: BTreeMap<&'static str, u64>,
    pub(crate) lacking: BTreeMap<&'static str, Vec<(StreamId, u64)>>,
    pub(crate) samples: BTreeMap<Kind, Vec<Pointer>>,
    pub(crate) watched: Option<Watched>,
}

/// An agent that signed something.
#[derive(Clone, Debug, Default)]
pub(crate) struct AgentFacts {
    pub(crate) certificates: BTreeMap<Digest, CertificateFacts>,
    /// Keys of the roots that it was under.
    pub(crate) roots: BTreeSet<Digest>,
    pub(crate) receipts: u64,
}

/// A certificate that signed something.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFacts {
    pub(crate) seconds: i64,
    pub(crate) any_action: bool,
    pub(crate) bounded: bool,
    pub(crate) gate: bool,
    pub(crate) first: Pointer,
}

/// What a receipt is an example of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Allowed,
    Denied,
    Outside,
    Stopped,
    Observed,
    ObservedDenial,
    Outcome,
    Nameless,
    End,
    SlowList,
    MissedList,
    Caller,
    WeakCaller,
    Linked,
    Witnessed,
    GatePassed,
    GateRefused,
    Erasure,
    Oldest,
    Newest,
}

impl Facts {
    /// Verifies what lies at `what`, as `inquiry` asks, and counts what goes by and claims a time in `period`. With `terms`
    /// behaviour is judged as well, over all that is there: what came before a period is a part of it.
    ///
    /// # Errors
    /// [`InquiryError`] if nothing can be judged. What is wrong with the receipts is a fact.
    pub fn gather(
        inquiry: &Inquiry,
        what: &Path,
        others: &[PathBuf],
        period: Period,
        terms: Option<&Terms>,
        watch: &mut dyn Watch,
    ) -> Result<Self, InquiryError> {
        let is_bundle = what.is_file();
        let watching = terms.map(|_| Watching::default());
        let mut collector = Collector {
            facts: Self::none(period),
            is_bundle,
            lists: Lists::default(),
            gates: Gates::default(),
            watching,
            watch,
        };
        let account = inquiry.of(what, others, &mut collector)?;
        let mut facts = collector.facts;
        facts.waits = collector.lists.waits(period);
        facts.watched = collector.watching.zip(terms).map(|(watching, terms)| watching.judge(terms));
        facts.subject = what.file_name().unwrap_or(what.as_os_str()).to_string_lossy().into_owned();
        facts.settle(&account);
        Ok(facts)
    }

    /// The facts where there is no receipt at all.
    #[must_use]
    pub fn none(period: Period) -> Self {
        Self {
            subject: String::new(),
            settled: Settled::Empty,
            exit: 3,
            period,
            evidence: Digest::of(b"kakunin evidence 1"),
            claimed: None,
            seen: 0,
            receipts: 0,
            streams: 0,
            allowed: 0,
            denied: 0,
            outcomes: 0,
            checks: 0,
            observed: 0,
            observed_denials: 0,
            nameless: 0,
            unlisted: 0,
            reasons: BTreeMap::new(),
            actions: BTreeMap::new(),
            outside: 0,
            stopped: 0,
            waits: Vec::new(),
            proven: (None, None),
            agents: BTreeMap::new(),
            callers: BTreeMap::new(),
            linked: 0,
            witnessed: 0,
            gates: BTreeMap::new(),
            ungated: 0,
            erasures: 0,
            values: ValueCount::default(),
            replay: None,
            lacks: BTreeMap::new(),
            lacking: BTreeMap::new(),
            samples: BTreeMap::new(),
            watched: None,
        }
    }

    /// What the verifier makes of it at last.
    fn settle(&mut self, account: &Account) {
        let report = account.report();
        let verdict = report.verdict();
        self.exit = verdict.exit_code();
        self.values = report.values();
        self.replay = report.replay();
        self.streams = report.streams().len() as u64;
        self.waits.sort_by_key(|wait| wait.seconds);
        for (kind, taken) in [(Kind::SlowList, true), (Kind::MissedList, false)] {
            let slow = self.waits.iter().rev().filter(|wait| wait.taken == taken);
            let slow: Vec<Pointer> = slow.map(|wait| wait.last.clone()).take(FEW).collect();
            self.samples.insert(kind, slow);
        }
        for reason in report.reasons() {
            *self.lacks.entry(reason.code()).or_default() += reason_count(reason);
            if let Some(stream) = reason.stream() {
                let places = self.lacking.entry(reason.code()).or_default();
                match reason {
                    // Of a stream that is not here its beginning is the place.
                    Reason::Missing { .. } => places.push((stream, 0)),
                    _ => places.extend(reason.indices().iter().take(FEW).map(|index| (stream, *index))),
                }
                places.truncate(FEW);
            }
        }
        self.settled = match verdict {
            Verdict::Complete => Settled::Complete,
            Verdict::Empty => Settled::Empty,
            Verdict::AuthenticNotComplete(reasons) => {
                let codes: BTreeSet<&str> = reasons.iter().map(Reason::code).collect();
                Settled::NotComplete(codes.into_iter().map(str::to_owned).collect())
            }
            Verdict::Invalid(invalid) => Settled::Invalid {
                code: invalid.code.to_owned(),
                text: match what(invalid.code) {
                    Some(words) => format!("{invalid}: {words}"),
                    None => invalid.to_string(),
                },
                at: match &invalid.place {
                    Place::Receipt { stream, index } => Some((stream.to_string(), *index)),
                    _ => None,
                },
            },
        };
    }

    /// What was looked at, as the asker calls it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the verifier says of all of it.
    #[must_use]
    pub const fn settled(&self) -> &Settled {
        &self.settled
    }

    /// What is wrong with it or lacks, in one line.
    pub(crate) fn what(&self) -> Option<String> {
        match &self.settled {
            Settled::Invalid { text, .. } => Some(text.clone()),
            Settled::NotComplete(codes) => Some(codes.join(", ")),
            Settled::Complete | Settled::Empty => None,
        }
    }

    /// A digest over the name of every receipt that went by, in order: two reports of one digest are about the same.
    #[must_use]
    pub const fn evidence(&self) -> Digest {
        self.evidence
    }

    /// The agents that signed what was counted, ascending.
    pub fn agents(&self) -> impl Iterator<Item = AgentId> {
        self.agents.keys().copied()
    }

    /// The first and the last time that a counted receipt claims.
    #[must_use]
    pub const fn claimed(&self) -> Option<(UnixTime, UnixTime)> {
        self.claimed
    }

    pub(crate) fn examples(&self, kind: Kind) -> Vec<Pointer> {
        self.samples.get(&kind).cloned().unwrap_or_default()
    }

    fn example(&mut self, kind: Kind, pointer: &Pointer) {
        let known = self.samples.entry(kind).or_default();
        if known.len() < FEW {
            known.push(pointer.clone());
        }
    }
}

fn reason_count(reason: &Reason) -> u64 {
    match reason {
        Reason::Redacted { count, .. }
        | Reason::Lingering { count, .. }
        | Reason::ErasureMissing { count, .. } => *count,
        Reason::DanglingParents { count } => *count as u64,
        _ => (reason.indices().len() as u64).max(1),
    }
}

/// Counts while somebody else watches.
struct Collector<'w> {
    facts: Facts,
    is_bundle: bool,
    lists: Lists,
    gates: Gates,
    watching: Option<Watching>,
    watch: &'w mut dyn Watch,
}

impl Watch for Collector<'_> {
    fn expect(&mut self, receipts: u64) {
        self.watch.expect(receipts);
    }

    fn receipt(&mut self, seen: &Seen<'_>) {
        self.count(seen);
        self.watch.receipt(seen);
    }
}

impl Collector<'_> {
    fn count(&mut self, seen: &Seen<'_>) {
        let (hash, statement) = (seen.hash(), seen.statement());
        let facts = &mut self.facts;
        facts.seen += 1;
        facts.evidence = Digest::of_parts(&[facts.evidence.as_bytes(), hash.digest().as_bytes()]);
        if seen.proof() == Proof::Unsigned {
            return;
        }
        let at = statement.stamp.time();
        let pointer = pointer(hash, statement, self.is_bundle.then_some(facts.seen));
        if let Some(watching) = &mut self.watching {
            watching.see(seen, &pointer);
        }
        self.lists.see(statement, seen.path().issuing().decoded().key().key_id(), &pointer);
        let facts = &mut self.facts;
        // A verdict is of the time of its decision, wherever its outcome is.
        if let Some((verdict, decided)) = self.gates.ended(statement) {
            let kind = if verdict.promotes { Kind::GatePassed } else { Kind::GateRefused };
            facts.example(kind, &decided);
            *facts.gates.entry(verdict).or_default() += 1;
        }
        if !facts.period.has(at) {
            return;
        }
        facts.receipts += 1;
        let (first, last) = facts.claimed.unwrap_or((at, at));
        if at < first || facts.receipts == 1 {
            facts.samples.insert(Kind::Oldest, vec![pointer.clone()]);
        }
        if at >= last {
            facts.samples.insert(Kind::Newest, vec![pointer.clone()]);
        }
        facts.claimed = Some((first.min(at), last.max(at)));
        let (oldest, newest) = facts.proven;
        let latest = newest.max(seen.not_before()).max(seen.not_after());
        facts.proven = (oldest.into_iter().chain(seen.not_after()).min(), latest);
        if seen.not_after().is_some() {
            facts.witnessed += 1;
            facts.example(Kind::Witnessed, &pointer);
        }
        facts.ungated += u64::from(self.gates.decided(seen, &pointer));
        Self::signer(facts, seen, &pointer);
        Self::event(facts, statement, &pointer);
    }

    fn signer(facts: &mut Facts, seen: &Seen<'_>, pointer: &Pointer) {
        let certificate = seen.path().agent();
        let validity = certificate.decoded().validity();
        let agent = facts.agents.entry(seen.statement().agent).or_default();
        agent.receipts += 1;
        agent.roots.insert(seen.path().root().decoded().key().key_id());
        agent.certificates.entry(*seen.certificate()).or_insert_with(|| CertificateFacts {
            seconds: validity.not_after.seconds().saturating_sub(validity.not_before.seconds()),
            any_action: certificate.scope().allows_any_action(),
            bounded: is_bounded(certificate.scope()),
            gate: is_gate(certificate.scope()),
            first: pointer.clone(),
        });
    }

    fn event(facts: &mut Facts, statement: &Statement, pointer: &Pointer) {
        match &statement.event {
            Event::Decision { mode: Mode::Check, .. } => facts.checks += 1,
            Event::Decision { caller, action, answer, mode, list, .. } => {
                let observed = *mode == Mode::Observe;
                if observed {
                    facts.observed += 1;
                    facts.example(Kind::Observed, pointer);
                }
                if let Some(caller) = caller {
                    *facts.callers.entry(caller.possession.word()).or_default() += 1;
                    let strong =
                        matches!(caller.possession, ProofOfPossession::Signature | ProofOfPossession::Tls);
                    facts.example(if strong { Kind::Caller } else { Kind::WeakCaller }, pointer);
                }
                if statement.chain.is_some() && !statement.parents.is_empty() {
                    facts.linked += 1;
                    facts.example(Kind::Linked, pointer);
                }
                let counts = match action {
                    Some(action) => facts.actions.entry(action.clone()).or_default(),
                    None => {
                        facts.nameless += 1;
                        facts.example(Kind::Nameless, pointer);
                        facts.actions.entry(NAMELESS.to_owned()).or_default()
                    }
                };
                match answer {
                    Answer::Allow => counts.0 += 1,
                    Answer::Deny(_) => counts.1 += 1,
                }
                facts.unlisted += u64::from(list.is_none() && *answer == Answer::Allow);
                Self::answer(facts, answer, observed, pointer);
            }
            Event::Outcome { .. } => {
                facts.outcomes += 1;
                facts.example(Kind::Outcome, pointer);
            }
            Event::Control(Control::Erased { .. }) => {
                facts.erasures += 1;
                facts.example(Kind::Erasure, pointer);
            }
            Event::Close { .. } => facts.example(Kind::End, pointer),
            _ => {}
        }
    }

    fn answer(facts: &mut Facts, answer: &Answer, observed: bool, pointer: &Pointer) {
        match answer {
            Answer::Allow => {
                facts.allowed += 1;
                facts.example(Kind::Allowed, pointer);
            }
            Answer::Deny(code) => {
                facts.denied += 1;
                *facts.reasons.entry(code.clone()).or_default() += 1;
                if observed {
                    facts.observed_denials += 1;
                    facts.example(Kind::ObservedDenial, pointer);
                } else {
                    facts.example(Kind::Denied, pointer);
                }
                if !observed && OUTSIDE.contains(&code.as_str()) {
                    facts.outside += 1;
                    facts.example(Kind::Outside, pointer);
                }
                if !observed && STOPS.contains(&code.as_str()) {
                    facts.stopped += 1;
                    facts.example(Kind::Stopped, pointer);
                }
            }
        }
    }
}

fn pointer(hash: ReceiptHash, statement: &Statement, line: Option<u64>) -> Pointer {
    Pointer { receipt: hash.to_string(), stream: statement.stream.to_string(), seq: statement.sequence, line }
}

/// Receipts that are named for one predicate: enough to look at, and no list of everything.
pub(crate) const FEW: usize = 3;
/// Denials by what the certificate allows. What could not be found out (`scope.names_missing`, `budget.unknown`, ..) or was
/// no request is none of it.
const OUTSIDE: [&str; 9] = [
    "scope.action",
    "scope.resource",
    "scope.counterparty",
    "scope.currency",
    "scope.amount",
    "scope.hours",
    "budget.window",
    "budget.rate",
    "approval.required",
];
/// Denials that come from a stop.
const STOPS: [&str; 2] = ["certificate.revoked", "certificate.held"];
/// Stands for an action whose name was none.
pub(crate) const NAMELESS: &str = "(no action)";
