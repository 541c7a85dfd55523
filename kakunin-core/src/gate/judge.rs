//! The checks, in their order.

use std::collections::BTreeMap;

use serde_json::json;

use super::check::{Check, Code, Outcome, Step};
use super::evidence::{Evidence, Given, Promoted, Receipts};
use super::example::Expected;
use super::policy::{GatePolicy, Observed};
use crate::certificate::{AgentCertificate, AgentPath, PathLists, TrustAnchors, VerifiedAgent};
use crate::digest::Digest;
use crate::id::AgentId;
use crate::leash::Leash;
use crate::reason::DenialReason;
use crate::receipt::{Mode, ReceiptHash};
use crate::revocation::Standing;
use crate::risk::{Baseline, Change, Replay, RiskLevel, RiskPolicy, replay_explained};
use crate::scope::{NameLists, Scope};
use crate::time::{UnixMillis, UnixTime};
use crate::verify::{Extent, Reason, Verdict};

/// What came of it all.
#[derive(Clone, Debug)]
pub struct Judgement {
    at: UnixTime,
    agent: Option<AgentId>,
    certificate: Option<Digest>,
    scope: Option<Digest>,
    evidence: Digest,
    policy: Digest,
    calls: u64,
    risk: Option<Measured>,
    fail_on: RiskLevel,
    checks: Vec<Check>,
}

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

    /// How it stands, by a list that is new enough. A list that asks for a feed is held to the policy's age instead: the gate
    /// asks how the agent stands now and once, and listens to nobody.
    fn standing(&self, agent: &VerifiedAgent, at: UnixTime) -> Check {
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

    fn scope(&self, certificate: &AgentCertificate, evidence: &Evidence<'_>, at: UnixTime) -> Check {
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

    fn log(&self, receipts: &Given<Receipts<'_>>) -> Check {
        let refuse = |code, what: String| Check::refuse(Step::Log, code, what);
        let report = match receipts {
            Ok(receipts) => receipts.report,
            Err(what) => return refuse(Code::Unreadable, what.clone()),
        };
        let reasons: &[Reason] = match report.verdict() {
            Verdict::Invalid(invalid) => return refuse(Code::LogInvalid, invalid.to_string()),
            Verdict::Empty => return refuse(Code::EvidenceNone, "no receipt that anybody signed".to_owned()),
            Verdict::AuthenticNotComplete(reasons) => reasons,
            Verdict::Complete => &[],
        };
        if report.extent() != Extent::Streams {
            return refuse(Code::LogPartial, "one decision chain, and not whole streams".to_owned());
        }
        let missed = reasons.iter().find(|reason| !self.tolerate.contains(&reason.code()));
        if let Some(reason) = missed {
            return refuse(Code::LogIncomplete, format!("{reason} [{}]", reason.code()));
        }
        let receipts: u64 = report.streams().iter().map(|stream| stream.receipts).sum();
        Check::pass(Step::Log, format!("{receipts} receipts, {}", report.verdict().word()))
    }

    /// Calls that are new enough to count.
    fn recent<'a>(
        &self,
        receipts: &Receipts<'a>,
        at: UnixTime,
    ) -> impl Iterator<Item = &'a super::gathered::Call> {
        let oldest = at.plus(-self.max_age);
        receipts.gathered.calls().iter().filter(move |call| call.at >= oldest)
    }

    fn enough(&self, receipts: &Receipts<'_>, agent: AgentId, root: Option<Digest>, at: UnixTime) -> Check {
        let refuse = |code, what: String| Check::refuse(Step::Evidence, code, what);
        let mut streams = receipts.report.streams().iter().filter(|stream| stream.agent == Some(agent));
        if let Some(stream) = streams.find(|stream| root.is_some() && stream.root != root) {
            let what = format!("stream {} is of an agent {agent} under another root", stream.stream);
            return refuse(Code::EvidenceForeign, what);
        }
        let calls = receipts.gathered.calls();
        let Some(last) = calls.iter().map(|call| call.at).max() else {
            let foreign = receipts.gathered.foreign();
            return refuse(Code::EvidenceNone, format!("no call of {agent}, {foreign} receipts of others"));
        };
        if last > at.plus(CLOCK_TOLERANCE) {
            return refuse(Code::EvidenceFuture, format!("a receipt claims {last}, and it is {at}"));
        }
        let recent = self.recent(receipts, at).count() as u64;
        let (all, least, age) = (calls.len() as u64, self.min_calls, self.max_age);
        if recent < least {
            let code = if all < least { Code::EvidenceFew } else { Code::EvidenceOld };
            let what = format!(
                "{recent} calls within {age} s, {all} at all, the last at {last}; {least} are asked for"
            );
            return refuse(code, what);
        }
        let denied = self.recent(receipts, at).filter(|call| !call.is_allowed).count();
        let unsigned = receipts.gathered.unproven();
        let more =
            if unsigned > 0 { format!(", {unsigned} unsigned ones do not count") } else { String::new() };
        Check::pass(
            Step::Evidence,
            format!("{recent} calls within {age} s, {denied} of them denied, the last at {last}{more}"),
        )
    }

    fn mode(&self, receipts: &Receipts<'_>, at: UnixTime) -> Check {
        let observed = self.recent(receipts, at).filter(|call| call.mode == Mode::Observe).count();
        match (observed, self.observe) {
            (0, _) => Check::pass(Step::Mode, "every call was held by the leash"),
            (_, Observed::Accept) => {
                Check::pass(Step::Mode, format!("{observed} calls in observe mode, which the policy accepts"))
            }
            (_, Observed::Refuse) => Check::refuse(
                Step::Mode,
                Code::ObserveMode,
                format!("{observed} calls in observe mode: no leash held them"),
            ),
        }
    }

    fn risk(
        &self,
        receipts: &Receipts<'_>,
        agent: Option<AgentId>,
        terms: &RiskTerms<'_>,
        at: UnixTime,
    ) -> (Check, Option<Measured>) {
        let refuse = |code, what: String| (Check::refuse(Step::Risk, code, what), None);
        let baseline = match &terms.baseline {
            Ok(baseline) => *baseline,
            Err(what) => return refuse(Code::BaselineMissing, what.clone()),
        };
        if let Some(agent) = agent.filter(|agent| *agent != baseline.agent()) {
            let what = format!("the baseline is of {}, and not of {agent}", baseline.agent());
            return refuse(Code::BaselineOther, what);
        }
        // Whoever may choose what is usual, or what is made of what is not, chooses the level.
        let (digest, asked) = (baseline.digest(), terms.policy.digest());
        match self.baseline {
            Some(named) if named == digest => {}
            Some(named) => {
                let (named, digest) = (named.to_hex(), digest.to_hex());
                let what = format!("the policy names the baseline {named}, this one is {digest}");
                return refuse(Code::BaselineOther, what);
            }
            None => {
                let what = format!("the policy names no baseline, this one is {}", digest.to_hex());
                return refuse(Code::BaselineUnnamed, what);
            }
        }
        let named = self.risk_policy.unwrap_or_else(|| RiskPolicy::default().digest());
        if asked != named {
            let of = if self.risk_policy.is_some() { "the policy names" } else { "the defaults are" };
            let what = format!("{of} the risk policy {}, this one is {}", named.to_hex(), asked.to_hex());
            return refuse(Code::RiskPolicyOther, what);
        }
        let explained: BTreeMap<Digest, &str> = self
            .explained
            .iter()
            .filter(|its| at < its.until)
            .map(|its| (its.receipt, its.by.as_str()))
            .collect();
        let by = |receipt: &ReceiptHash| explained.get(receipt.digest()).copied();
        let seen = receipts.gathered.observations().to_vec();
        let replay = replay_explained(seen, baseline, terms.policy, by);
        let level = self.worst(&replay, at, &|change| {
            change.to < RiskLevel::Revoke && change.receipt.as_ref().and_then(by).is_some()
        });
        let (calls, score, peak) = (replay.calls, replay.score, replay.peak);
        let what = format!("{calls} calls replayed, score {score} of 1000, peak {peak}");
        (Check::pass(Step::Risk, what), Some(Measured { replay, level }))
    }

    /// The worst level within the time that counts: what was risky last week and is quiet today was not explained by that,
    /// only by somebody who looked.
    fn worst(&self, replay: &Replay, at: UnixTime, is_explained: &dyn Fn(&Change) -> bool) -> RiskLevel {
        let oldest = at.plus(-self.max_age);
        let (mut before, mut worst) = (RiskLevel::Clear, RiskLevel::Clear);
        for change in replay.changes.iter().filter(|change| !is_explained(change)) {
            if change.at.to_seconds() < oldest { before = change.to } else { worst = worst.max(change.to) }
        }
        worst.max(before).max(replay.level)
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

    fn threshold(&self, measured: &Measured) -> Check {
        let (level, fail_on) = (measured.level.word(), self.fail_on.word());
        if measured.level >= self.fail_on {
            let change = measured.replay.changes.iter().rev().find(|change| change.to == measured.level);
            let why = change.map_or_else(String::new, |change| {
                let sentence = change.evidence.first().map_or("", |evidence| &evidence.sentence);
                let by = change.receipt.map_or_else(String::new, |receipt| format!(" by receipt {receipt}"));
                format!(" at {}{by}: {sentence}", change.at.to_seconds())
            });
            return Check::refuse(Step::Threshold, Code::RiskLevel, format!("the level was {level}{why}"));
        }
        Check::pass(Step::Threshold, format!("the level was {level} at most, and {fail_on} fails"))
    }
}

/// The risk in the receipts.
#[derive(Clone, Debug)]
struct Measured {
    replay: Replay,
    /// The level that counts.
    level: RiskLevel,
}

impl Judgement {
    /// When it was made.
    #[must_use]
    pub const fn at(&self) -> UnixTime {
        self.at
    }

    /// The agent, as far as it is known.
    #[must_use]
    pub const fn agent(&self) -> Option<AgentId> {
        self.agent
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Digest> {
        self.certificate.as_ref()
    }

    /// The name of its scope, as approvals give it.
    #[must_use]
    pub const fn scope(&self) -> Option<&Digest> {
        self.scope.as_ref()
    }

    /// The name of everything that was looked at.
    #[must_use]
    pub const fn evidence(&self) -> &Digest {
        &self.evidence
    }

    /// The name of everything that was asked for.
    #[must_use]
    pub const fn policy(&self) -> &Digest {
        &self.policy
    }

    /// Calls that counted.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// The risk, if it could be replayed.
    #[must_use]
    pub fn risk(&self) -> Option<&Replay> {
        self.risk.as_ref().map(|measured| &measured.replay)
    }

    /// The worst level of risk within the time that counts, if it could be replayed.
    #[must_use]
    pub fn level(&self) -> Option<RiskLevel> {
        self.risk.as_ref().map(|measured| measured.level)
    }

    /// The level of risk that fails.
    #[must_use]
    pub const fn fail_on(&self) -> RiskLevel {
        self.fail_on
    }

    /// The checks, one for each step, in order.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What came of it: it passes only if every check does.
    #[must_use]
    pub fn verdict(&self) -> Outcome {
        // INVARIANT: there is a check for each step; without any, nothing was looked at.
        self.checks.iter().map(Check::outcome).max().unwrap_or(Outcome::CannotEvaluate)
    }

    /// Whether the agent's own conduct failed, by receipts that are proven: what a suspension may follow from. A scope that is
    /// too wide or a file that is missing is nobody's conduct, and without a certificate that leads to a root and a list of
    /// its issuer nobody knows whose conduct it is.
    #[must_use]
    pub fn is_against_conduct(&self) -> bool {
        let passed =
            |step| self.checks.iter().any(|check| check.step() == step && check.outcome() == Outcome::Pass);
        let has = |step, code| self.checks.iter().any(|check| check.step() == step && check.code() == code);
        // Who is held already may be revoked.
        let held = has(Step::Standing, Code::Denied(DenialReason::CertificateHeld));
        has(Step::Threshold, Code::RiskLevel)
            && [Step::Certificate, Step::Log, Step::Evidence, Step::Risk].into_iter().all(passed)
            && (held || passed(Step::Standing))
    }

    /// Whether it failed so hard that a revocation may follow: the level is suspend or above, and still is.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        let still = self.risk().is_some_and(|replay| replay.level >= RiskLevel::Suspend);
        self.is_against_conduct() && still && self.level().is_some_and(|level| level >= RiskLevel::Suspend)
    }
}

/// The name of a scope: SHA-256 of its DER.
#[must_use]
pub fn scope_digest(scope: &Scope) -> Digest {
    Digest::of(&scope.to_der())
}

/// A code, and what was found.
type Wrong = (Code, String);

fn decoded(evidence: &Evidence<'_>) -> Result<AgentCertificate, Wrong> {
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

fn path(certificate: &AgentCertificate, evidence: &Evidence<'_>, at: UnixTime) -> Result<AgentPath, Wrong> {
    let anchors = evidence.anchors.as_ref().map_err(|what| (Code::Unreadable, what.clone()))?;
    prove(certificate.clone(), evidence.pool, anchors, at)
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

fn verified(path: AgentPath, evidence: &Evidence<'_>, at: UnixTime) -> Result<VerifiedAgent, Wrong> {
    let lists = evidence.lists.as_ref().map_err(|what| (Code::Unreadable, what.clone()))?;
    let lists = PathLists::from_der(lists.iter().map(Vec::as_slice), &path);
    let agent = lists.and_then(|lists| path.with_lists(lists, at));
    agent.map_err(|error| (Code::Denied(error.reason()), error.to_string()))
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

fn root_of(agent: &VerifiedAgent) -> Digest {
    agent.path().root().decoded().key().key_id()
}

fn not_reached(step: Step, before: Step) -> Check {
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

/// As everywhere, clocks may lag by this many seconds (WIRE 3).
const CLOCK_TOLERANCE: i64 = 120;
