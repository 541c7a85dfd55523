//! The report for programs. Fields stand in the order of these types, so the same report is the same text.

use kakunin_core::risk::Change;
use serde::Serialize;

use crate::finding::{Judgement, Status};
use crate::report::{EvidenceReport, SAYS};
use crate::watched::Watched;

#[derive(Serialize)]
struct Whole<'r> {
    v: u8,
    says: &'static str,
    framework: FrameworkPart<'r>,
    as_of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<&'r str>,
    period: PeriodPart,
    evidence: EvidencePart,
    risk: Option<RiskPart>,
    counts: Counts,
    findings: Vec<Row<'r>>,
    not_covered: Vec<Uncovered<'r>>,
}

#[derive(Serialize)]
struct FrameworkPart<'r> {
    id: &'r str,
    title: &'r str,
    version: &'r str,
    source: &'r str,
    applies_from: &'r str,
    licence: &'r str,
    note: Option<&'r str>,
}

#[derive(Serialize)]
struct PeriodPart {
    from: Option<String>,
    to: Option<String>,
}

#[derive(Serialize)]
struct EvidencePart {
    digest: String,
    verdict: &'static str,
    what: Option<String>,
    receipts: u64,
    in_period: u64,
    streams: u64,
    agents: usize,
    allowed: u64,
    denied: u64,
    outcomes: u64,
    claimed_from: Option<String>,
    claimed_to: Option<String>,
    denials: std::collections::BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct RiskPart {
    baseline: String,
    policy: String,
    digest: String,
    calls: u64,
    denied: u64,
    foreign: u64,
    level: &'static str,
    highest: &'static str,
    score: u16,
    peak: u16,
    silent: Vec<&'static str>,
    changes: Vec<ChangePart>,
}

#[derive(Serialize)]
struct ChangePart {
    at: String,
    from: &'static str,
    to: &'static str,
    score: u16,
    because: Vec<String>,
    receipt: Option<String>,
}

impl RiskPart {
    fn of(watched: &Watched) -> Self {
        let replay = &watched.replay;
        let change = |change: &Change| ChangePart {
            at: change.at.to_seconds().to_string(),
            from: change.from.word(),
            to: change.to.word(),
            score: change.score,
            because: change.evidence.iter().map(|evidence| evidence.sentence.clone()).collect(),
            receipt: change.receipt.map(|receipt| receipt.to_string()),
        };
        Self {
            baseline: watched.baseline.to_hex(),
            policy: watched.policy.to_hex(),
            digest: replay.digest.to_hex(),
            calls: replay.calls,
            denied: replay.denied,
            foreign: replay.foreign,
            level: replay.level.word(),
            highest: replay.highest.word(),
            score: replay.score,
            peak: replay.peak,
            silent: replay.silent.iter().map(|feature| feature.word()).collect(),
            changes: replay.changes.iter().map(change).collect(),
        }
    }
}

#[derive(Serialize)]
struct Counts {
    evidenced: usize,
    partial: usize,
    no_evidence: usize,
    contradicted: usize,
    out_of_scope: usize,
}

#[derive(Serialize)]
struct Row<'r> {
    id: &'r str,
    title: Option<&'r str>,
    source: &'r str,
    applies_from: &'r str,
    applies: bool,
    status: Status,
    claim: Option<&'r str>,
    limit: &'r str,
    shown_by: &'r [Judgement],
}

#[derive(Serialize)]
struct Uncovered<'r> {
    what: &'r str,
    why: &'r str,
    status: Status,
}

/// Writes `report`, with a line feed at its end.
pub(crate) fn write(report: &EvidenceReport) -> String {
    let (framework, facts) = (&report.framework, &report.facts);
    let whole = Whole {
        v: 1,
        says: SAYS,
        framework: FrameworkPart {
            id: &framework.id,
            title: &framework.title,
            version: &framework.version,
            source: &framework.source,
            applies_from: &framework.applies_from,
            licence: &framework.licence,
            note: framework.note.as_deref(),
        },
        as_of: report.as_of.to_string(),
        remark: report.remark.as_deref(),
        period: PeriodPart {
            from: facts.period.from.map(|time| time.to_string()),
            to: facts.period.to.map(|time| time.to_string()),
        },
        evidence: EvidencePart {
            digest: facts.evidence.to_hex(),
            verdict: report.verdict(),
            what: facts.what(),
            receipts: facts.seen,
            in_period: facts.receipts,
            streams: facts.streams,
            agents: facts.agents.len(),
            allowed: facts.allowed,
            denied: facts.denied,
            outcomes: facts.outcomes,
            claimed_from: facts.claimed.map(|(first, _)| first.to_string()),
            claimed_to: facts.claimed.map(|(_, last)| last.to_string()),
            denials: facts.reasons.clone(),
        },
        risk: facts.watched.as_ref().map(RiskPart::of),
        counts: Counts {
            evidenced: report.count(Status::Evidenced),
            partial: report.count(Status::Partial),
            no_evidence: report.count(Status::NoEvidence),
            contradicted: report.count(Status::Contradicted),
            out_of_scope: report.count(Status::OutOfScope),
        },
        findings: report
            .findings
            .iter()
            .map(|finding| Row {
                id: &finding.control.id,
                title: finding.control.title.as_deref(),
                source: finding.control.source.as_deref().unwrap_or(&framework.source),
                applies_from: &finding.applies_from,
                applies: finding.applies,
                status: finding.status,
                claim: finding.claim(),
                limit: &finding.control.limit,
                shown_by: &finding.judgements,
            })
            .collect(),
        not_covered: framework
            .not_covered
            .iter()
            .map(|one| Uncovered { what: &one.what, why: &one.why, status: Status::OutOfScope })
            .collect(),
    };
    text(&whole)
}

/// The text of a value that is made of our own types: texts, numbers and lists, which always can be written.
pub(crate) fn text(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
