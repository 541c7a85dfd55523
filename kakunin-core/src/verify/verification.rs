//! The terms of a verification, and the pass over everything.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use super::again::{Look, Trail};
use super::called::together;
use super::crew::{Crew, Job};
use super::links::{Graph, Links};
use super::logs::{KnownLogs, OwnLog};
use super::owned::{Bearers, OwnedAgent, Owner};
use super::papers::{Papers, Signatory};
use super::replay::Replay;
use super::report::{Extent, Invalid, Place, Reason, Report};
use super::rivals::Rivals;
use super::source::{Item, JournalSource, Next, Seen, Source, Stop, Visitor};
use super::stream::{Code, StreamCheck, disclosures, may_allow, raise};
use super::time::{Age, Bracket, Floor, Strata, Undecided, is_late};
use super::values::Values;
use crate::certificate::TrustAnchors;
use crate::digest::Digest;
use crate::id::{AgentId, StreamId};
use crate::journal::{Proof, locate};
use crate::log::{LogError, LogReader, VerifierKey, WitnessPolicy};
use crate::receipt::{Answer, Control, Event, ReceiptHash};
use crate::scope::NameLists;
use crate::time::UnixTime;
use crate::tree::InclusionProof;

/// Verifies the journal of an agent's directory, of its state directory, or the journal folder itself, by its roots alone.
///
/// # Errors
/// Only when nothing can be judged, because a file cannot be read; everything else is in the report.
pub fn journal(path: &Path, anchors: &TrustAnchors) -> io::Result<Report> {
    Verification::by(anchors).journals(&[path], Vec::new(), &mut ())
}

/// What the caller believes, and what is to be done.
#[derive(Clone, Copy)]
pub struct Verification<'a> {
    anchors: &'a TrustAnchors,
    logs: &'a [VerifierKey],
    policies: &'a [WitnessPolicy],
    lists: &'a [Vec<u8>],
    replay: Option<&'a NameLists>,
}

/// Who looks on while receipts are verified.
pub trait Watch {
    /// Before the first: how many there will be, where the source says so.
    fn expect(&mut self, _receipts: u64) {}

    /// A receipt went by. What it is worth, the report says.
    fn receipt(&mut self, seen: &Seen<'_>);
}

impl Watch for () {
    fn receipt(&mut self, _: &Seen<'_>) {}
}

impl<'a> Verification<'a> {
    /// Believes these roots, and nobody else.
    #[must_use]
    pub const fn by(anchors: &'a TrustAnchors) -> Self {
        Self { anchors, logs: &[], policies: &[], lists: &[], replay: None }
    }

    /// Also believes that the logs of these keys show everybody the same, unless they are the agent's own.
    #[must_use]
    pub const fn logs(mut self, keys: &'a [VerifierKey]) -> Self {
        self.logs = keys;
        self
    }

    /// Also believes the witnesses of each of these policies: what they saw, and when.
    #[must_use]
    pub const fn witnesses(mut self, policies: &'a [WitnessPolicy]) -> Self {
        self.policies = policies;
        self
    }

    /// Also looks up revocations on these lists, in DER: whoever shows receipts may have left out the newest. One counts
    /// if an issuer on a path here signed it.
    #[must_use]
    pub const fn lists(mut self, lists: &'a [Vec<u8>]) -> Self {
        self.lists = lists;
        self
    }

    /// Also decides again what the receipts record. Detached lists of names come from `lists`; without them what needs
    /// them stays open.
    #[must_use]
    pub const fn replay(mut self, lists: &'a NameLists) -> Self {
        self.replay = Some(lists);
        self
    }

    /// Verifies journals, each given as the directory of an agent, its state or the journal folder itself, with logs that
    /// may hold their receipts.
    ///
    /// # Errors
    /// Only when nothing can be judged, because a file cannot be read; everything else is in the report.
    pub fn journals(
        &self,
        paths: &[&Path],
        logs: Vec<LogReader>,
        watch: &mut dyn Watch,
    ) -> io::Result<Report> {
        let logs = match LogReader::each_once(logs) {
            Ok(logs) => logs,
            Err(LogError::Forked { .. }) => {
                return Ok(Report::refused(Invalid { code: "log.fork", place: Place::Evidence }));
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        let logs = Rc::new(RefCell::new(logs));
        let mut sources = Vec::with_capacity(paths.len());
        for path in paths {
            let missing = || io::Error::new(io::ErrorKind::NotFound, "no journal is there");
            sources.push(JournalSource::at(&locate(path).ok_or_else(missing)?, Rc::clone(&logs)));
        }
        let sources: Vec<&dyn Source> = sources.iter().map(|source| source as &dyn Source).collect();
        self.run(&sources, watch)
    }

    /// Verifies everything that `sources` hold, together.
    pub(crate) fn run(&self, sources: &[&dyn Source], watch: &mut dyn Watch) -> io::Result<Report> {
        thread::scope(|scope| {
            let mut pass = Pass {
                papers: Papers::of(sources, self.anchors, self.lists),
                replay: self.replay.map(Replay::with),
                crew: Crew::start(scope)?,
                logs: KnownLogs::default(),
                values: Values::default(),
                links: Links::default(),
                rivals: Rivals::default(),
                keys: None,
                strata: Strata::default(),
                trail: Trail::default(),
                doubtful: false,
                ends: None,
                order: 0,
                place: 0,
                source: None,
                stream: None,
                streams: HashSet::new(),
                agent: None,
                agents: Vec::new(),
                signatory: None,
                caller: None,
                bearers: Bearers::default(),
                failure: None,
                report: Report::default(),
                watch,
            };
            let mut past: Vec<KnownLogs> = Vec::new();
            for (place, source) in sources.iter().enumerate() {
                pass.report.extent = source.extent();
                (pass.place, pass.source) = (place, Some(*source));
                pass.agent = None;
                let opened = source.logs().and_then(|shown| Ok(KnownLogs::open(&shown, self)?));
                pass.logs = pass.told(opened)?.unwrap_or_default();
                if past.iter().any(|other| other.contradict(&pass.logs)) {
                    pass.told::<()>(Err(Stop::Invalid(Invalid {
                        code: "log.fork",
                        place: Place::Evidence,
                    })))?;
                }
                let values = Values::of(*source);
                let values = values.map_err(|code| Stop::Invalid(Invalid { code, place: Place::Evidence }));
                pass.values = pass.told(values)?.unwrap_or_default();
                pass.keys = None;
                let walked = source.walk(&mut pass);
                pass.told(walked)?;
                let values = std::mem::take(&mut pass.values);
                values.judge(&mut pass.report.values, &mut pass.report.reasons);
                past.push(std::mem::take(&mut pass.logs));
                let agent = pass.agent.as_ref().filter(|_| source.is_of_one_agent());
                pass.agents.push(agent.map(|owner| owner.agent));
            }
            pass.unshown(sources)?;
            pass.finish(sources, &past)
        })
    }

    /// Every key that a checkpoint may be opened with.
    pub(super) fn keys_of_logs(&self) -> impl Iterator<Item = &'a VerifierKey> {
        self.logs.iter().chain(self.policies.iter().flat_map(WitnessPolicy::logs))
    }

    pub(super) fn believes(&self, log: &VerifierKey) -> bool {
        self.logs.contains(log)
    }

    pub(super) const fn policies(&self) -> &'a [WitnessPolicy] {
        self.policies
    }
}

/// The pass: receipt by receipt, stream by stream, source by source.
struct Pass<'a, 'scope, 'w> {
    papers: Papers<'a>,
    replay: Option<Replay<'a>>,
    crew: Crew<'scope>,
    logs: KnownLogs,
    values: Values,
    links: Links,
    rivals: Rivals,
    /// Every key that the source has a certificate of, once somebody asked.
    keys: Option<Rivals>,
    strata: Strata,
    trail: Trail,
    /// Whether something was allowed under a certificate whose revocation is known, or seen only after its end.
    doubtful: bool,
    /// The first end of a certificate that something was allowed under.
    ends: Option<UnixTime>,
    /// How many receipts went by.
    order: u64,
    /// The number of the source.
    place: usize,
    source: Option<&'a dyn Source>,
    stream: Option<StreamCheck>,
    streams: HashSet<StreamId>,
    agent: Option<Owner>,
    /// Whose the sources before are, of those that are one agent's.
    agents: Vec<Option<AgentId>>,
    /// The signatory of the receipt before in this stream.
    signatory: Option<Arc<Signatory>>,
    /// The caller that was named last.
    caller: Option<Arc<Signatory>>,
    bearers: Bearers,
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
        let check = StreamCheck::new(stream, self.report.extent);
        if !self.streams.insert(stream) {
            self.fail("journal.duplicate_stream", stream, 0);
        }
        self.stream = Some(check);
        self.signatory = None;
        self.rivals = Rivals::default();
        self.trail.begin(stream);
    }

    fn item(&mut self, item: Item) -> Next {
        let Some(mut check) = self.stream.take() else { return Next::Stream };
        self.trail.pass(&item);
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

    fn other(&mut self, entry: &[u8], shown: Option<ReceiptHash>) -> Next {
        let Some(check) = self.stream.as_ref().filter(|_| self.failure.is_none()) else {
            return Next::Stream;
        };
        let by_the_stream = self.rivals.signed(entry, shown);
        let is_of_the_stream = by_the_stream.is_some();
        let agent = self.agent.as_ref().map(|owner| owner.agent);
        let keys = self.keys.get_or_insert_with(|| self.papers.signatories(self.place, agent).into());
        let Some(other) = by_the_stream.or_else(|| keys.signed(entry, shown)) else {
            return Next::Receipt;
        };
        let statement = other.statement();
        if shown.is_none() && check.may_go_on_with(statement) {
            return Next::Receipt;
        }
        if is_of_the_stream {
            self.fail("log.equivocation", statement.stream, statement.sequence);
            return Next::Stream;
        }
        self.report.contradicted(statement.stream, statement.sequence);
        Next::Receipt
    }

    fn end(&mut self, torn: u64, fault: Option<Code>) {
        self.trail.end();
        let Some(mut check) = self.stream.take() else { return };
        let (stream, index) = (check.summary.stream, check.next);
        if let Some(code) = fault {
            self.fail(code, stream, index);
        } else {
            let length = self.source.and_then(|source| source.chain_length(stream));
            match check.end(torn, length.as_ref()) {
                Ok(reasons) => self.report.reasons.extend(reasons),
                Err(code) => self.fail(code, stream, index),
            }
        }
        self.report.streams.push(check.summary);
    }
}

impl Pass<'_, '_, '_> {
    fn fail(&mut self, code: Code, stream: StreamId, index: u64) {
        self.fail_with(Invalid { code, place: Place::Receipt { stream, index } });
    }

    fn fail_with(&mut self, invalid: Invalid) {
        let order = self.order;
        self.failure.get_or_insert(Failure { order, invalid });
    }

    /// Streams of the sources' own agents that their logs hold and none of them shows.
    fn unshown(&mut self, sources: &[&dyn Source]) -> io::Result<()> {
        let mut missing = BTreeSet::new();
        let agents = std::mem::take(&mut self.agents);
        let sources = sources.iter().zip(agents).enumerate().filter(|_| self.failure.is_none());
        for (place, (source, agent)) in sources {
            let mut keys = None;
            let read = source.unshown(&self.streams, &mut |stream, entry| {
                let keys = keys.get_or_insert_with(|| Rivals::from(self.papers.signatories(place, agent)));
                if missing.contains(&stream) || keys.signed(entry, None).is_none() {
                    return Next::Receipt;
                }
                missing.insert(stream);
                Next::Stream
            });
            if let Err(Stop::Io(error)) = read {
                return Err(error);
            }
        }
        self.report.reasons.extend(missing.into_iter().map(|stream| Reason::Missing { stream }));
        Ok(())
    }

    /// Notes what is wrong with a source; only what the system refuses ends everything.
    fn told<T>(&mut self, outcome: Result<T, Stop>) -> io::Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(Stop::Io(error)) => Err(error),
            Err(Stop::Invalid(invalid)) => {
                self.fail_with(invalid);
                Ok(None)
            }
        }
    }

    /// One receipt; the error is a code.
    fn receipt(&mut self, item: Item, check: &mut StreamCheck) -> Result<(), Code> {
        let (hash, statement) = (item.receipt.hash(), item.receipt.statement());
        check.place(statement, hash)?;
        // A journal is one agent's; another's streams were put in from elsewhere.
        let alone = self.source.is_some_and(Source::is_of_one_agent);
        if alone && self.agent.as_ref().is_some_and(|first| first.agent != statement.agent) {
            return Err("journal.merged");
        }
        let missing = disclosures(&item)?;
        check.signer(&item)?;
        let signatory =
            self.papers.signatory(self.place, item.receipt.certificate()).ok_or("receipt.certificate")?;
        self.rivals.knows(&signatory);
        let path = signatory.path();
        if path.agent().agent() != statement.agent {
            return Err("receipt.subject");
        }
        let agent = OwnedAgent { root: signatory.root(), agent: statement.agent };
        check.owned(&signatory)?;
        if alone && !self.agent.get_or_insert_with(|| Owner::of(&signatory)).meet(&signatory) {
            return Err("journal.merged");
        }
        check.opening(statement, path.agent().decoded().der())?;
        check.proof(&item)?;
        check.chain(&item)?;
        check.event(&item)?;

        let by = self.papers.decided_by(self.place, &statement.event, &signatory).ok_or("receipt.caller")?;
        let list = match statement.event.list() {
            Some(named) => {
                let checked = self.papers.list(named, &by);
                let issuer = by.issuer();
                let checked = check.list(named, checked, issuer)?;
                Some(match (named.feed, checked.feed) {
                    (None, _) => checked,
                    // The list knows of no feed.
                    (Some(_), None) => return Err("receipt.feed"),
                    (Some(head), Some(base)) => {
                        let fed = self.papers.feed(&checked, (base, head), &by);
                        check.feed((statement.sequence, head), fed, issuer, checked)?
                    }
                })
            }
            None => None,
        };
        let sight = self.logs.sight(&item.logged, check.own_log);
        let bracket = check.bracket(&item, signatory.issuer(), by.issuer(), sight);
        for parent in elsewhere(&item, check) {
            self.links.name(parent, hash, bracket);
        }
        self.lay(&item, bracket, signatory.issuer());
        if let Event::Decision { answer: Answer::Allow, .. } = &statement.event {
            may_allow(statement.stamp.time(), bracket, by.path(), list)?;
            if !Arc::ptr_eq(&by, &signatory) {
                // Nobody is let in by a gateway that may do nothing itself.
                let own = self.papers.own_standing(statement.event.list(), &signatory)?;
                may_allow(statement.stamp.time(), bracket, path, own)?;
            }
            let (revoked, ends) = together(&by, &signatory);
            let late = bracket.not_after.is_some_and(|end| is_late(end, ends));
            self.doubtful |= late || revoked.perhaps.is_some();
            self.ends = [self.ends, Some(ends)].into_iter().flatten().min();
        }
        if let Some(replay) = &mut self.replay {
            replay.decide(&item, &by)?;
        }
        let begins = path.agent().decoded().validity().not_before;
        let outside = bracket.excludes(statement.stamp.time()) || bracket.ends_before(begins);
        let names = |extent| matches!((extent, statement.chain), (Extent::Chain(only), Some((chain, _))) if only == chain);
        self.report.of_the_chain += u64::from(item.is_proven() && names(self.report.extent));
        check.take(&item, outside, sight);
        self.name(&item, agent, &signatory, check);
        self.name_caller(&item, &by, &signatory);
        self.values.pass(&item, agent, &missing);
        self.watch.receipt(&Seen {
            item: &item,
            sight,
            not_before: bracket.not_before.filter(|_| item.is_proven()),
            path: signatory.path(),
            logs: &self.logs,
        });
        self.hand(item, signatory);
        Ok(())
    }

    /// Whose name it bears, by which certificate. One that a recovery takes over with is announced by nobody, and what
    /// nobody signed joins nothing: anybody can write it under any certificate.
    fn name(&mut self, item: &Item, agent: OwnedAgent, signatory: &Arc<Signatory>, check: &mut StreamCheck) {
        if !item.is_proven() {
            return;
        }
        check.summary.root.get_or_insert(agent.root);
        check.summary.certificate.get_or_insert(*item.receipt.certificate());
        if self.signatory.as_ref().is_some_and(|before| Arc::ptr_eq(before, signatory)) {
            return;
        }
        let recovered = matches!(item.receipt.statement().event, Event::Control(Control::Recovered { .. }));
        let before = self.signatory.replace(Arc::clone(signatory)).filter(|_| !recovered);
        self.bearers.meet(signatory, before.as_deref());
    }

    /// Whose name the caller bears: one id is one agent, whoever's receipt it stands in.
    fn name_caller(&mut self, item: &Item, caller: &Arc<Signatory>, signatory: &Arc<Signatory>) {
        let known = |known: &Arc<Signatory>| Arc::ptr_eq(known, caller);
        if item.is_proven() && !known(signatory) && !self.caller.as_ref().is_some_and(known) {
            self.caller = Some(Arc::clone(caller));
            self.bearers.meet(caller, None);
        }
    }

    /// What the entry says about the age of checkpoints above it.
    fn lay(&mut self, item: &Item, bracket: Bracket, issuer: Digest) {
        let Some(not_before) = bracket.not_before else { return };
        for place in &item.logged {
            if let Some(log) = self.logs.get(place.log) {
                self.strata.lay((log.name, issuer), place.index, not_before);
            }
        }
    }

    /// What takes long is done elsewhere.
    fn hand(&mut self, item: Item, signatory: Arc<Signatory>) {
        let Item { receipt, proof, logged, .. } = item;
        let paths = logged.into_iter().filter_map(|place| {
            let log = self.logs.get(place.log)?;
            Some((InclusionProof { index: place.index, size: log.size, path: place.path? }, log.root))
        });
        let paths: Vec<_> = paths.collect();
        if paths.is_empty() && !matches!(proof, Proof::Signed(_)) {
            return;
        }
        let index = receipt.statement().sequence;
        self.crew.hand(Job { order: self.order, index, receipt, proof, signatory, paths });
    }

    fn finish(mut self, sources: &[&dyn Source], logs: &[KnownLogs]) -> io::Result<Report> {
        let signature = self.crew.finish()?;
        self.trail.end();
        let Self {
            mut papers,
            replay,
            links,
            strata,
            trail,
            mut doubtful,
            ends,
            mut failure,
            mut report,
            order,
            bearers,
            ..
        } = self;
        report.replay = replay.map(|replay| replay.count);
        if let Some((order, invalid)) = signature
            && failure.as_ref().is_none_or(|failure| order <= failure.order)
        {
            failure = Some(Failure { order, invalid });
        }
        let named = !links.is_empty();
        // Whoever follows from an allowance may be the only one that was witnessed.
        doubtful |= links.latest().zip(ends).is_some_and(|(latest, ends)| is_late(latest, ends));
        let mut graph = links.sorted();
        if named && (failure.is_none() || doubtful) {
            let (graph, papers) = (&mut graph, &mut papers);
            let mut names = Names { graph, papers, floor: Floor::default(), source: 0 };
            trail.follow(sources, &mut names)?;
        }
        if doubtful {
            let end = failure.as_ref().map_or(u64::MAX, |failure| failure.order);
            let claimed = report.reasons.iter().filter_map(unwitnessed).collect();
            let (papers, graph, report) = (&mut papers, &graph, &mut report);
            let (strata, floor) = (&strata, Floor::default());
            let (source, order, after) = (0, 0, None);
            let mut ages =
                Ages { papers, graph, strata, floor, logs, report, claimed, source, order, end, after };
            trail.follow(sources, &mut ages)?;
            failure = ages.after.or(failure);
        }
        if failure.is_none() && !papers.are_whole() {
            let invalid = Invalid { code: "journal.archive", place: Place::Evidence };
            failure = Some(Failure { order, invalid });
        }
        if graph.missing() > 0 {
            report.reasons.push(Reason::DanglingParents { count: graph.missing() });
        }
        report.reasons.extend(bearers.ambiguous());
        report.foreign_lists = papers.foreign_lists();
        report.invalid = failure.map(|failure| failure.invalid);
        Ok(report)
    }
}

/// Looks for receipts that somebody names.
struct Names<'g, 'a> {
    graph: &'g mut Graph,
    papers: &'g mut Papers<'a>,
    floor: Floor,
    source: usize,
}

impl Look for Names<'_, '_> {
    fn source(&mut self, number: usize) {
        self.source = number;
    }

    fn begin(&mut self) {
        self.floor = Floor::default();
    }

    fn item(&mut self, item: &Item) {
        // What nobody signed is not what somebody followed from.
        let signatory = self.papers.signatory(self.source, item.receipt.certificate());
        if let Some(signatory) = signatory.filter(|_| item.is_proven()) {
            let (issuer, parents) = (signatory.issuer(), &item.receipt.statement().parents);
            let by = self.papers.decided_by(self.source, &item.receipt.statement().event, &signatory);
            raise(&mut self.floor, item, by.map_or(issuer, |by| by.issuer()));
            self.graph.pass(item.receipt.hash(), self.floor.under(&issuer), issuer, parents);
        }
    }
}

/// Judges the allowances of certificates that were revoked, and what was witnessed after the end of its certificate.
struct Ages<'p, 'a> {
    papers: &'p mut Papers<'a>,
    graph: &'p Graph,
    strata: &'p Strata,
    floor: Floor,
    logs: &'p [KnownLogs],
    report: &'p mut Report,
    /// The streams whose times are claims, as the report says of them.
    claimed: HashSet<StreamId>,
    source: usize,
    order: u64,
    /// Where something else is wrong: what comes later does not count.
    end: u64,
    /// The first allowance of after its revocation.
    after: Option<Failure>,
}

impl Look for Ages<'_, '_> {
    fn source(&mut self, number: usize) {
        self.source = number;
    }

    fn begin(&mut self) {
        self.floor = Floor::default();
    }

    fn item(&mut self, item: &Item) {
        let order = self.order;
        self.order += 1;
        let statement = item.receipt.statement();
        let signatory = self.papers.signatory(self.source, item.receipt.certificate());
        let Some(signatory) = signatory else { return };
        let issuer = signatory.issuer();
        let Some(by) = self.papers.decided_by(self.source, &statement.event, &signatory) else { return };
        raise(&mut self.floor, item, by.issuer());
        if order >= self.end || !matches!(statement.event, Event::Decision { answer: Answer::Allow, .. }) {
            return;
        }
        let logs = self.logs.get(self.source);
        let sight = logs.map(|logs| logs.sight(&item.logged, OwnLog::Unknown)).unwrap_or_default();
        let (revoked, ends) = together(&by, &signatory);
        let undecided = Undecided {
            hash: item.receipt.hash(),
            claimed: statement.stamp.time(),
            revoked,
            ends,
            bracket: Bracket { not_before: self.floor.under(&issuer), not_after: sight.not_after },
            parents: statement.parents.clone(),
            anchor: statement.anchor.and_then(|anchor| logs?.anchor(&anchor)),
            issuer,
        };
        if !undecided.is_doubtful(self.graph) {
            return;
        }
        let (stream, index) = (statement.stream, statement.sequence);
        match undecided.decide(self.graph, self.strata) {
            Age::BeforeRevocation => {}
            // As long as nobody witnessed its end, every time of the stream is a claim, and the report says so.
            Age::ClaimedBefore if self.claimed.contains(&stream) => {}
            Age::ClaimedBefore => self.report.unproven(stream, index, None),
            Age::Unproven { lag } => self.report.unproven(stream, index, Some(lag)),
            Age::AfterRevocation => {
                let invalid = Invalid { code: "receipt.revoked", place: Place::Receipt { stream, index } };
                self.after = Some(Failure { order, invalid });
                self.end = order;
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

/// What a receipt follows from that is not near it in its own stream, an outcome's own decision apart; one that nobody
/// signed follows from nothing. Where there is one chain only, notes of other chains came along for their stream's sake,
/// without what they follow from.
fn elsewhere(item: &Item, check: &StreamCheck) -> Vec<ReceiptHash> {
    let statement = item.receipt.statement();
    if check.is_beside(statement) || !item.is_proven() {
        return Vec::new();
    }
    let own = usize::from(matches!(statement.event, Event::Outcome { .. }));
    let parents = statement.parents.iter().skip(own);
    parents.filter(|parent| !check.recent.holds(parent)).copied().collect()
}
