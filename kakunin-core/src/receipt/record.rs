//! What a receipt states.
//!
//! `payload` spells it, member by member; [`Statement`] is the same after its phase was understood. A statement is a claim and no evidence: evidence is a [`super::Receipt`], whose signature was checked.
//!
//! Members (WIRE 4, ascending): `act` action, `anc` checkpoint known {`n` size, `r` half of the root}, `cal` the agent that asked {`c` certificate, `p` how it proved its key, `s` who}, `chn` chain, `cn` counter in stream and chain, `crl` list used {`e` epoch and `f` head of its feed, `h`
//! SHA-256 of TBSCertList, `n` number in hex, `t` thisUpdate, `u` nextUpdate}, `ctl` control, `dec` allow or deny,
//! `end` totals, `in` commitments to amount and currency, `log` stream, `mode`, `mono` boot id and monotonic
//! nanoseconds (as text, because nanoseconds outgrow a double after 104 days), `nonce`, `out` commitment to a result,
//! `own` log run by the agent, `par` parents, `ph` phase, `prev` previous receipt, `res` result, `seq`, `src` observer, `state`, `sub` agent,
//! `tgt` commitments to counterparties and resources, `tp` W3C traceparent, `ts` microseconds, `v` version, `why`
//! reason code, `written` amount by `as_written`.

use super::control::{Control, Totals};
use super::facts::{Anchor, Caller, ListUse, Mode, Outcome, Output, Stamp};
use super::hash::ReceiptHash;
use super::payload::Payload;
use crate::digest::Digest;
use crate::id::{AgentId, ChainId, StreamId};
use crate::json::NotExact;
/// The two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Allowed.
    Allow,
    /// Denied, with the stable code of the reason.
    Deny(String),
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
    /// The checkpoint of a log that the writer knew.
    pub anchor: Option<Anchor>,
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
        /// SHA-256 of the verifier key of a log that the agent runs itself: being in it proves nothing to others.
        own_log: Option<Digest>,
    },
    /// A request was judged.
    Decision {
        /// The other agent that asked, if this is the decision of a gateway. Then the answer is by that agent's certificate
        /// and standing, and the receipt's own agent is the gateway.
        caller: Option<Box<Caller>>,
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

impl Event {
    /// The values it commits to, each by its name.
    pub fn commitments(&self) -> impl Iterator<Item = (&'static str, Digest)> {
        let four = match self {
            Self::Decision { amount, currency, counterparties, resources, .. } => [
                ("amount", *amount),
                ("currency", *currency),
                ("counterparties", *counterparties),
                ("resources", *resources),
            ],
            Self::Outcome { output: Some(output), .. } => {
                [("output", Some(output.digest)), ("", None), ("", None), ("", None)]
            }
            _ => [("", None); 4],
        };
        four.into_iter().filter_map(|(name, digest)| Some((name, digest?)))
    }

    /// The list that it names, as what was decided by or as what is taken up.
    #[must_use]
    pub const fn list(&self) -> Option<&ListUse> {
        match self {
            Self::Decision { list: Some(list), .. } | Self::Control(Control::List(list)) => Some(list),
            _ => None,
        }
    }

    /// The agent whose certificate a decision is by, if that is not the one that signs.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Decision { caller, .. } => caller.as_deref(),
            _ => None,
        }
    }

    /// Whether the signature of a seal is enough for it. Beginning and end of a stream, the places where its key
    /// changes and the seals themselves are signed one by one.
    #[must_use]
    pub const fn may_be_sealed(&self) -> bool {
        !matches!(
            self,
            Self::Open { .. }
                | Self::Close { .. }
                | Self::Control(Control::Seal(_) | Control::Rotate { .. } | Control::Recovered { .. })
        )
    }
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
        only.anchor = read.anchor;
        only.chain = read.chain;
        only.stream = read.stream;
        only.previous = read.previous;
        only.sequence = read.sequence;
        only.memory = read.memory;
        only.subject = read.subject;
        only.trace = read.trace;
        only.parents = read.parents;
        match &event {
            Event::Open { .. } => {
                only.nonce = read.nonce;
                only.own_log = read.own_log;
            }
            Event::Control(_) => only.control = read.control,
            Event::Close { .. } => only.totals = read.totals,
            Event::Outcome { .. } => {
                only.outcome = read.outcome;
                only.observer = read.observer;
                only.output = read.output;
            }
            Event::Decision { .. } => {
                only.act = read.act;
                only.caller = read.caller;
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
            anchor: read.anchor,
            parents: read.parents.iter().copied().map(ReceiptHash::from_digest).collect(),
            memory: read.memory,
            trace: read.trace.map(str::to_owned),
            event,
        })
    }

    fn event(read: &Payload<'_>) -> Result<Event, StatementError> {
        match read.phase {
            OPEN => Ok(Event::Open {
                nonce: read.nonce.ok_or(StatementError::Member("nonce"))?,
                own_log: read.own_log,
            }),
            DECISION => Ok(Event::Decision {
                caller: read.caller.map(Box::new),
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
                decision: ReceiptHash::from_digest(
                    *read.parents.iter().next().ok_or(StatementError::Member("par"))?,
                ),
                outcome: read.outcome.ok_or(StatementError::Member("res"))?,
                observer: read.observer.ok_or(StatementError::Member("src"))?.to_owned(),
                output: read.output,
            }),
            CONTROL => match read.control {
                Some(Control::Join) if read.parents.is_empty() => Err(StatementError::Member("par")),
                Some(Control::Seal(seal)) if !seal.ends_before(read.sequence) => {
                    Err(StatementError::Member("ctl"))
                }
                Some(control) => Ok(Event::Control(control)),
                None => Err(StatementError::Member("ctl")),
            },
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

pub(crate) const OPEN: &str = "open";
pub(crate) const DECISION: &str = "decision";
pub(crate) const OUTCOME: &str = "outcome";
pub(crate) const CONTROL: &str = "ctl";
pub(crate) const CLOSE: &str = "close";

#[cfg(test)]
mod tests {
    use super::super::control::{ErasureReason, Seal};
    use super::super::facts::ProofOfPossession;
    use super::super::payload::{Parents, read_hex_number};
    use super::*;
    use crate::revocation::FeedHead;
    use crate::time::UnixTime;

    fn stamp() -> Stamp {
        Stamp { micros: 1_795_000_000_123_456, boot: [7; 16], mono_nanos: u64::MAX }
    }

    fn list() -> ListUse {
        ListUse {
            number: read_hex_number("1f").unwrap(),
            digest: Digest::of(b"list"),
            this_update: UnixTime::from_seconds(1),
            next_update: UnixTime::from_seconds(2),
            feed: None,
        }
    }

    fn caller() -> Caller {
        Caller {
            certificate: Digest::of(b"certificate"),
            possession: ProofOfPossession::Signature,
            agent: AgentId::from_random([2; 16]),
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
        payload.anchor = Some(Anchor { size: 70_000, root: [0xab; 16] });
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
        let mut called = decision.clone();
        called.caller = Some(caller());
        let mut fed = decision.clone();
        fed.list = Some(list().with_feed(FeedHead::START));
        let mut outcome = full(OUTCOME, &subject);
        outcome.outcome = Some(Outcome::Raised);
        outcome.observer = Some("guard");
        outcome.output = Some(Output { digest: Digest::of(b"o"), length: 9 });
        let mut open = full(OPEN, &subject);
        open.nonce = Some([9; 16]);
        open.own_log = Some(Digest::of(b"log.example+01020304+key"));
        let mut close = full(CLOSE, &subject);
        close.totals =
            Some(Totals { allow: 1, deny: 2, outcome: 3, chains: 4, chains_root: Digest::of(b"") });
        for payload in [decision, called, fed, outcome, open, close] {
            let text = written(&payload);
            assert_eq!(Payload::read(&text), Ok(payload.clone()), "{}", String::from_utf8_lossy(&text));
            assert!(Statement::parse(&text).is_ok());
        }
        for control in [
            Control::Clock { forward: true, millis: 5 },
            Control::Clock { forward: false, millis: 5 },
            Control::Erased { count: 7, digest: Digest::of(b""), reason: ErasureReason::SubjectRequest },
            Control::Join,
            Control::List(list()),
            Control::List(list().with_feed(FeedHead::new(7, Digest::of(b"change")).unwrap())),
            Control::Recovered { cut: 1, unsigned: 2, digest: Digest::of(b"") },
            Control::Rotate { next: Digest::of(b"") },
            Control::Seal(Seal { first: 3, count: 256, root: Digest::of(b"") }),
        ] {
            let mut payload = full(CONTROL, &subject);
            payload.sequence = 1000;
            payload.control = Some(control);
            let read = Statement::parse(&written(&payload)).unwrap();
            assert_eq!(read.event, Event::Control(control));
        }
    }

    #[test]
    fn a_caller_is_named_whole_and_in_one_spelling() {
        let subject = subject();
        let mut decision = full(DECISION, &subject);
        (decision.dec, decision.mode) = (Some("allow"), Some(Mode::Enforce));
        decision.caller = Some(caller());
        let right = String::from_utf8(written(&decision)).unwrap();
        assert!(Statement::parse(right.as_bytes()).is_ok());
        let (certificate, agent) = (caller().certificate.to_base64url(), caller().agent.to_urn());
        let whole = format!(r#""cal":{{"c":"{certificate}","p":"signature","s":"{agent}"}}"#);
        for wrong in [
            r#""cal":{}"#.to_owned(),
            whole.replace(r#""p":"signature","#, ""),
            whole.replace(&format!(r#""c":"{certificate}","#), ""),
            whole.replace(&format!(r#","s":"{agent}""#), ""),
            whole.replace("signature", "Signature"),
            whole.replace("signature", "trust-me"),
            whole.replace("urn:kakunin:agent:", ""),
            whole.replace(&certificate, &caller().certificate.to_hex()),
            whole.replace(r#","p""#, r#","o":1,"p""#),
            whole.replace(r#"{"c""#, r#"{"b":1,"c""#),
            format!(r#""cal":"{agent}""#),
            format!("{whole},{whole}"),
        ] {
            let other = right.replace(&whole, &wrong);
            assert_ne!(other, right);
            assert!(Statement::parse(other.as_bytes()).is_err(), "{wrong}");
        }
        // It belongs to a decision and to nothing else.
        let mut outcome = full(OUTCOME, &subject);
        outcome.outcome = Some(Outcome::Returned);
        outcome.observer = Some("guard");
        assert!(Statement::parse(&written(&outcome)).is_ok());
        outcome.caller = Some(caller());
        assert_eq!(Statement::parse(&written(&outcome)), Err(StatementError::Phase));
    }

    #[test]
    fn a_feed_is_named_whole_and_in_one_spelling() {
        let subject = subject();
        let mut decision = full(DECISION, &subject);
        (decision.dec, decision.mode) = (Some("allow"), Some(Mode::Enforce));
        decision.list = Some(list().with_feed(FeedHead::new(7, Digest::of(b"change")).unwrap()));
        let right = String::from_utf8(written(&decision)).unwrap();
        assert!(Statement::parse(right.as_bytes()).is_ok());
        let (digest, zeros) = (Digest::of(b"change").to_base64url(), FeedHead::START.digest().to_base64url());
        let named = format!(r#""crl":{{"e":7,"f":"{digest}","#);
        for wrong in [
            r#""crl":{"e":7,"#.to_owned(),
            format!(r#""crl":{{"f":"{digest}","#),
            format!(r#""crl":{{"e":0,"f":"{digest}","#),
            format!(r#""crl":{{"e":7,"f":"{zeros}","#),
            format!(r#""crl":{{"e":"7","f":"{digest}","#),
            format!(r#""crl":{{"f":"{digest}","e":7,"#),
        ] {
            let other = right.replace(&named, &wrong);
            assert_ne!(other, right);
            assert!(Statement::parse(other.as_bytes()).is_err(), "{wrong}");
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
    fn a_seal_is_over_something_and_over_what_lies_before_it_only() {
        let subject = subject();
        let parse = |first, count, sequence| {
            let mut payload = full(CONTROL, &subject);
            payload.sequence = sequence;
            payload.control = Some(Control::Seal(Seal { first, count, root: Digest::of(b"") }));
            Statement::parse(&written(&payload)).map(drop)
        };
        assert_eq!(parse(1, 9, 10), Ok(()));
        assert_eq!(parse(1, 10, 10), Err(StatementError::Member("ctl")));
        assert_eq!(parse(1, 0, 10), Err(StatementError::Member("ctl")));
        assert_eq!(parse((1 << 53) - 1, (1 << 53) - 1, 10), Err(StatementError::Member("ctl")));
    }

    #[test]
    fn a_join_has_parents() {
        let subject = subject();
        let mut payload = full(CONTROL, &subject);
        payload.control = Some(Control::Join);
        assert!(Statement::parse(&written(&payload)).is_ok());
        payload.parents = Parents::NONE;
        assert_eq!(Statement::parse(&written(&payload)), Err(StatementError::Member("par")));
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
}
