//! Who calls: an agent whose certificate is proven to be its own for this one request.

use kakunin_core::chain::{CallContext, ChainLink, TraceParent};
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Judged, Pass, ProofOfPossession};
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::Standing;

use crate::gateway::Gateway;
use crate::refused::Refused;

/// An agent that sent one request. Identified is not admitted: nothing may be done for it before [`Caller::admit`] says so, and
/// also an agent that is held or revoked is identified, so that its denial is recorded under its name.
#[derive(Clone, Debug)]
#[must_use = "who calls has to be admitted before anything is done for it"]
pub struct Caller {
    gateway: Gateway,
    judged: Judged,
    how: ProofOfPossession,
    content: Digest,
    link: Option<ChainLink>,
    trace: Option<TraceParent>,
}

impl Caller {
    pub(crate) fn new(
        gateway: Gateway,
        judged: Judged,
        how: ProofOfPossession,
        content: Digest,
        (link, trace): (Option<ChainLink>, Option<TraceParent>),
    ) -> Self {
        Self { gateway, judged, how, content, link, trace }
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.judged.agent()
    }

    /// The serial number of its certificate.
    #[must_use]
    pub fn certificate_serial(&self) -> SerialNumber {
        self.judged.path().agent().decoded().serial()
    }

    /// How it proved that it has the certificate's key.
    #[must_use]
    pub const fn possession(&self) -> ProofOfPossession {
        self.how
    }

    /// How it stood when it was identified.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.judged.standing()
    }

    /// The decision chain that its call belongs to, and the receipt that it follows from, by its own word.
    #[must_use]
    pub const fn link(&self) -> Option<&ChainLink> {
        self.link.as_ref()
    }

    /// Whether it was identified by `gateway`, with exactly this body: what reads the body later reads what was proven.
    #[must_use]
    pub fn sent(&self, body: &[u8], gateway: &Gateway) -> bool {
        self.gateway.is(gateway) && self.content == Digest::of(body)
    }

    /// Whether it was identified by `gateway`.
    #[cfg(feature = "tower")]
    pub(crate) fn is_of(&self, gateway: &Gateway) -> bool {
        self.gateway.is(gateway)
    }

    /// The trace that it says it is in, signed by nobody.
    #[must_use]
    pub const fn trace(&self) -> Option<&TraceParent> {
        self.trace.as_ref()
    }

    /// Asks whether it may do this here, now, and records the answer before giving it. It may be asked for several actions of
    /// one request.
    ///
    /// # Errors
    /// [`Refused`]: nothing may be done.
    pub fn admit(&self, request: &ActionRequest<'_>) -> Result<Pass, Refused> {
        let link = self.link.as_ref().map(ChainLink::context).unwrap_or_default();
        self.admit_in(request, &CallContext { trace: self.trace.as_ref().map(TraceParent::as_str), ..link })
    }

    /// As [`Caller::admit`], where whoever asks says what the call follows from: the beginning of a chain, for a caller that
    /// is in none.
    ///
    /// # Errors
    /// [`Refused`]: nothing may be done.
    pub fn admit_in(&self, request: &ActionRequest<'_>, context: &CallContext<'_>) -> Result<Pass, Refused> {
        self.gateway.admit(&self.judged, self.how, request, context)
    }
}
