//! The members of a receipt as they are spelled, and the one way to write and to read them.
//!
//! Flat on purpose: JSON wants its keys in one ascending row whatever the phase is. What the members mean together
//! is [`super::Statement`]'s affair.

use super::control::{Control, ErasureReason, Seal, Totals};
use super::facts::{Anchor, Caller, ListUse, Mode, Outcome, Output, ProofOfPossession, Stamp};
use super::hash::ReceiptHash;
use super::record::StatementError;
use crate::digest::{Digest, unhex};
use crate::id::{AgentId, ChainId, StreamId};
use crate::json::{Object, ObjectWriter, Value, is_plain};
use crate::revocation::FeedHead;
use crate::time::UnixTime;

/// The members of one receipt, as spelled. Absent members are `None`, empty or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    pub(crate) act: Option<&'a str>,
    pub(crate) anchor: Option<Anchor>,
    pub(crate) caller: Option<Caller>,
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
    pub(crate) own_log: Option<Digest>,
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
            *parents.hashes.get_mut(parents.length)? = *hash.digest();
            parents.length += 1;
        }
        Some(parents)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.hashes.iter().take(self.length)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl<'a> Payload<'a> {
    /// A payload with nothing but its place in a stream.
    pub(crate) const fn at(phase: &'a str, stamp: Stamp) -> Self {
        Self {
            act: None,
            anchor: None,
            caller: None,
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
            own_log: None,
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
        if let Some(anchor) = &self.anchor {
            object.object("anc", |o| {
                o.number("n", anchor.size);
                o.hex("r", &anchor.root);
            });
        }
        if let Some(caller) = &self.caller {
            object.object("cal", |o| write_caller(o, caller));
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
        if let Some(own_log) = &self.own_log {
            object.digest("own", own_log);
        }
        if !self.parents.is_empty() {
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
    pub(super) fn read(text: &'a [u8]) -> Result<Self, StatementError> {
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
            anchor: take.object("anc")?.map(read_anchor).transpose()?,
            caller: take.object("cal")?.map(read_caller).transpose()?,
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
            own_log: take.digest("own")?,
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

fn write_caller(object: &mut ObjectWriter<'_>, caller: &Caller) {
    object.digest("c", &caller.certificate);
    object.text("p", caller.possession.word());
    object.text("s", &caller.agent.to_urn());
}

fn write_list(object: &mut ObjectWriter<'_>, list: &ListUse) {
    write_feed(object, list);
    object.digest("h", &list.digest);
    object.hex_number("n", &list.number);
    object.number("t", u64::try_from(list.this_update.seconds()).unwrap_or(0));
    object.number("u", u64::try_from(list.next_update.seconds()).unwrap_or(0));
}

fn write_feed(object: &mut ObjectWriter<'_>, list: &ListUse) {
    if let Some(head) = &list.feed {
        object.number("e", head.epoch());
        object.digest("f", &head.digest());
    }
}

fn write_control(object: &mut ObjectWriter<'_>, control: &Control) {
    match control {
        Control::Clock { forward, millis } => {
            object.text("kind", "clock");
            object.number(if *forward { "ms_forward" } else { "ms_back" }, *millis);
        }
        Control::Erased { count, digest, reason } => {
            object.number("count", *count);
            object.digest("digest", digest);
            object.text("kind", "erased");
            object.text("reason", reason.word());
        }
        Control::Join => object.text("kind", "join"),
        Control::List(list) => {
            write_feed(object, list);
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
        Control::Seal(seal) => {
            object.number("count", seal.count);
            object.number("first", seal.first);
            object.text("kind", "seal");
            object.digest("root", &seal.root);
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

fn read_caller(mut object: Object<'_>) -> Result<Caller, StatementError> {
    let mut take = Take(&mut object);
    let caller = Caller {
        certificate: Take::required(take.digest("c")?, "cal")?,
        possession: Take::required(take.word("p", ProofOfPossession::from_word)?, "cal")?,
        agent: Take::required(take.word("s", AgentId::from_urn)?, "cal")?,
    };
    finish(Some(&object), "cal")?;
    Ok(caller)
}

fn read_list(mut object: Object<'_>) -> Result<ListUse, StatementError> {
    let list = read_list_members(&mut Take(&mut object))?;
    finish(Some(&object), "crl")?;
    Ok(list)
}

fn read_list_members(take: &mut Take<'_, '_>) -> Result<ListUse, StatementError> {
    let number = take.word("n", read_hex_number)?;
    let feed = match (take.number("e")?, take.digest("f")?) {
        (None, None) => None,
        (Some(epoch), Some(digest)) => Some(FeedHead::new(epoch, digest).ok_or(StatementError::Member("e"))?),
        _ => return Err(StatementError::Member("e")),
    };
    Ok(ListUse {
        number: Take::required(number, "n")?,
        digest: Take::required(take.digest("h")?, "h")?,
        this_update: take.time("t")?,
        next_update: take.time("u")?,
        feed,
    })
}

/// Reads lower-case hexadecimal digits without leading zeros.
pub(super) fn read_hex_number(text: &str) -> Option<[u8; 20]> {
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
        Some("erased") => Control::Erased {
            count: Take::required(take.number("count")?, "count")?,
            digest: Take::required(take.digest("digest")?, "digest")?,
            reason: Take::required(take.word("reason", ErasureReason::from_word)?, "reason")?,
        },
        Some("join") => Control::Join,
        Some("list") => Control::List(read_list_members(&mut take)?),
        Some("recovered") => Control::Recovered {
            cut: Take::required(take.number("cut")?, "cut")?,
            unsigned: Take::required(take.number("unsigned")?, "unsigned")?,
            digest: Take::required(take.digest("digest")?, "digest")?,
        },
        Some("rotate") => Control::Rotate { next: Take::required(take.digest("next")?, "next")? },
        Some("seal") => Control::Seal(Seal {
            first: Take::required(take.number("first")?, "first")?,
            count: Take::required(take.number("count")?, "count")?,
            root: Take::required(take.digest("root")?, "root")?,
        }),
        _ => return Err(StatementError::Member("kind")),
    };
    finish(Some(&object), "ctl")?;
    Ok(control)
}

fn read_anchor(mut object: Object<'_>) -> Result<Anchor, StatementError> {
    let mut take = Take(&mut object);
    let anchor = Anchor {
        size: Take::required(take.number("n")?, "anc")?,
        root: Take::required(take.hex("r")?, "anc")?,
    };
    finish(Some(&object), "anc")?;
    Ok(anchor)
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
            Value::Text(text) => Digest::from_base64url(text).map(ReceiptHash::from_digest),
            _ => None,
        })
        .collect();
    hashes.and_then(|hashes| Parents::of(&hashes)).ok_or(wrong)
}

/// How many receipts one receipt may follow from; more need a join.
pub const MAX_PARENTS: usize = 8;

/// Keeps every payload below 4 KiB; a scope's pattern has 128 bytes, so real actions are far shorter.
const MAX_TEXT: usize = 1024;

const VERSION: u64 = 1;
