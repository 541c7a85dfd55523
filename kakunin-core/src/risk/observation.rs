//! What risk reads of one receipt.
//!
//! A call, or a word about the clock; everything else is no behaviour. Values come from disclosures that belong to the
//! receipt's commitments, so nobody can show another amount than the one that was signed.

use serde_json::Value;

use crate::digest::Digest;
use crate::id::{AgentId, StreamId};
use crate::money::{Currency, Decimal};
use crate::receipt::{Answer, Control, Disclosure, Event, Mode, ReceiptHash, Statement};
use crate::scope::{ActionName, Limit, Scope};
use crate::time::UnixMillis;

/// What risk reads of one verified receipt: who called what when, with which answer, and what is known of the values.
///
/// Whoever makes one has verified the receipt: here nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub(super) receipt: ReceiptHash,
    pub(super) agent: AgentId,
    pub(super) stream: StreamId,
    pub(super) sequence: u64,
    pub(super) at: i64,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Call(Call),
    /// The agent states that its clock was set back by so many milliseconds.
    SetBack(u64),
}

/// One decision about the agent's own call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The action, or [`MALFORMED`].
    pub(super) action: String,
    pub(super) answer: Answered,
    /// Calls of one session follow one another: those of a decision chain, else those of a stream.
    pub(super) session: [u8; 16],
    pub(super) sum: Option<Sum>,
    /// The counterparties, if they are opened.
    pub(super) names: Option<Vec<Name>>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Allowed,
    /// It asked for what it may not do.
    Refused {
        /// Because of its amount.
        over_amount: bool,
    },
    /// Something else was in the way: its standing, clocks, lists, the journal. That is no misbehaviour.
    Hindered,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) currency: String,
    /// In units of 10^-18.
    pub(super) units: u128,
    /// Thousandths of what the certificate allows for one action, if it limits that.
    pub(super) share: Option<u32>,
}

/// The first eight octets of the SHA-256 of a name: enough to tell names of one agent apart.
pub(super) type Name = [u8; 8];

impl Observation {
    /// What `statement` tells, whose receipt is `receipt`; `None` for what is no behaviour of the agent: beginnings, ends,
    /// outcomes, dry runs (`check`), and a gateway's decisions about others.
    ///
    /// `opened` are values that are at hand; only those count that the statement commits to. `scope` is that of the
    /// certificate that signed, by which an amount is compared with its limit.
    #[must_use]
    pub fn of(
        receipt: ReceiptHash,
        statement: &Statement,
        opened: &[Disclosure],
        scope: Option<&Scope>,
    ) -> Option<Self> {
        let what = match &statement.event {
            Event::Decision { caller: None, action, answer, mode, .. } if *mode != Mode::Check => {
                let value = |name: &str| {
                    let commitment = statement.event.commitments().find(|(its, _)| *its == name)?.1;
                    let of = |opened: &&Disclosure| opened.name() == name && *opened.digest() == commitment;
                    Some(opened.iter().find(of)?.value())
                };
                let action =
                    action.as_deref().and_then(ActionName::parse).map_or(MALFORMED, ActionName::as_str);
                let sum = Sum::of(value("amount"), value("currency"), action, scope);
                What::Call(Call {
                    answer: Answered::of(answer),
                    session: statement.chain.map_or(*statement.stream.as_bytes(), |(it, _)| *it.as_bytes()),
                    sum,
                    names: value("counterparties").and_then(names),
                    action: action.to_owned(),
                })
            }
            Event::Control(Control::Clock { forward: false, millis }) => What::SetBack(*millis),
            _ => return None,
        };
        Some(Self {
            receipt,
            agent: statement.agent,
            stream: statement.stream,
            sequence: statement.sequence,
            at: statement.stamp.micros.div_euclid(1000).clamp(0, MAX_TIME),
            what,
        })
    }

    /// The receipt.
    #[must_use]
    pub const fn receipt(&self) -> ReceiptHash {
        self.receipt
    }

    /// Whose behaviour it is.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// When, as the receipt says.
    #[must_use]
    pub const fn at(&self) -> UnixMillis {
        UnixMillis::from_millis(self.at)
    }

    /// The action, of a call that named a well-formed one.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        match &self.what {
            What::Call(call) => Some(call.action.as_str()).filter(|action| *action != MALFORMED),
            What::SetBack(_) => None,
        }
    }

    /// Whether it is a call that was allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(&self.what, What::Call(Call { answer: Answered::Allowed, .. }))
    }

    /// Whether it is a call, and not only a word about the clock.
    #[must_use]
    pub const fn is_call(&self) -> bool {
        matches!(self.what, What::Call(_))
    }
}

/// The one order in which a history is read, however it was handed over: by time; receipts of one stream stay in their
/// order whatever times they claim; of equal times the stream with the smaller name comes first. Each receipt is in it once.
#[must_use]
pub fn in_order(mut observations: Vec<Observation>) -> Vec<Observation> {
    observations.sort_by_key(|seen| (seen.stream, seen.sequence, seen.receipt));
    observations.dedup_by_key(|seen| seen.receipt);
    // The latest time that the stream has claimed up to here: a receipt cannot be older than the one before it.
    let mut last: Option<(StreamId, i64)> = None;
    let mut placed: Vec<(i64, Observation)> = Vec::with_capacity(observations.len());
    for seen in observations {
        let at = match last {
            Some((stream, at)) if stream == seen.stream => at.max(seen.at),
            _ => seen.at,
        };
        last = Some((seen.stream, at));
        placed.push((at, seen));
    }
    placed.sort_by_key(|(at, seen)| (*at, seen.stream, seen.sequence));
    placed.into_iter().map(|(_, seen)| seen).collect()
}

impl Answered {
    fn of(answer: &Answer) -> Self {
        let Answer::Deny(code) = answer else { return Self::Allowed };
        match code.as_str() {
            // The certificate's lists are not at hand, or this library does not know what it asks for.
            "scope.names_missing" | "scope.condition_unknown" => return Self::Hindered,
            "budget.window" | "budget.rate" => return Self::Refused { over_amount: code == "budget.window" },
            _ => {}
        }
        match code.split_once('.').map_or(code.as_str(), |(group, _)| group) {
            "agent" | "clock" | "certificate" | "revocation" | "budget" | "journal" | "possession"
            | "internal" => Self::Hindered,
            _ => Self::Refused { over_amount: code == "scope.amount" || code == "approval.required" },
        }
    }
}

impl Sum {
    fn of(
        amount: Option<&Value>,
        currency: Option<&Value>,
        action: &str,
        scope: Option<&Scope>,
    ) -> Option<Self> {
        let currency = Currency::parse(currency?.as_str()?)?;
        let limit = scope.and_then(|scope| {
            let its = |limit: &&Limit| {
                limit.currency == currency && limit.r#for.iter().any(|pattern| pattern.covers_name(action))
            };
            // Of several the narrowest, as deciding takes it.
            scope.parts().limits.iter().filter(its).min_by_key(|limit| {
                limit.per_action.map_or(u128::MAX, |most| units(most.minor().unsigned_abs(), limit.scale))
            })
        });
        let amount = match amount? {
            Value::String(text) => {
                let decimal = Decimal::parse(text)?;
                units(decimal.at_scale(decimal.decimals())?.minor().unsigned_abs(), decimal.decimals())
            }
            // Minor units are of the limit's scale; without one that is the currency's own.
            Value::Number(minor) => {
                units(minor.as_u64()?, limit.map_or(currency.minor_unit(), |limit| limit.scale))
            }
            _ => return None,
        };
        let most = limit.and_then(|limit| {
            Some(units(limit.per_action?.minor().unsigned_abs(), limit.scale)).filter(|most| *most > 0)
        });
        let share = |most: u128| u32::try_from(amount / (most / 1000).max(1)).unwrap_or(u32::MAX);
        Some(Self { currency: currency.as_str().to_owned(), units: amount, share: most.map(share) })
    }
}

/// Minor units in units of 10^-18. At most 2^64 · 10^18, which has 124 binary digits.
fn units(minor: u64, scale: u8) -> u128 {
    let missing = u32::from(18_u8.saturating_sub(scale));
    u128::from(minor).saturating_mul(10_u128.saturating_pow(missing))
}

/// The names in a disclosed value: one, or a list. What is too long to keep is known by its digest.
fn names(value: &Value) -> Option<Vec<Name>> {
    let name = |text: &str| Digest::of(text.as_bytes()).as_bytes().first_chunk::<8>().copied();
    match value {
        Value::String(text) => Some(vec![name(text)?]),
        Value::Array(items) => {
            items.iter().take(MAX_NAMES).map(|item| name(item.as_str()?)).collect::<Option<Vec<_>>>()
        }
        Value::Object(long) => Some(vec![name(long.get("sha256")?.as_str()?)?]),
        _ => None,
    }
}

/// What stands for an action that is no well-formed name; no name begins like this.
pub(super) const MALFORMED: &str = "-";

/// A gateway's request names at most a few; 20 KiB of a value would hold a thousand.
const MAX_NAMES: usize = 64;

/// The year 9999, where RFC 3339 ends: in milliseconds.
const MAX_TIME: i64 = 253_402_300_799_999;
