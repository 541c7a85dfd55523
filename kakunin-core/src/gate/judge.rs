//! The checks, in their order.

use serde_json::json;

use super::candidate::{decoded, path, root_of, scope_digest, verified};
use super::check::{Check, Code, Step};
use super::evidence::{Evidence, Given, Promoted};
use super::example::Expected;
use super::judgement::Judgement;
use super::policy::GatePolicy;
use crate::certificate::{AgentCertificate, VerifiedAgent};
use crate::digest::Digest;
use crate::leash::Leash;
use crate::risk::{Baseline, RiskPolicy};
use crate::scope::NameLists;
use crate::time::UnixMillis;

/// What the risk is measured by.
#[derive(Debug)]
pub struct RiskTerms<'a> {
    /// What is usual for the agent.
    pub baseline: Given<&'a Baseline>,
    /// What is made of what is not.
    pub policy: &'a RiskPolicy,
}

impl GatePolicy {
    /// Judges `evidence` at `now`, all of it: a check that fails hides no other.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence<'_>, risk: &RiskTerms<'_>, now: UnixMillis) -> Judgement {
        let at = now.to_seconds();
        let mut checks = Vec::with_capacity(Step::ALL.len());
        let certificate = decoded(evidence);
        let decoded = certificate.as_ref().ok();

        let path = certificate
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|certificate| path(certificate, evidence, at));
        checks.push(match &path {
            Ok(path) => {
                Check::pass(Step::Certificate, format!("{} until {}", path.agent().agent(), path.not_after()))
            }
            Err((code, what)) => Check::refuse(Step::Certificate, *code, what),
        });

        let verified = path.ok().map(|path| verified(path, evidence, at));
        checks.push(match &verified {
            None => not_reached(Step::Standing, Step::Certificate),
            Some(Ok(agent)) => self.standing(agent, at),
            Some(Err((code, what))) => Check::refuse(Step::Standing, *code, what),
        });

        checks.push(match decoded {
            None => not_reached(Step::Scope, Step::Certificate),
            Some(certificate) => self.scope(certificate, evidence, at),
        });

        let log = self.log(&evidence.receipts);
        let receipts = match (&evidence.receipts, log.code()) {
            (Ok(receipts), Code::Ok | Code::LogIncomplete) => Some(*receipts),
            _ => None,
        };
        checks.push(log);

        let owned = receipts.zip(decoded);
        let root = verified.as_ref().and_then(|agent| agent.as_ref().ok()).map(root_of);
        checks.push(match owned {
            None => {
                not_reached(Step::Evidence, if receipts.is_none() { Step::Log } else { Step::Certificate })
            }
            Some((receipts, certificate)) => self.enough(&receipts, certificate.agent(), root, at),
        });
        checks.push(match receipts {
            None => not_reached(Step::Mode, Step::Log),
            Some(receipts) => self.mode(&receipts, at),
        });

        let (check, replayed) = match receipts {
            None => (not_reached(Step::Risk, Step::Log), None),
            Some(receipts) => self.risk(&receipts, decoded.map(AgentCertificate::agent), risk, at),
        };
        checks.push(check);

        let verified = verified.and_then(Result::ok);
        checks.push(match &verified {
            None => not_reached(Step::Leash, Step::Standing),
            Some(agent) => self.leash(agent, evidence.names, now),
        });
        checks.push(match &replayed {
            None => not_reached(Step::Threshold, Step::Risk),
            Some(replay) => self.threshold(replay),
        });

        Judgement {
            at,
            agent: evidence.agent.or_else(|| decoded.map(AgentCertificate::agent)),
            certificate: evidence.certificate.as_ref().ok().map(|der| Digest::of(der)),
            scope: decoded.map(|certificate| scope_digest(certificate.scope())),
            evidence: digest_of(evidence, risk),
            policy: Digest::of_parts(&[self.digest().as_bytes(), risk.policy.digest().as_bytes()]),
            calls: receipts.map_or(0, |receipts| self.recent(&receipts, at).count() as u64),
            risk: replayed,
            fail_on: self.fail_on,
            checks,
        }
    }

    fn leash(&self, agent: &VerifiedAgent, names: &NameLists, now: UnixMillis) -> Check {
        let refuse = |code, what: String| Check::refuse(Step::Leash, code, what);
        let allowed = self.examples.iter().filter(|example| example.expected == Expected::Allowed).count();
        let denied = self.examples.len() - allowed;
        if allowed == 0 || denied == 0 {
            return refuse(
                Code::ExamplesMissing,
                format!("the policy has {allowed} allowed and {denied} denied examples"),
            );
        }
        let leash = match Leash::compile(agent, names) {
            Ok(leash) => leash,
            Err(error) => return refuse(Code::ExampleUndecided, error.to_string()),
        };
        let mut wrong = self.examples.iter().filter_map(|example| example.put_before(&leash, now));
        match wrong.next() {
            None => Check::pass(
                Step::Leash,
                format!("{allowed} examples are allowed and {denied} denied, as they must be"),
            ),
            Some((code, what)) => match wrong.count() {
                0 => refuse(code, what),
                more => refuse(code, format!("{what}, and {more} more")),
            },
        }
    }
}

pub(super) fn not_reached(step: Step, before: Step) -> Check {
    Check::refuse(step, Code::NotReached, format!("the check of the {} did not come so far", before.word()))
}

/// One name for everything that was looked at.
fn digest_of(evidence: &Evidence<'_>, risk: &RiskTerms<'_>) -> Digest {
    let hex = |der: &Vec<u8>| Digest::of(der).to_hex();
    let all = |ders: &[Vec<u8>]| ders.iter().map(hex).collect::<Vec<String>>();
    let text = json!({
        "format": "kakunin gate evidence 1",
        "certificate": evidence.certificate.as_ref().ok().map(hex),
        "pool": all(evidence.pool),
        "lists": evidence.lists.as_ref().ok().map(|lists| all(lists)),
        "promoted": match &evidence.promoted {
            Promoted::Certificates(ders) => json!(all(ders)),
            Promoted::Nothing => json!("nothing"),
            Promoted::Unreadable(_) => json!(null),
        },
        "last": evidence.last.as_ref().ok().map(|last| last.map(|digest| digest.to_hex())),
        "receipts": evidence.receipts.as_ref().ok().map(|receipts| receipts.gathered.digest().to_hex()),
        "baseline": risk.baseline.as_ref().ok().map(|baseline| baseline.digest().to_hex()),
    });
    Digest::of(text.to_string().as_bytes())
}
