//! A request whose head holds and whose body has yet to come: who sends it is known, so its body is worth reading.
//!
//! A body costs memory and time, and whoever proves nothing should cost neither. So the head is proven first, and whatever brings
//! requests here reads the body only after that. What it held against the clock and the lists at the head is held against them
//! again when the body is there: nobody gains by keeping a body back.

use kakunin_core::chain::{CallContext, ChainLink, TraceParent};
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Judged, ProofOfPossession};
use kakunin_core::id::AgentId;
use kakunin_core::possession::SignedHead;
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::Standing;

use crate::caller::Caller;
use crate::gateway::Gateway;
use crate::refused::Refused;

/// A request whose head was proven. It is nobody's yet: its body has to be the one that was signed, and the proof one that was not
/// used before.
#[derive(Debug)]
#[must_use = "a head that was proven is no caller yet"]
pub struct ProvenHead {
    gateway: Gateway,
    judged: Judged,
    by: By,
    link: Option<ChainLink>,
    trace: Option<TraceParent>,
}

/// What shows whose request it is.
#[derive(Debug)]
pub(crate) enum By {
    /// The agent signed the head, and the digest of the body with it.
    Signature(SignedHead),
    /// Whoever is at the other end of the connection. Its body is whatever comes.
    Connection(ProofOfPossession),
}

impl By {
    const fn how(&self) -> ProofOfPossession {
        match self {
            Self::Signature(_) => ProofOfPossession::Signature,
            Self::Connection(how) => *how,
        }
    }
}

impl ProvenHead {
    pub(crate) fn new(
        gateway: Gateway,
        judged: Judged,
        by: By,
        (link, trace): (Option<ChainLink>, Option<TraceParent>),
    ) -> Self {
        Self { gateway, judged, by, link, trace }
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.judged.agent()
    }

    /// How the agent stands. Of one that is held or revoked no body need be read: [`ProvenHead::refuse_unless_good`].
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.judged.standing()
    }

    /// Denies an agent that is held or revoked before its body is read, whatever it asks of `action`, and records that under its
    /// name. This uses up its proof. Nothing happens to an agent in good standing.
    ///
    /// # Errors
    /// [`Refused`]: the agent is held or revoked (403), or its proof was used before (401). The body is not to be read.
    pub fn refuse_unless_good(&self, action: &str) -> Result<(), Refused> {
        if self.standing() == Standing::Good {
            return Ok(());
        }
        self.gateway.counted(|| match &self.by {
            By::Signature(head) => self.gateway.use_up(&self.judged, head.mark(), head.created()),
            By::Connection(_) => Ok(()),
        })?;
        let context = self.link.as_ref().map(ChainLink::context).unwrap_or_default();
        let context = CallContext { trace: self.trace.as_ref().map(TraceParent::as_str), ..context };
        // It stands well again since a moment ago, and what it asks for was not read: nothing may run.
        let _ = self.gateway.admit(&self.judged, self.by.how(), &ActionRequest::new(action), &context)?;
        Err(Refused::internal("the agent's standing changed while it was denied"))
    }

    /// The caller, if `body`, as it was received and to its end, is what the head says.
    ///
    /// # Errors
    /// [`Refused`]: the body is too large (413) or another one (401), the proof was used before or is too old by now (401), nobody
    /// can say (503); or the agent is held or revoked, and enough of such agents was recorded (403).
    pub fn identify(self, body: &[u8]) -> Result<Caller, Refused> {
        let gateway = self.gateway.clone();
        gateway.counted(|| self.find(body))
    }

    fn find(self, body: &[u8]) -> Result<Caller, Refused> {
        let Self { gateway, judged, by, link, trace } = self;
        if body.len() > gateway.max_body() {
            return Err(Refused::too_large(gateway.max_body()));
        }
        let how = by.how();
        let content = match by {
            By::Signature(head) => {
                // The body took its time, and a store forgets the proofs that are too old.
                head.still_in_time(gateway.guard().now().to_seconds())?;
                let request = head.covers(body)?;
                gateway.use_up(&judged, request.mark(), request.created())?;
                request.content()
            }
            By::Connection(_) => Digest::of(body),
        };
        Ok(Caller::new(gateway, judged, how, content, (link, trace)))
    }
}
