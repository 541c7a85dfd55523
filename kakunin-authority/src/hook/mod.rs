//! Webhooks: where an event is sent to, which events there are, and how a delivery is signed.
//!
//! These are the words; where they are kept is `store`'s, and sending them is the room `http`'s.

#[cfg(feature = "home")]
pub mod order;
#[cfg(feature = "home")]
pub mod secret;

use std::fmt;

use kakunin_core::digest::{hex, unhex};

/// A webhook: 16 random bytes, written `wh_` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId([u8; 16]);

impl HookId {
    /// Takes the 16 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads what [`fmt::Display`] writes; any other spelling is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text.strip_prefix("wh_")?).map(Self)
    }
}

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wh_{}", hex(&self.0))
    }
}

impl fmt::Debug for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookId({self})")
    }
}

/// Something that a webhook can want to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HookEvent {
    /// A certificate was signed and kept.
    CertificateIssued,
    /// A certificate that had not ended was revoked: one event for each.
    CertificateRevoked,
    /// An agent behaves as it should not.
    RiskAlert,
    /// The level of an agent's risk changed.
    AgentRisk,
    /// An agent is held.
    AgentSuspended,
    /// An agent that was held, or came back after a revocation, is good again.
    AgentResumed,
    /// An agent is revoked, by whatever order.
    AgentRevoked,
    /// An agent was revoked by the kill switch; [`HookEvent::AgentRevoked`] is told as well.
    AgentHalted,
    /// An agent was shown a checkpoint of a log that cannot be true beside another one.
    LogContradiction,
    /// No certificate is signed from now on, by order.
    IssuanceFrozen,
    /// Certificates are signed again.
    IssuanceThawed,
    /// Somebody tries the webhook out; sent to that one alone, whatever it wants.
    Test,
}

impl HookEvent {
    /// Every event that a webhook can want.
    pub const ALL: [Self; 11] = [
        Self::CertificateIssued,
        Self::CertificateRevoked,
        Self::RiskAlert,
        Self::AgentRisk,
        Self::AgentSuspended,
        Self::AgentResumed,
        Self::AgentRevoked,
        Self::AgentHalted,
        Self::LogContradiction,
        Self::IssuanceFrozen,
        Self::IssuanceThawed,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::CertificateIssued => "certificate.issued",
            Self::CertificateRevoked => "certificate.revoked",
            Self::RiskAlert => "risk.alert",
            Self::AgentRisk => "agent.risk",
            Self::AgentSuspended => "agent.suspended",
            Self::AgentResumed => "agent.resumed",
            Self::AgentRevoked => "agent.revoked",
            Self::AgentHalted => "agent.halted",
            Self::LogContradiction => "log.contradiction",
            Self::IssuanceFrozen => "issuance.frozen",
            Self::IssuanceThawed => "issuance.thawed",
            Self::Test => "webhook.test",
        }
    }

    /// Finds an event by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = Self::ALL.into_iter().chain([Self::Test]);
        all.into_iter().find(|event| event.word() == word)
    }
}

/// Which signature a delivery carries beside our own, for receivers that were written for the hosted service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureForm {
    /// None: `Kakunin-Signature` alone.
    #[default]
    Own,
    /// `X-Kakunin-Signature: sha256=<hex>` over the body, as the hosted service sends it.
    HostedBody,
    /// `X-Kakunin-Signature: t=<seconds>,v1=<hex>` over the time, a dot and the body, as its clients check it.
    HostedTimed,
}

impl SignatureForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Own, Self::HostedBody, Self::HostedTimed];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Own => "kakunin",
            Self::HostedBody => "hosted-sha256",
            Self::HostedTimed => "hosted-t-v1",
        }
    }

    /// Finds a form by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_webhooks_has_one_form() {
        for event in HookEvent::ALL.into_iter().chain([HookEvent::Test]) {
            assert_eq!(HookEvent::from_word(event.word()), Some(event));
        }
        assert!(!HookEvent::ALL.contains(&HookEvent::Test), "nobody subscribes to tests");
        for form in SignatureForm::ALL {
            assert_eq!(SignatureForm::from_word(form.word()), Some(form));
        }
        let id = HookId::from_bytes([0xa5; 16]);
        assert_eq!(HookId::parse(&id.to_string()), Some(id));
        for wrong in ["", "wh_", "wh_a5", &id.to_string().to_uppercase(), &format!("{id}0"), &hex(&[0; 16])] {
            assert_eq!(HookId::parse(wrong), None, "{wrong}");
        }
    }
}
