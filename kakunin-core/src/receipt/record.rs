//! What a receipt states.
//!
//! [`Payload`] is the flat record as it is spelled, member by member; [`Statement`] is the same after its phase was
//! understood. A statement is a claim and no evidence: evidence is a [`super::Receipt`], whose signature was checked.
//!
//! Members (WIRE 4, ascending): `act` action, `chn` chain, `cn` counter in stream and chain, `crl` list used {`h`
//! SHA-256 of TBSCertList, `n` number in hex, `t` thisUpdate, `u` nextUpdate}, `ctl` control, `dec` allow or deny,
//! `end` totals, `in` commitments to amount and currency, `log` stream, `mode`, `mono` boot id and monotonic
//! nanoseconds (as text, because nanoseconds outgrow a double after 104 days), `nonce`, `out` commitment to a result,
//! `par` parents, `ph` phase, `prev` previous receipt, `res` result, `seq`, `src` observer, `state`, `sub` agent,
//! `tgt` commitments to counterparties and resources, `tp` W3C traceparent, `ts` microseconds, `v` version, `why`
//! reason code, `written` amount by `as_written`.

use std::fmt;

use super::json::{NotExact, Object, ObjectWriter, Value, is_plain};
use crate::digest::{Digest, unhex};
use crate::id::{AgentId, ChainId, StreamId};
use crate::revocation::RevocationList;
use crate::time::UnixTime;

/// The name of a receipt, and of the decision it records: SHA-256 of its JWS signing input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptHash(Digest);

impl ReceiptHash {
    /// Takes a digest that is known to be a receipt's, for example from a call's headers.
    #[must_use]
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The hash of `signing_input`.
    #[must_use]
    pub fn of(signing_input: &[u8]) -> Self {
        Self(Digest::of(signing_input))
    }

    /// The digest.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.0
    }

    /// Whether the hexadecimal form starts with `prefix`, as people abbreviate it: four digits at least.
    #[must_use]
    pub fn starts_with(&self, prefix: &str) -> bool {
        prefix.len() >= 4 && self.0.to_hex().starts_with(prefix)
    }
}

impl fmt::Display for ReceiptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ReceiptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptHash({})", self.0)
    }
}

/// The clocks at the moment of a receipt, read by whoever owns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Microseconds since the Unix epoch, as this machine claims.
    pub micros: i64,
    /// The kernel's boot identifier.
    pub boot: [u8; 16],
    /// Nanoseconds of the monotonic clock since that boot.
    pub mono_nanos: u64,
}

impl Stamp {
    /// The claimed second.
    #[must_use]
    pub const fn time(&self) -> UnixTime {
        UnixTime::from_seconds(self.micros.div_euclid(1_000_000))
    }
}

/// The revocation list a decision was made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListUse {
    /// Its CRLNumber, big-endian and right-aligned, so that comparing arrays compares numbers.
    pub number: [u8; 20],
    /// SHA-256 of its TBSCertList, which is also its name in the archive.
    pub digest: Digest,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
}

impl ListUse {
    /// The use of `list`; make it once when the list is taken up, not for each decision.
    #[must_use]
    pub fn of(list: &RevocationList) -> Self {
        Self {
            // INVARIANT: a number has at most 20 octets and is its own hexadecimal text.
            number: read_hex_number(&list.number().to_hex()).unwrap_or([0; 20]),
            digest: list.digest(),
            this_update: list.this_update(),
            next_update: list.next_update(),
        }
    }
}

/// What a decision was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A denial stops the action.
    Enforce,
    /// A denial is recorded and the action runs all the same.
    Observe,
    /// A question; no action follows.
    Check,
}

impl Mode {
    /// The word in receipts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Check => "check",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Enforce, Self::Observe, Self::Check].into_iter().find(|mode| mode.word() == word)
    }
}

/// How an action ended, as the guard saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The body returned.
    Returned,
    /// The body raised or returned an error.
    Raised,
    /// The body was cancelled.
    Cancelled,
    /// The body says that nothing was done.
    NotExecuted,
    /// Nobody can say.
    Unknown,
}

impl Outcome {
    /// The word in receipts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Raised => "raised",
            Self::Cancelled => "cancelled",
            Self::NotExecuted => "not_executed",
            Self::Unknown => "unknown",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Returned, Self::Raised, Self::Cancelled, Self::NotExecuted, Self::Unknown]
            .into_iter()
            .find(|outcome| outcome.word() == word)
    }
}

/// A salted commitment to the bytes of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The commitment.
    pub digest: Digest,
    /// How many bytes the result has.
    pub length: u64,
}

/// What happened to a stream itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// The machine's clock moved by this many milliseconds against the monotonic one.
    Clock {
        /// Forward or back.
        forward: bool,
        /// By how much.
        millis: u64,
    },
    /// A new revocation list is in use.
    List(ListUse),
    /// An abandoned stream was found; its unsigned receipts are counted and never signed.
    Recovered {
        /// Bytes of a torn tail that were cut.
        cut: u64,
        /// Receipts without a signature.
        unsigned: u64,
        /// RFC 6962 root over their hashes, in order.
        digest: Digest,
    },
    /// The old key names the certificate that signs from the next receipt on.
    Rotate {
        /// SHA-256 of the next certificate.
        next: Digest,
    },
}

/// What a closing receipt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Decisions that allowed.
    pub allow: u64,
    /// Decisions that denied.
    pub deny: u64,
    /// Outcomes.
    pub outcome: u64,
    /// Chains that took part.
    pub chains: u64,
    /// RFC 6962 root over `<chain> <last counter>`, ascending: shows the length of one chain without the others.
    pub chains_root: Digest,
}

/// The two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Allowed.
    Allow,
    /// Denied, with the stable code of the reason.
    Deny(String),
}

/// The members of one receipt, as spelled. Absent members are `None`, empty or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    pub(crate) act: Option<&'a str>,
    pub(crate) chain: Option<(ChainId, Option<u64>)>,
    pub(crate) list: Option<ListUse>,
    pub(crate) control: Option<Control>,
    pub(crate) dec: Option<&'a str>,
    pub(crate) totals: Option<Totals>,
    pub(crate) amount: Option<Digest>,
    pub(crate) currency: Option<Digest>,
    pub(crate) stream: StreamId,
    pub(crate) mode: Option<Mode>,
    pub(crate) stamp: Stamp,
    pub(crate) nonce: Option<[u8; 16]>,
    pub(crate) output: Option<Output>,
    pub(crate) parents: Parents,
    pub(crate) phase: &'a str,
    pub(crate) previous: Digest,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) sequence: u64,
    pub(crate) observer: Option<&'a str>,
    pub(crate) memory: bool,
    pub(crate) subject: &'a str,
    pub(crate) counterparties: Option<Digest>,
    pub(crate) resources: Option<Digest>,
    pub(crate) trace: Option<&'a str>,
    pub(crate) why: Option<&'a str>,
    pub(crate) written: bool,
}

/// Up to eight parents, kept in place so that a receipt needs no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parents {
    hashes: [Digest; MAX_PARENTS],
    length: usize,
}

impl Parents {
    pub(crate) const NONE: Self = Self { hashes: [Digest::from_bytes([0; 32]); MAX_PARENTS], length: 0 };

    /// At most eight; more are `None`.
    pub(crate) fn of(hashes: &[ReceiptHash]) -> Option<Self> {
        let mut parents = Self::NONE;
        for hash in hashes {
            *parents.hashes.get_mut(parents.length)? = hash.0;
            parents.length += 1;
        }
        Some(parents)
    }

    fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.hashes.iter().take(self.length)
    }
}

impl<'a> Payload<'a> {
    /// A payload with nothing but its place in a stream.
    pub(crate) const fn at(phase: &'a str, stamp: Stamp) -> Self {
        Self {
            act: None,
            chain: None,
            list: None,
            control: None,
            dec: None,
            totals: None,
            amount: None,
            currency: None,
            stream: StreamId::from_bytes([0; 16]),
            mode: None,
            stamp,
            nonce: None,
            output: None,
            parents: Parents::NONE,
            phase,
            previous: Digest::from_bytes([0; 32]),
            outcome: None,
            sequence: 0,
            observer: None,
            memory: false,
            subject: "",
            counterparties: None,
            resources: None,
            trace: None,
            why: None,
            written: false,
        }
    }

    /// Appends the JSON to `out`. Text that may not stand in a receipt leaves its member out.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let plain = |text: &Option<&'a str>| text.filter(|t| t.len() <= MAX_TEXT && is_plain(t));
        let mut object = ObjectWriter::new(out);
        if let Some(act) = plain(&self.act) {
            object.text("act", act);
        }
        if let Some((chain, counter)) = &self.chain {
            object.hex("chn", chain.as_bytes());
            if let Some(counter) = counter {
                object.number("cn", *counter);
            }
        }
        if let Some(list) = &self.list {
            object.object("crl", |o| write_list(o, list));
        }
        if let Some(control) = &self.control {
            object.object("ctl", |o| write_control(o, control));
        }
        if let Some(dec) = self.dec {
            object.text("dec", dec);
        }
        if let Some(totals) = &self.totals {
            object.object("end", |o| write_totals(o, totals));
        }
        if self.amount.is_some() || self.currency.is_some() {
            object.object("in", |o| write_pair(o, ("amount", &self.amount), ("currency", &self.currency)));
        }
        object.hex("log", self.stream.as_bytes());
        if let Some(mode) = self.mode {
            object.text("mode", mode.word());
        }
        object.hex_and_number("mono", &self.stamp.boot, self.stamp.mono_nanos);
        if let Some(nonce) = &self.nonce {
            object.hex("nonce", nonce);
        }
        if let Some(output) = &self.output {
            object.object("out", |o| {
                o.digest("h", &output.digest);
                o.number("len", output.length);
            });
        }
        if self.parents.length > 0 {
            object.digests("par", self.parents.iter());
        }
        object.text("ph", self.phase);
        object.digest("prev", &self.previous);
        if let Some(outcome) = self.outcome {
            object.text("res", outcome.word());
        }
        object.number("seq", self.sequence);
        if let Some(observer) = plain(&self.observer) {
            object.text("src", observer);
        }
        if self.memory {
            object.text("state", "memory");
        }
        object.text("sub", self.subject);
        if self.counterparties.is_some() || self.resources.is_some() {
            let parties = ("counterparties", &self.counterparties);
            object.object("tgt", |o| write_pair(o, parties, ("resources", &self.resources)));
        }
        if let Some(trace) = plain(&self.trace) {
            object.text("tp", trace);
        }
        object.number("ts", u64::try_from(self.stamp.micros).unwrap_or(0));
        object.number("v", VERSION);
        if let Some(why) = plain(&self.why) {
            object.text("why", why);
        }
        if self.written {
            object.yes("written");
        }
        object.close();
    }

    /// Reads what [`Payload::write`] wrote and nothing else.
    fn read(text: &'a [u8]) -> Result<Self, StatementError> {
        let mut object = Object::parse(text)?;
        let version = Take(&mut object).number("v")?.ok_or(StatementError::Member("v"))?;
        if version != VERSION {
            return Err(StatementError::Version(version));
        }
        let mut take = Take(&mut object);
        let counter = take.number("cn")?;
        let chain = take.hex("chn")?.map(|chain| (ChainId::from_bytes(chain), counter));
        if chain.is_none() && counter.is_some() {
            return Err(StatementError::Member("cn"));
        }
        let mut inputs = take.object("in")?;
        let mut targets = take.object("tgt")?;
        let payload = Self {
            act: take.text("act")?,
            chain,
            list: take.object("crl")?.map(read_list).transpose()?,
            control: take.object("ctl")?.map(read_control).transpose()?,
            dec: take.text("dec")?,
            totals: take.object("end")?.map(read_totals).transpose()?,
            amount: read_half(&mut inputs, "amount")?,
            currency: read_half(&mut inputs, "currency")?,
            stream: StreamId::from_bytes(take.hex("log")?.ok_or(StatementError::Member("log"))?),
            mode: take.word("mode", Mode::from_word)?,
            stamp: read_stamp(&mut take)?,
            nonce: take.hex("nonce")?,
            output: take.object("out")?.map(read_output).transpose()?,
            parents: read_parents(take.0.take("par"))?,
            phase: take.text("ph")?.ok_or(StatementError::Member("ph"))?,
            previous: take.digest("prev")?.ok_or(StatementError::Member("prev"))?,
            outcome: take.word("res", Outcome::from_word)?,
            sequence: take.number("seq")?.ok_or(StatementError::Member("seq"))?,
            observer: take.text("src")?,
            memory: take.word("state", |word| (word == "memory").then_some(true))?.unwrap_or(false),
            subject: take.text("sub")?.ok_or(StatementError::Member("sub"))?,
            counterparties: read_half(&mut targets, "counterparties")?,
            resources: read_half(&mut targets, "resources")?,
            trace: take.text("tp")?,
            why: take.text("why")?,
            written: match take.0.take("written") {
                None => false,
                Some(Value::Yes) => true,
                Some(_) => return Err(StatementError::Member("written")),
            },
        };
        finish(inputs.as_ref(), "in")?;
        finish(targets.as_ref(), "tgt")?;
        finish(Some(&object), "unknown")?;
        Ok(payload)
    }
}

/// What one receipt states about itself and about what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place there, without gaps from 0.
    pub sequence: u64,
    /// The hash of the receipt before; for the first one, of certificate and nonce.
    pub previous: Digest,
    /// Whose receipt it is.
    pub agent: AgentId,
    /// The clocks, as claimed.
    pub stamp: Stamp,
    /// The decision chain, and the counter in this stream and chain.
    pub chain: Option<(ChainId, Option<u64>)>,
    /// Receipts this one follows from.
    pub parents: Vec<ReceiptHash>,
    /// Whether the agent kept its state in memory only.
    pub memory: bool,
    /// W3C traceparent.
    pub trace: Option<String>,
    /// What happened.
    pub event: Event,
}

/// What happened, by phase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The stream begins.
    Open {
        /// Fresh for each opening.
        nonce: [u8; 16],
    },
    /// A request was judged.
    Decision {
        /// The action, when it was a well-formed name.
        action: Option<String>,
        /// The answer.
        answer: Answer,
        /// What it was for.
        mode: Mode,
        /// The list it was made by; none only if there was none.
        list: Option<ListUse>,
        /// Commitment to the amount.
        amount: Option<Digest>,
        /// Commitment to the currency.
        currency: Option<Digest>,
        /// Commitment to the counterparties.
        counterparties: Option<Digest>,
        /// Commitment to the resources.
        resources: Option<Digest>,
        /// Whether the amount was a host number, read by `as_written`.
        as_written: bool,
    },
    /// An action ended; its decision is the first parent.
    Outcome {
        /// The decision.
        decision: ReceiptHash,
        /// How it ended.
        outcome: Outcome,
        /// Who saw it.
        observer: String,
        /// Commitment to the result.
        output: Option<Output>,
    },
    /// Something about the stream.
    Control(Control),
    /// The stream ends.
    Close {
        /// The counts; a stream closed by recovery has none.
        totals: Option<Totals>,
    },
}

impl Statement {
    /// Understands the payload of a receipt.
    ///
    /// # Errors
    /// Bytes that are not the one spelling of a known version, members that do not belong to the phase.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let read = Payload::read(payload)?;
        let event = Self::event(&read)?;
        // One spelling: whatever the phase does not own would be lost in this comparison.
        let mut only = Payload::at(read.phase, read.stamp);
        only.chain = read.chain;
        only.stream = read.stream;
        only.previous = read.previous;
        only.sequence = read.sequence;
        only.memory = read.memory;
        only.subject = read.subject;
        only.trace = read.trace;
        only.parents = read.parents;
        match &event {
            Event::Open { .. } => only.nonce = read.nonce,
            Event::Control(_) => only.control = read.control,
            Event::Close { .. } => only.totals = read.totals,
            Event::Outcome { .. } => {
                only.outcome = read.outcome;
                only.observer = read.observer;
                only.output = read.output;
            }
            Event::Decision { .. } => {
                only.act = read.act;
                only.list = read.list;
                only.dec = read.dec;
                only.mode = read.mode;
                only.why = read.why;
                only.written = read.written;
                only.amount = read.amount;
                only.currency = read.currency;
                only.counterparties = read.counterparties;
                only.resources = read.resources;
            }
        }
        if only != read {
            return Err(StatementError::Phase);
        }
        Ok(Self {
            stream: read.stream,
            sequence: read.sequence,
            previous: read.previous,
            agent: AgentId::from_urn(read.subject).ok_or(StatementError::Member("sub"))?,
            stamp: read.stamp,
            chain: read.chain,
            parents: read.parents.iter().copied().map(ReceiptHash).collect(),
            memory: read.memory,
            trace: read.trace.map(str::to_owned),
            event,
        })
    }

    fn event(read: &Payload<'_>) -> Result<Event, StatementError> {
        match read.phase {
            OPEN => Ok(Event::Open { nonce: read.nonce.ok_or(StatementError::Member("nonce"))? }),
            DECISION => Ok(Event::Decision {
                action: read.act.map(str::to_owned),
                answer: match (read.dec, read.why) {
                    (Some("allow"), None) => Answer::Allow,
                    (Some("deny"), Some(why)) => Answer::Deny(why.to_owned()),
                    _ => return Err(StatementError::Member("dec")),
                },
                mode: read.mode.ok_or(StatementError::Member("mode"))?,
                list: read.list,
                amount: read.amount,
                currency: read.currency,
                counterparties: read.counterparties,
                resources: read.resources,
                as_written: read.written,
            }),
            OUTCOME => Ok(Event::Outcome {
                decision: ReceiptHash(*read.parents.iter().next().ok_or(StatementError::Member("par"))?),
                outcome: read.outcome.ok_or(StatementError::Member("res"))?,
                observer: read.observer.ok_or(StatementError::Member("src"))?.to_owned(),
                output: read.output,
            }),
            CONTROL => Ok(Event::Control(read.control.ok_or(StatementError::Member("ctl"))?)),
            CLOSE => Ok(Event::Close { totals: read.totals }),
            _ => Err(StatementError::Phase),
        }
    }
}

/// A payload that is no receipt of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Not the exact JSON of receipts.
    #[error("not the exact JSON of a receipt at byte {at}")]
    Json {
        /// Where.
        at: usize,
    },
    /// Another version.
    #[error("receipt version {0} is not known")]
    Version(u64),
    /// A member that is missing, of the wrong form or unknown.
    #[error("member `{0}` is missing, malformed or out of place")]
    Member(&'static str),
    /// An unknown phase, or members of another one.
    #[error("the phase does not fit the members")]
    Phase,
}

impl From<NotExact> for StatementError {
    fn from(NotExact { at }: NotExact) -> Self {
        Self::Json { at }
    }
}

fn write_list(object: &mut ObjectWriter<'_>, list: &ListUse) {
    object.digest("h", &list.digest);
    object.hex_number("n", &list.number);
    object.number("t", u64::try_from(list.this_update.seconds()).unwrap_or(0));
    object.number("u", u64::try_from(list.next_update.seconds()).unwrap_or(0));
}

fn write_control(object: &mut ObjectWriter<'_>, control: &Control) {
    match control {
        Control::Clock { forward, millis } => {
            object.text("kind", "clock");
            object.number(if *forward { "ms_forward" } else { "ms_back" }, *millis);
        }
        Control::List(list) => {
            object.digest("h", &list.digest);
            object.text("kind", "list");
            object.hex_number("n", &list.number);
            object.number("t", u64::try_from(list.this_update.seconds()).unwrap_or(0));
            object.number("u", u64::try_from(list.next_update.seconds()).unwrap_or(0));
        }
        Control::Recovered { cut, unsigned, digest } => {
            object.number("cut", *cut);
            object.digest("digest", digest);
            object.text("kind", "recovered");
            object.number("unsigned", *unsigned);
        }
        Control::Rotate { next } => {
            object.text("kind", "rotate");
            object.digest("next", next);
        }
    }
}

fn write_totals(object: &mut ObjectWriter<'_>, totals: &Totals) {
    object.number("allow", totals.allow);
    object.number("chains", totals.chains);
    object.number("deny", totals.deny);
    object.number("outcome", totals.outcome);
    object.digest("root", &totals.chains_root);
}

fn write_pair(
    object: &mut ObjectWriter<'_>,
    first: (&str, &Option<Digest>),
    second: (&str, &Option<Digest>),
) {
    for (name, digest) in [first, second] {
        if let Some(digest) = digest {
            object.digest(name, digest);
        }
    }
}

/// Takes members of the forms that receipts know; a member of another form is an error with its name.
struct Take<'o, 'a>(&'o mut Object<'a>);

impl<'a> Take<'_, 'a> {
    fn text(&mut self, key: &'static str) -> Result<Option<&'a str>, StatementError> {
        match self.0.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(StatementError::Member(key)),
        }
    }

    fn number(&mut self, key: &'static str) -> Result<Option<u64>, StatementError> {
        match self.0.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(StatementError::Member(key)),
        }
    }

    fn object(&mut self, key: &'static str) -> Result<Option<Object<'a>>, StatementError> {
        match self.0.take(key) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(StatementError::Member(key)),
        }
    }

    fn word<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StatementError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        read(text).ok_or(StatementError::Member(key)).map(Some)
    }

    fn digest(&mut self, key: &'static str) -> Result<Option<Digest>, StatementError> {
        self.word(key, Digest::from_base64url)
    }

    fn hex(&mut self, key: &'static str) -> Result<Option<[u8; 16]>, StatementError> {
        self.word(key, unhex)
    }

    fn time(&mut self, key: &'static str) -> Result<UnixTime, StatementError> {
        let seconds = self.number(key)?.and_then(|s| i64::try_from(s).ok());
        seconds.map(UnixTime::from_seconds).ok_or(StatementError::Member(key))
    }

    fn required<T>(value: Option<T>, key: &'static str) -> Result<T, StatementError> {
        value.ok_or(StatementError::Member(key))
    }
}

fn finish(object: Option<&Object<'_>>, name: &'static str) -> Result<(), StatementError> {
    if object.is_none_or(Object::is_empty) { Ok(()) } else { Err(StatementError::Member(name)) }
}

fn read_stamp(take: &mut Take<'_, '_>) -> Result<Stamp, StatementError> {
    let (boot, mono_nanos) = take
        .word("mono", |text| {
            let (boot, nanos) = text.split_once(':')?;
            let number: u64 = nanos.parse().ok()?;
            (number.to_string() == nanos).then_some((unhex(boot)?, number))
        })?
        .ok_or(StatementError::Member("mono"))?;
    let micros = take.number("ts")?.and_then(|ts| i64::try_from(ts).ok());
    Ok(Stamp { micros: micros.ok_or(StatementError::Member("ts"))?, boot, mono_nanos })
}

fn read_list(mut object: Object<'_>) -> Result<ListUse, StatementError> {
    let list = read_list_members(&mut Take(&mut object))?;
    finish(Some(&object), "crl")?;
    Ok(list)
}

fn read_list_members(take: &mut Take<'_, '_>) -> Result<ListUse, StatementError> {
    let number = take.word("n", read_hex_number)?;
    Ok(ListUse {
        number: Take::required(number, "n")?,
        digest: Take::required(take.digest("h")?, "h")?,
        this_update: take.time("t")?,
        next_update: take.time("u")?,
    })
}

/// Reads lower-case hexadecimal digits without leading zeros.
fn read_hex_number(text: &str) -> Option<[u8; 20]> {
    let shortest = text == "0" || (!text.is_empty() && !text.starts_with('0'));
    if shortest && text.len() <= 40 { unhex(&format!("{text:0>40}")) } else { None }
}

fn read_control(mut object: Object<'_>) -> Result<Control, StatementError> {
    let mut take = Take(&mut object);
    let control = match take.text("kind")? {
        Some("clock") => match (take.number("ms_forward")?, take.number("ms_back")?) {
            (Some(millis), None) => Control::Clock { forward: true, millis },
            (None, Some(millis)) => Control::Clock { forward: false, millis },
            _ => return Err(StatementError::Member("ctl")),
        },
        Some("list") => Control::List(read_list_members(&mut take)?),
        Some("recovered") => Control::Recovered {
            cut: Take::required(take.number("cut")?, "cut")?,
            unsigned: Take::required(take.number("unsigned")?, "unsigned")?,
            digest: Take::required(take.digest("digest")?, "digest")?,
        },
        Some("rotate") => Control::Rotate { next: Take::required(take.digest("next")?, "next")? },
        _ => return Err(StatementError::Member("kind")),
    };
    finish(Some(&object), "ctl")?;
    Ok(control)
}

fn read_totals(mut object: Object<'_>) -> Result<Totals, StatementError> {
    let mut take = Take(&mut object);
    let totals = Totals {
        allow: Take::required(take.number("allow")?, "end")?,
        deny: Take::required(take.number("deny")?, "end")?,
        outcome: Take::required(take.number("outcome")?, "end")?,
        chains: Take::required(take.number("chains")?, "end")?,
        chains_root: Take::required(take.digest("root")?, "end")?,
    };
    finish(Some(&object), "end")?;
    Ok(totals)
}

fn read_output(mut object: Object<'_>) -> Result<Output, StatementError> {
    let mut take = Take(&mut object);
    let output = Output {
        digest: Take::required(take.digest("h")?, "out")?,
        length: Take::required(take.number("len")?, "out")?,
    };
    finish(Some(&object), "out")?;
    Ok(output)
}

fn read_half(pair: &mut Option<Object<'_>>, key: &'static str) -> Result<Option<Digest>, StatementError> {
    pair.as_mut().map_or(Ok(None), |object| Take(object).digest(key))
}

fn read_parents(value: Option<Value<'_>>) -> Result<Parents, StatementError> {
    let wrong = StatementError::Member("par");
    let items = match value {
        None => return Ok(Parents::NONE),
        Some(Value::List(items)) if !items.is_empty() => items,
        Some(_) => return Err(wrong),
    };
    let hashes: Option<Vec<_>> = items
        .iter()
        .map(|item| match item {
            Value::Text(text) => Digest::from_base64url(text).map(ReceiptHash),
            _ => None,
        })
        .collect();
    hashes.and_then(|hashes| Parents::of(&hashes)).ok_or(wrong)
}

pub(crate) const OPEN: &str = "open";
pub(crate) const DECISION: &str = "decision";
pub(crate) const OUTCOME: &str = "outcome";
pub(crate) const CONTROL: &str = "ctl";
pub(crate) const CLOSE: &str = "close";

/// The reference's bound on edges of the decision graph; more parents need a join.
pub(crate) const MAX_PARENTS: usize = 8;

/// Keeps every payload below 4 KiB; a scope's pattern has 128 bytes, so real actions are far shorter.
const MAX_TEXT: usize = 1024;

const VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp { micros: 1_795_000_000_123_456, boot: [7; 16], mono_nanos: u64::MAX }
    }

    fn list() -> ListUse {
        ListUse {
            number: read_hex_number("1f").unwrap(),
            digest: Digest::of(b"list"),
            this_update: UnixTime::from_seconds(1),
            next_update: UnixTime::from_seconds(2),
        }
    }

    fn subject() -> String {
        AgentId::from_random([1; 16]).to_urn()
    }

    fn full<'a>(phase: &'a str, subject: &'a str) -> Payload<'a> {
        let mut payload = Payload::at(phase, stamp());
        payload.subject = subject;
        payload.chain = Some((ChainId::from_bytes([3; 16]), Some(4)));
        payload.parents = Parents::of(&[ReceiptHash::of(b"p"), ReceiptHash::of(b"q")]).unwrap();
        payload.trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        payload.memory = true;
        payload
    }

    fn written(payload: &Payload<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        payload.write(&mut out);
        out
    }

    #[test]
    fn each_phase_is_read_as_it_was_written() {
        let subject = subject();
        let mut decision = full(DECISION, &subject);
        decision.act = Some("payments:send");
        decision.list = Some(list());
        decision.dec = Some("deny");
        decision.why = Some("scope.amount");
        decision.mode = Some(Mode::Enforce);
        decision.amount = Some(Digest::of(b"a"));
        decision.currency = Some(Digest::of(b"c"));
        decision.counterparties = Some(Digest::of(b"n"));
        decision.resources = Some(Digest::of(b"r"));
        decision.written = true;
        let mut outcome = full(OUTCOME, &subject);
        outcome.outcome = Some(Outcome::Raised);
        outcome.observer = Some("guard");
        outcome.output = Some(Output { digest: Digest::of(b"o"), length: 9 });
        let mut open = full(OPEN, &subject);
        open.nonce = Some([9; 16]);
        let mut close = full(CLOSE, &subject);
        close.totals =
            Some(Totals { allow: 1, deny: 2, outcome: 3, chains: 4, chains_root: Digest::of(b"") });
        for payload in [decision, outcome, open, close] {
            let text = written(&payload);
            assert_eq!(Payload::read(&text), Ok(payload.clone()), "{}", String::from_utf8_lossy(&text));
            assert!(Statement::parse(&text).is_ok());
        }
        for control in [
            Control::Clock { forward: true, millis: 5 },
            Control::Clock { forward: false, millis: 5 },
            Control::List(list()),
            Control::Recovered { cut: 1, unsigned: 2, digest: Digest::of(b"") },
            Control::Rotate { next: Digest::of(b"") },
        ] {
            let mut payload = full(CONTROL, &subject);
            payload.control = Some(control);
            let read = Statement::parse(&written(&payload)).unwrap();
            assert_eq!(read.event, Event::Control(control));
        }
    }

    #[test]
    fn members_of_another_phase_versions_and_unknown_members_are_refused() {
        let subject = subject();
        let mut open = full(OPEN, &subject);
        open.nonce = Some([9; 16]);
        let right = String::from_utf8(written(&open)).unwrap();
        assert!(Statement::parse(right.as_bytes()).is_ok());
        open.mode = Some(Mode::Check);
        assert_eq!(Statement::parse(&written(&open)), Err(StatementError::Phase));
        for (from, to) in [
            (r#""v":1"#, r#""v":2"#),
            (r#""v":1"#, r#""v":1,"x":1"#),
            (r#""ph":"open""#, r#""ph":"begin""#),
            (r#""cn":4,"#, r#""cn":"4","#),
            (r#""state":"memory""#, r#""state":"disk""#),
            ("urn:kakunin:agent:", "urn:other:agent:"),
            (":18446744073709551615", ":018446744073709551615"),
        ] {
            let wrong = right.replace(from, to);
            assert_ne!(wrong, right);
            assert!(Statement::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_that_could_break_the_form_is_left_out() {
        let subject = subject();
        let mut payload = full(DECISION, &subject);
        payload.dec = Some("allow");
        payload.mode = Some(Mode::Enforce);
        payload.act = Some("a\",\"dec\":\"deny");
        assert!(matches!(
            Statement::parse(&written(&payload)).unwrap().event,
            Event::Decision { action: None, .. }
        ));
    }

    #[test]
    fn a_ninth_parent_is_refused() {
        assert!(Parents::of(&[ReceiptHash::of(b"p"); 8]).is_some());
        assert!(Parents::of(&[ReceiptHash::of(b"p"); 9]).is_none());
    }

    #[test]
    fn hashes_are_abbreviated_to_four_digits_or_more() {
        let hash = ReceiptHash::of(b"abc");
        assert!(hash.starts_with("ba78") && hash.starts_with(&hash.to_string()));
        assert!(!hash.starts_with("ba7") && !hash.starts_with("ba79"));
    }
}
