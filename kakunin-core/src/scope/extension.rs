//! The wire form of a scope: DER, one encoding for each meaning.
//!
//! The structures below are the module's, field for field; `docs/wire.md` holds its text. Decoding parses,
//! rebuilds the scope through [`Scope::build`] and encodes it again: bytes that differ from what came in are
//! refused, so unsorted sets, empty lists, padding bits and every other second spelling are.

use der::asn1::{BitString, Ia5String, Null, ObjectIdentifier, OctetString, PrintableString};
use der::{Choice, Decode, Encode, Sequence};

use super::action::Pattern;
use super::agent_scope::{Condition, Delegation, Scope, ScopeError, ScopeParts};
use super::limit::{Limit, Rate, Window};
use super::names::{NameEntry, NameRule, NameSet};
use super::schedule::{Schedule, Slot, Zone};
use crate::digest::Digest;
use crate::id::AgentId;
use crate::money::{Currency, Money};

/// Most bytes of the whole extension value.
pub const MAX_EXTENSION: usize = 16_384;

impl Scope {
    /// The canonical DER of `AgentScope`.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        encode(&WireScope::from(self.parts()))
    }

    /// Reads the DER of `AgentScope`.
    ///
    /// # Errors
    /// [`DecodeError`] with the kind and position of what is not DER, the field that breaks a rule, or
    /// [`DecodeError::NotCanonical`] when the bytes are a second spelling of a scope.
    pub fn from_der(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_EXTENSION {
            return Err(DecodeError::Scope(ScopeError::TooLarge { bytes: bytes.len() }));
        }
        let wire = WireScope::from_der(bytes).map_err(DecodeError::Der)?;
        let (scope, der) = Self::build_with_der(wire.try_into()?)?;
        if der == bytes { Ok(scope) } else { Err(DecodeError::NotCanonical) }
    }
}

/// Bytes that are no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not DER, or not this structure: kind and byte position.
    #[error("malformed scope: {0}")]
    Der(der::Error),
    /// A version this library does not know.
    #[error("scope version {0} is unknown; only 1 is")]
    Version(u8),
    /// A field with a value its type does not have.
    #[error("scope field `{0}` has no valid value")]
    Field(&'static str),
    /// A rule of the language is broken.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The same scope has another, shorter or sorted, spelling.
    #[error("the scope is not in canonical form")]
    NotCanonical,
}

#[derive(Sequence)]
struct WireScope {
    version: u8,
    agent: OctetString,
    actions: Vec<String>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    denied: Option<Vec<String>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    limits: Option<Vec<WireLimit>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    parties: Option<Vec<WireNameRule>>,
    #[asn1(context_specific = "3", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    resources: Option<Vec<WireNameRule>>,
    #[asn1(context_specific = "4", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    schedule: Option<WireSchedule>,
    #[asn1(context_specific = "5", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    rates: Option<Vec<WireRate>>,
    #[asn1(context_specific = "6", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    delegation: Option<WireDelegation>,
    #[asn1(context_specific = "7", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    conditions: Option<Vec<WireCondition>>,
}

#[derive(Sequence)]
struct WireLimit {
    r#for: Vec<String>,
    currency: PrintableString,
    scale: u8,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    per_action: Option<i64>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    windows: Option<Vec<WireWindow>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    approve_above: Option<i64>,
    #[asn1(context_specific = "3", tag_mode = "IMPLICIT", optional = "true")]
    optional: Option<Null>,
}

#[derive(Sequence)]
struct WireWindow {
    seconds: u32,
    max: i64,
}

#[derive(Sequence)]
struct WireRate {
    r#for: Vec<String>,
    window: WireWindow,
}

#[derive(Sequence)]
struct WireNameRule {
    r#for: Vec<String>,
    allow: WireNameSet,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", constructed = "true", optional = "true")]
    deny: Option<WireNameSet>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    optional: Option<Null>,
}

#[derive(Choice)]
enum WireNameSet {
    Names(Vec<String>),
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    Detached(WireDetached),
}

#[derive(Sequence)]
struct WireDetached {
    root: OctetString,
    count: u32,
}

#[derive(Sequence)]
struct WireSchedule {
    zone: WireZone,
    slots: Vec<WireSlot>,
}

#[derive(Choice)]
enum WireZone {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Offset(i16),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT")]
    Tzdb(Ia5String),
}

#[derive(Sequence)]
struct WireSlot {
    days: BitString,
    from: u16,
    to: u16,
}

#[derive(Sequence)]
struct WireDelegation {
    depth: u8,
    max_seconds: u32,
    modes: BitString,
}

#[derive(Sequence)]
struct WireCondition {
    id: ObjectIdentifier,
    value: OctetString,
}

// Encoding. INVARIANT: every value below was checked by `Scope::build`, so no encoder can refuse it; if one
// did, the empty result would fail the certificate's own decode and nothing would be issued.

fn encode(value: &impl Encode) -> Vec<u8> {
    value.to_der().unwrap_or_default()
}

/// The DER of a limit, which is also its place among others.
pub(super) fn limit_der(limit: &Limit) -> Vec<u8> {
    encode(&WireLimit::from(limit))
}

/// The DER of a window.
pub(super) fn window_der(window: &Window) -> Vec<u8> {
    encode(&WireWindow::from(window))
}

/// The DER of a name rule.
pub(super) fn name_rule_der(rule: &NameRule) -> Vec<u8> {
    encode(&WireNameRule::from(rule))
}

/// The DER of a rate.
pub(super) fn rate_der(rate: &Rate) -> Vec<u8> {
    encode(&WireRate::from(rate))
}

/// The DER of a slot.
pub(super) fn slot_der(slot: &Slot) -> Vec<u8> {
    encode(&WireSlot::from(slot))
}

/// The DER of a condition.
pub(super) fn condition_der(condition: &Condition) -> Vec<u8> {
    encode(&WireCondition::from(condition))
}

fn texts(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}

#[expect(clippy::expect_used, reason = "a scope is far below the length that DER cannot count")]
fn octets(bytes: &[u8]) -> OctetString {
    OctetString::new(bytes).expect("short")
}

fn some<T, W: From<T>>(items: impl ExactSizeIterator<Item = T>) -> Option<Vec<W>> {
    (items.len() > 0).then(|| items.map(W::from).collect())
}

/// A named bit list of fixed size: bit 0 is the first, most significant one (X.690 section 8.6.2).
#[expect(clippy::expect_used, reason = "one byte with fewer than eight unused bits is always a bit string")]
fn bits(flags: u8, size: u8) -> BitString {
    BitString::new(8 - size, [flags.reverse_bits()]).expect("one byte")
}

impl From<&ScopeParts> for WireScope {
    fn from(parts: &ScopeParts) -> Self {
        Self {
            version: 1,
            agent: octets(parts.agent.as_bytes()),
            actions: texts(&parts.actions),
            denied: (!parts.denied.is_empty()).then(|| texts(&parts.denied)),
            limits: some(parts.limits.iter()),
            parties: some(parts.parties.iter()),
            resources: some(parts.resources.iter()),
            schedule: parts.schedule.as_ref().map(|schedule| WireSchedule {
                zone: match &schedule.zone {
                    Zone::Offset(minutes) => WireZone::Offset(*minutes),
                    Zone::Tzdb(name) => WireZone::Tzdb(ascii(name)),
                },
                slots: schedule.slots.iter().map(WireSlot::from).collect(),
            }),
            rates: some(parts.rates.iter()),
            delegation: parts.delegation.map(|delegation| WireDelegation {
                depth: delegation.depth,
                max_seconds: delegation.max_seconds,
                modes: bits(u8::from(delegation.session) | u8::from(delegation.depth > 0) << 1, 2),
            }),
            conditions: some(parts.conditions.iter()),
        }
    }
}

#[expect(clippy::expect_used, reason = "a zone's name was checked to be ASCII")]
fn ascii(text: &str) -> Ia5String {
    Ia5String::new(text).expect("ascii")
}

impl From<&Limit> for WireLimit {
    fn from(limit: &Limit) -> Self {
        #[expect(clippy::expect_used, reason = "a currency is capitals and digits, all of them printable")]
        let currency = PrintableString::new(limit.currency.as_str()).expect("printable");
        Self {
            r#for: texts(&limit.r#for),
            currency,
            scale: limit.scale,
            per_action: limit.per_action.map(Money::minor),
            windows: some(limit.windows.iter()),
            approve_above: limit.approve_above.map(Money::minor),
            optional: limit.optional.then_some(Null),
        }
    }
}

impl From<&Window> for WireWindow {
    fn from(window: &Window) -> Self {
        Self { seconds: window.seconds, max: window.max.minor() }
    }
}

impl From<&Rate> for WireRate {
    fn from(rate: &Rate) -> Self {
        Self { r#for: texts(&rate.r#for), window: WireWindow::from(&rate.window) }
    }
}

impl From<&NameRule> for WireNameRule {
    fn from(rule: &NameRule) -> Self {
        Self {
            r#for: texts(&rule.r#for),
            allow: WireNameSet::from(&rule.allow),
            deny: rule.deny.as_ref().map(WireNameSet::from),
            optional: rule.optional.then_some(Null),
        }
    }
}

impl From<&NameSet> for WireNameSet {
    fn from(set: &NameSet) -> Self {
        match set {
            NameSet::Inline(entries) => Self::Names(entries.iter().map(ToString::to_string).collect()),
            NameSet::Detached { root, count } => {
                Self::Detached(WireDetached { root: octets(root.as_bytes()), count: *count })
            }
        }
    }
}

impl From<&Slot> for WireSlot {
    fn from(slot: &Slot) -> Self {
        Self { days: bits(slot.days, 7), from: slot.from, to: slot.to }
    }
}

impl From<&Condition> for WireCondition {
    fn from(condition: &Condition) -> Self {
        Self { id: condition.id, value: octets(&condition.value) }
    }
}

// Decoding.

impl TryFrom<WireScope> for ScopeParts {
    type Error = DecodeError;

    fn try_from(wire: WireScope) -> Result<Self, DecodeError> {
        if wire.version != 1 {
            return Err(DecodeError::Version(wire.version));
        }
        Ok(Self {
            agent: AgentId::from_bytes(fixed(&wire.agent, "agentId")?),
            actions: patterns(wire.actions, "actions")?,
            denied: patterns(wire.denied.unwrap_or_default(), "denied")?,
            limits: all(wire.limits)?,
            parties: all(wire.parties)?,
            resources: all(wire.resources)?,
            schedule: wire.schedule.map(Schedule::try_from).transpose()?,
            rates: all(wire.rates)?,
            delegation: wire.delegation.map(Delegation::try_from).transpose()?,
            conditions: all(wire.conditions)?,
        })
    }
}

fn all<W, T: TryFrom<W, Error = DecodeError>>(items: Option<Vec<W>>) -> Result<Vec<T>, DecodeError> {
    items.unwrap_or_default().into_iter().map(T::try_from).collect()
}

fn patterns(texts: Vec<String>, field: &'static str) -> Result<Vec<Pattern>, DecodeError> {
    texts.iter().map(|text| Pattern::parse(text).ok_or(DecodeError::Field(field))).collect()
}

fn fixed<const N: usize>(octets: &OctetString, field: &'static str) -> Result<[u8; N], DecodeError> {
    octets.as_bytes().try_into().map_err(|_| DecodeError::Field(field))
}

fn money(minor: i64, field: &'static str) -> Result<Money, DecodeError> {
    Money::from_minor(minor).ok_or(DecodeError::Field(field))
}

/// Reads a bit list of exactly `size` bits whose padding is zero.
fn flags(list: &BitString, size: u8, field: &'static str) -> Result<u8, DecodeError> {
    match list.raw_bytes() {
        [byte] if list.unused_bits() == 8 - size && byte.trailing_zeros() >= u32::from(8 - size) => {
            Ok(byte.reverse_bits())
        }
        _ => Err(DecodeError::Field(field)),
    }
}

impl TryFrom<WireLimit> for Limit {
    type Error = DecodeError;

    fn try_from(wire: WireLimit) -> Result<Self, DecodeError> {
        Ok(Self {
            r#for: patterns(wire.r#for, "for")?,
            currency: Currency::parse(wire.currency.as_ref()).ok_or(DecodeError::Field("currency"))?,
            scale: wire.scale,
            per_action: wire.per_action.map(|minor| money(minor, "perAction")).transpose()?,
            windows: all(wire.windows)?,
            approve_above: wire.approve_above.map(|minor| money(minor, "approveAbove")).transpose()?,
            optional: wire.optional.is_some(),
        })
    }
}

impl TryFrom<WireWindow> for Window {
    type Error = DecodeError;

    fn try_from(wire: WireWindow) -> Result<Self, DecodeError> {
        Ok(Self { seconds: wire.seconds, max: money(wire.max, "max")? })
    }
}

impl TryFrom<WireRate> for Rate {
    type Error = DecodeError;

    fn try_from(wire: WireRate) -> Result<Self, DecodeError> {
        Ok(Self { r#for: patterns(wire.r#for, "for")?, window: wire.window.try_into()? })
    }
}

impl TryFrom<WireNameRule> for NameRule {
    type Error = DecodeError;

    fn try_from(wire: WireNameRule) -> Result<Self, DecodeError> {
        Ok(Self {
            r#for: patterns(wire.r#for, "for")?,
            allow: wire.allow.try_into()?,
            deny: wire.deny.map(NameSet::try_from).transpose()?,
            optional: wire.optional.is_some(),
        })
    }
}

impl TryFrom<WireNameSet> for NameSet {
    type Error = DecodeError;

    fn try_from(wire: WireNameSet) -> Result<Self, DecodeError> {
        match wire {
            WireNameSet::Names(names) => {
                let entry = |name: &String| NameEntry::decode(name).ok_or(DecodeError::Field("names"));
                Ok(Self::Inline(names.iter().map(entry).collect::<Result<_, _>>()?))
            }
            WireNameSet::Detached(detached) => Ok(Self::Detached {
                root: Digest::from_bytes(fixed(&detached.root, "root")?),
                count: detached.count,
            }),
        }
    }
}

impl TryFrom<WireSchedule> for Schedule {
    type Error = DecodeError;

    fn try_from(wire: WireSchedule) -> Result<Self, DecodeError> {
        let zone = match wire.zone {
            WireZone::Offset(minutes) => Zone::Offset(minutes),
            WireZone::Tzdb(name) => Zone::Tzdb(name.as_str().to_owned()),
        };
        let slot =
            |wire: &WireSlot| Ok(Slot { days: flags(&wire.days, 7, "days")?, from: wire.from, to: wire.to });
        Ok(Self { zone, slots: wire.slots.iter().map(slot).collect::<Result<_, DecodeError>>()? })
    }
}

impl TryFrom<WireDelegation> for Delegation {
    type Error = DecodeError;

    fn try_from(wire: WireDelegation) -> Result<Self, DecodeError> {
        let modes = flags(&wire.modes, 2, "modes")?;
        if (modes & 2 != 0) != (wire.depth > 0) {
            return Err(DecodeError::Field("modes"));
        }
        Ok(Self { depth: wire.depth, max_seconds: wire.max_seconds, session: modes & 1 != 0 })
    }
}

impl TryFrom<WireCondition> for Condition {
    type Error = DecodeError;

    fn try_from(wire: WireCondition) -> Result<Self, DecodeError> {
        Ok(Self { id: wire.id, value: wire.value.into_bytes().into_vec() })
    }
}
