//! Who is to be promoted: its certificate, how it stands, and its scope beside the one that was promoted last.

use super::check::{Check, Code, Step};
use super::evidence::{Evidence, Promoted};
use super::policy::GatePolicy;
use crate::certificate::{AgentCertificate, AgentPath, PathLists, TrustAnchors, VerifiedAgent};
use crate::digest::Digest;
use crate::id::AgentId;
use crate::reason::DenialReason;
use crate::revocation::Standing;
use crate::scope::Scope;
use crate::time::UnixTime;

/// A code, and what was found.
pub(super) type Wrong = (Code, String);

pub(super) fn decoded(evidence: &Evidence<'_>) -> Result<AgentCertificate, Wrong> {
    let der = evidence.certificate.as_ref().map_err(|what| (Code::Unreadable, what.clone()))?;
    let certificate = AgentCertificate::decode(der)
        .map_err(|error| (Code::Denied(DenialReason::CertificateMalformed), error.to_string()))?;
    match evidence.agent.filter(|agent| *agent != certificate.agent()) {
        Some(agent) => Err((
            Code::OtherAgent,
            format!("the certificate is of {}, and {agent} is asked about", certificate.agent()),
        )),
        None => Ok(certificate),
    }
}

pub(super) fn path(
    certificate: &AgentCertificate,
    evidence: &Evidence<'_>,
    at: UnixTime,
) -> Result<AgentPath, Wrong> {
    let anchors = evidence.anchors.as_ref().map_err(|what| (Code::Unreadable, what.clone()))?;
    prove(certificate.clone(), evidence.pool, anchors, at)
}

pub(super) fn verified(
    path: AgentPath,
    evidence: &Evidence<'_>,
    at: UnixTime,
) -> Result<VerifiedAgent, Wrong> {
    let lists = evidence.lists.as_ref().map_err(|what| (Code::Unreadable, what.clone()))?;
    let lists = PathLists::from_der(lists.iter().map(Vec::as_slice), &path);
    let agent = lists.and_then(|lists| path.with_lists(lists, at));
    agent.map_err(|error| (Code::Denied(error.reason()), error.to_string()))
}

impl GatePolicy {
    /// How it stands, by a list that is new enough. A list that asks for a feed is held to the policy's age instead: the gate
    /// asks how the agent stands now and once, and listens to nobody.
    pub(super) fn standing(&self, agent: &VerifiedAgent, at: UnixTime) -> Check {
        let denied = |reason| {
            Check::refuse(Step::Standing, Code::Denied(reason), format!("{} at {at}", reason.what()))
        };
        use DenialReason as Why;
        match agent.standing() {
            Standing::Revoked => return denied(Why::CertificateRevoked),
            Standing::Held => return denied(Why::CertificateHeld),
            Standing::Good => {}
        }
        let (issuing, next) = (agent.lists().issuing(), agent.lists().next_update());
        if at >= next {
            let what = format!("a revocation list ended at {next}, and it is {at}");
            return Check::refuse(Step::Standing, Code::Denied(Why::RevocationStale), what);
        }
        let age = at.seconds().saturating_sub(issuing.this_update().seconds());
        if age > self.max_list_age {
            let (of, most) = (issuing.this_update(), self.max_list_age);
            let what =
                format!("the revocation list is of {of}, and the policy takes none older than {most} s");
            return Check::refuse(Step::Standing, Code::ListOld, what);
        }
        Check::pass(Step::Standing, format!("good by the list of {}", issuing.this_update()))
    }

    pub(super) fn scope(
        &self,
        certificate: &AgentCertificate,
        evidence: &Evidence<'_>,
        at: UnixTime,
    ) -> Check {
        let scope = certificate.scope();
        let to = scope_digest(scope);
        let refuse = |code, what: String| Check::refuse(Step::Scope, code, what);
        let before = match &evidence.promoted {
            Promoted::Nothing => None,
            Promoted::Unreadable(what) => return refuse(Code::Unreadable, what.clone()),
            Promoted::Certificates(ders) => match promoted(ders, certificate.agent(), evidence) {
                Ok(before) => Some(before),
                Err(what) => return refuse(Code::PromotedInvalid, what),
            },
        };
        // Whoever may write the record chooses it, so what it has to hold comes from elsewhere.
        let last = match (self.promoted, &evidence.last) {
            (Some(last), _) => Some(last),
            (None, Ok(last)) => *last,
            (None, Err(what)) => return refuse(Code::PromotedInvalid, what.clone()),
        };
        let (from, wider) = match (&before, last) {
            (None, None) => (None, "nothing was promoted before, so all of the scope is new".to_owned()),
            (None, Some(last)) if last == to => {
                return Check::pass(Step::Scope, "is the scope that was promoted last");
            }
            (None, Some(last)) => {
                (Some(last), "another scope was promoted last, and its record is not there".to_owned())
            }
            (Some(before), last) => {
                let found = scope_digest(before);
                if last != Some(found) {
                    let last = last.map_or_else(
                        || "and no gate says that it passed: show the gate's own agent, or name it in the policy".into(),
                        |last| format!("and {} was promoted last", last.to_hex()),
                    );
                    let what = format!("the record holds the scope {}, {last}", found.to_hex());
                    return refuse(Code::PromotedInvalid, what);
                }
                match before.encompasses(scope, evidence.names) {
                    Ok(()) => return Check::pass(Step::Scope, "allows nothing that was not promoted before"),
                    Err(overclaim) => (last, overclaim.to_string()),
                }
            }
        };
        let word = from.map_or_else(|| "none".to_owned(), |from| from.to_hex());
        let found = self.approvals.iter().filter(|approval| approval.from == from && approval.to == to);
        match found.clone().find(|approval| at < approval.until) {
            Some(approval) => Check::pass(Step::Scope, format!("{wider}; approved by {}", approval.by)),
            None => {
                let ended = if found.count() > 0 { "; the approval for it has ended" } else { "" };
                let what = format!(
                    "{wider}{ended}; an approval would be from = \"{word}\", to = \"{}\"",
                    to.to_hex()
                );
                Check::refuse(Step::Scope, Code::ScopeWidened, what)
            }
        }
    }
}

/// The scope that was promoted last: of the same agent, and signed under the same roots. It need not be valid any more, so it
/// is proven for the time from which it was.
fn promoted(ders: &[Vec<u8>], agent: AgentId, evidence: &Evidence<'_>) -> Result<Scope, String> {
    let (first, others) =
        ders.split_first().ok_or("the record of the last promotion holds no certificate")?;
    let certificate =
        AgentCertificate::decode(first).map_err(|error| format!("the certificate promoted last: {error}"))?;
    if certificate.agent() != agent {
        return Err(format!(
            "the certificate promoted last is of {}, and not of {agent}",
            certificate.agent()
        ));
    }
    let anchors = evidence.anchors.as_ref().map_err(Clone::clone)?;
    let pool: Vec<Vec<u8>> = others.iter().chain(evidence.pool).cloned().collect();
    let at = certificate.decoded().validity().not_before;
    let path = prove(certificate, &pool, anchors, at)
        .map_err(|(_, what)| format!("the certificate promoted last: {what}"))?;
    Ok(path.agent().scope().clone())
}

fn prove(
    certificate: AgentCertificate,
    pool: &[Vec<u8>],
    anchors: &TrustAnchors,
    at: UnixTime,
) -> Result<AgentPath, Wrong> {
    let path = certificate.verify_path(pool.iter().map(Vec::as_slice), anchors, at);
    path.map_err(|error| (Code::Denied(error.reason()), error.to_string()))
}

pub(super) fn root_of(agent: &VerifiedAgent) -> Digest {
    agent.path().root().decoded().key().key_id()
}

/// The name of a scope: SHA-256 of its DER.
#[must_use]
pub fn scope_digest(scope: &Scope) -> Digest {
    Digest::of(&scope.to_der())
}
