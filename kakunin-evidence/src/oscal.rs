//! OSCAL 1.2.1, as far as a report needs it: assessment results for what was found, a component definition for what the
//! SDK can implement at all.
//!
//! A finding of OSCAL is satisfied or not. Only what is evidenced is satisfied: everything below is not, with a reason
//! and with the reports own words beside it, so that no reader sees more in it than there is. The identifiers are made from what they
//! name, with the version bits of a name-based UUID, because OSCAL admits no other that is no chance.

use kakunin_core::digest::{Digest, hex};
use serde::Serialize;

use crate::csv::because;
use crate::finding::{Finding, Pointer, Status};
use crate::framework::{Carries, Framework};
use crate::json::text;
use crate::report::{EvidenceReport, SAYS};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ResultsFile {
    assessment_results: AssessmentResults,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AssessmentResults {
    uuid: String,
    metadata: Metadata,
    import_ap: Link,
    results: [AssessmentResult; 1],
    back_matter: BackMatter,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    title: String,
    last_modified: String,
    version: String,
    oscal_version: &'static str,
    remarks: String,
}

#[derive(Serialize)]
struct Link {
    href: String,
}

#[derive(Serialize)]
struct BackMatter {
    resources: [Resource; 1],
}

#[derive(Serialize)]
struct Resource {
    uuid: String,
    title: String,
    description: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AssessmentResult {
    uuid: String,
    title: String,
    description: String,
    start: String,
    end: String,
    reviewed_controls: ReviewedControls,
    observations: Vec<Observation>,
    findings: Vec<OscalFinding>,
    remarks: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ReviewedControls {
    control_selections: [ControlSelection; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ControlSelection {
    description: String,
    include_controls: Vec<SelectedControl>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SelectedControl {
    control_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Observation {
    uuid: String,
    title: String,
    description: String,
    methods: [&'static str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relevant_evidence: Vec<RelevantEvidence>,
    collected: String,
}

#[derive(Serialize)]
struct RelevantEvidence {
    href: String,
    description: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct OscalFinding {
    uuid: String,
    title: String,
    description: String,
    target: Target,
    related_observations: Vec<RelatedObservation>,
    remarks: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Target {
    #[serde(rename = "type")]
    kind: &'static str,
    target_id: String,
    status: TargetStatus,
}

#[derive(Serialize)]
struct TargetStatus {
    state: &'static str,
    reason: &'static str,
    remarks: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct RelatedObservation {
    observation_uuid: String,
}

/// The assessment results of `report`.
pub(crate) fn results(report: &EvidenceReport) -> String {
    let (framework, facts) = (&report.framework, &report.facts);
    let period = format!("{:?} {:?} {}", facts.period.from, facts.period.to, report.as_of);
    let remark = report.remark.as_deref().unwrap_or_default();
    let space =
        [framework.id.as_str(), &facts.evidence.to_hex(), report.verdict(), &period, remark].join("\n");
    let name = |parts: &[&str]| uuid(&space, parts);
    let as_of = report.as_of.to_string();
    let (start, end) = match facts.claimed {
        Some((first, last)) => (first.to_string(), last.to_string()),
        None => (as_of.clone(), as_of.clone()),
    };
    let plan = name(&["plan"]);
    let mut observations = Vec::new();
    let mut findings = Vec::new();
    for finding in &report.findings {
        let id = &finding.control.id;
        let mut related = Vec::new();
        for judgement in &finding.judgements {
            let predicate = judgement.predicate.to_string();
            let observation = name(&["observation", id, &predicate]);
            related.push(RelatedObservation { observation_uuid: observation.clone() });
            observations.push(Observation {
                uuid: observation,
                title: format!("{id}: {predicate}"),
                description: judgement.because.clone(),
                methods: ["TEST"],
                relevant_evidence: judgement.receipts.iter().map(evidence).collect(),
                collected: as_of.clone(),
            });
        }
        findings.push(OscalFinding {
            uuid: name(&["finding", id]),
            title: title(framework, finding),
            description: finding.claim().unwrap_or("Nothing is claimed.").to_owned(),
            target: Target { kind: "objective-id", target_id: token(framework, id), status: state(finding) },
            related_observations: related,
            remarks: format!("{} Applies from {}.", finding.control.limit, finding.applies_from),
        });
    }
    let include = report.findings.iter();
    let include =
        include.map(|it| SelectedControl { control_id: token(framework, &it.control.id) }).collect();
    let remark = report.remark.as_ref().map(|remark| format!("{remark} ")).unwrap_or_default();
    let uncovered: Vec<String> =
        framework.not_covered.iter().map(|one| format!("{}: {}", one.what, one.why)).collect();
    text(&ResultsFile {
        assessment_results: AssessmentResults {
            uuid: name(&["results"]),
            metadata: metadata(format!("Evidence for {} {}", framework.title, framework.version), as_of),
            import_ap: Link { href: format!("#{plan}") },
            results: [AssessmentResult {
                uuid: name(&["result"]),
                title: format!("What signed receipts show: {}", report.verdict()),
                description: format!(
                    "{} receipts in {} streams, evidence {}",
                    facts.seen, facts.streams, facts.evidence
                ),
                start,
                end,
                reviewed_controls: ReviewedControls {
                    control_selections: [ControlSelection {
                        description: "Controls that receipts show something of.".to_owned(),
                        include_controls: include,
                    }],
                },
                observations,
                findings,
                remarks: format!("{remark}Not covered. {}", uncovered.join(" ")),
            }],
            back_matter: BackMatter {
                resources: [Resource {
                    uuid: plan,
                    title: format!("Predicates for {}", framework.title),
                    description:
                        "The closed list of predicates by which each control is judged, part of the program."
                            .to_owned(),
                }],
            },
        },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ComponentFile {
    component_definition: ComponentDefinition,
}

#[derive(Serialize)]
struct ComponentDefinition {
    uuid: String,
    metadata: Metadata,
    components: [Component; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Component {
    uuid: String,
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    description: &'static str,
    control_implementations: [ControlImplementation; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ControlImplementation {
    uuid: String,
    source: String,
    description: String,
    implemented_requirements: Vec<ImplementedRequirement>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ImplementedRequirement {
    uuid: String,
    control_id: String,
    description: String,
    remarks: String,
}

/// The component definition of this SDK for `framework`: the same for everybody.
pub(crate) fn component(framework: &Framework) -> String {
    let space = ["component", &framework.id, env!("CARGO_PKG_VERSION")].join("\n");
    let name = |parts: &[&str]| uuid(&space, parts);
    let requirements = framework.controls.iter().map(|control| ImplementedRequirement {
        uuid: name(&["requirement", &control.id]),
        control_id: token(framework, &control.id),
        description: control.claim.clone(),
        remarks: match control.carries {
            Carries::Direct => control.limit.clone(),
            Carries::Part => format!("In part. {}", control.limit),
        },
    });
    text(&ComponentFile {
        component_definition: ComponentDefinition {
            uuid: name(&["definition"]),
            metadata: metadata(
                format!("Kakunin: {} {}", framework.title, framework.version),
                format!("{}T00:00:00Z", framework.applies_from),
            ),
            components: [Component {
                uuid: name(&["kakunin"]),
                kind: "software",
                title: "Kakunin",
                description: "Enforcement in the process of an AI agent: its limits are signed in its certificate, and every decision leaves a signed receipt.",
                control_implementations: [ControlImplementation {
                    uuid: name(&["implementation"]),
                    source: framework
                        .catalog
                        .clone()
                        .unwrap_or_else(|| format!("urn:kakunin:framework:{}", framework.id)),
                    description: SAYS.to_owned(),
                    implemented_requirements: requirements.collect(),
                }],
            }],
        },
    })
}

fn metadata(title: String, last_modified: String) -> Metadata {
    Metadata {
        title,
        last_modified,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        oscal_version: "1.2.1",
        remarks: SAYS.to_owned(),
    }
}

/// Satisfied is what is evidenced and applies at the date of the report; everything else is not, and never the other way.
fn state(finding: &Finding) -> TargetStatus {
    let (state, reason) = match finding.status {
        Status::Evidenced if finding.applies => ("satisfied", "pass"),
        Status::Evidenced => ("not-satisfied", "not-yet"),
        Status::Partial => ("not-satisfied", "partial"),
        Status::NoEvidence | Status::OutOfScope => ("not-satisfied", "no-evidence"),
        Status::Contradicted => ("not-satisfied", "fail"),
    };
    TargetStatus { state, reason, remarks: because(finding) }
}

fn evidence(pointer: &Pointer) -> RelevantEvidence {
    let Pointer { receipt, stream, seq, line } = pointer;
    let line = line.map(|line| format!(", line {line} of receipts.jws")).unwrap_or_default();
    let (href, what) = match receipt.is_empty() {
        true => (format!("urn:kakunin:stream:{stream}:{seq}"), "The place of a receipt".to_owned()),
        false => (format!("urn:kakunin:receipt:{receipt}"), format!("Receipt {receipt}")),
    };
    RelevantEvidence { href, description: format!("{what}: stream {stream}, number {seq}{line}") }
}

fn title(framework: &Framework, finding: &Finding) -> String {
    match &finding.control.title {
        Some(title) => format!("{}: {title}", finding.control.id),
        None => format!("{} of {}", finding.control.id, framework.title),
    }
}

/// The id of a control as OSCAL writes it: as in NIST's own catalog of SP 800-53, elsewhere with what no token may hold
/// replaced.
fn token(framework: &Framework, id: &str) -> String {
    if framework.id == "sp800-53-r5" {
        return id.to_ascii_lowercase().replace('(', ".").replace(')', "");
    }
    let mut token = String::new();
    for letter in id.chars() {
        let plain = letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
        if plain {
            token.push(letter);
        } else if !token.ends_with('-') {
            token.push('-');
        }
    }
    let token = token.trim_matches('-');
    if token.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        token.to_owned()
    } else {
        format!("_{token}")
    }
}

/// An identifier made from what it names.
fn uuid(space: &str, parts: &[&str]) -> String {
    let mut all = vec![b"kakunin oscal 1".as_slice(), space.as_bytes()];
    for part in parts {
        all.extend([b"\n".as_slice(), part.as_bytes()]);
    }
    let mut octets = [0_u8; 16];
    for (octet, from) in octets.iter_mut().zip(Digest::of_parts(&all).as_bytes()) {
        *octet = *from;
    }
    octets[6] = (octets[6] & 0x0f) | 0x50;
    octets[8] = (octets[8] & 0x3f) | 0x80;
    let digits = hex(&octets);
    let mut text = String::with_capacity(36);
    for (place, digit) in digits.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_of_a_form_that_oscal_admits() {
        let id = uuid("a", &["b"]);
        assert_eq!((id.len(), id.chars().nth(14)), (36, Some('5')));
        assert!(id.chars().nth(19).is_some_and(|digit| "89ab".contains(digit)), "{id}");
        assert_ne!(id, uuid("a", &["c"]));
        assert_ne!(uuid("a", &["b", "c"]), uuid("a", &["bc"]));
    }

    /// Row E13 of docs/attacks.md.
    #[test]
    fn what_does_not_apply_yet_is_not_satisfied() {
        let control = Framework::named("eu-ai-act").unwrap().controls.remove(0);
        let state_of = |status, applies| {
            let finding = Finding {
                control: control.clone(),
                applies_from: "2027-12-02".to_owned(),
                applies,
                status,
                judgements: Vec::new(),
            };
            (state(&finding).state, state(&finding).reason)
        };
        assert_eq!(state_of(Status::Evidenced, true), ("satisfied", "pass"));
        assert_eq!(state_of(Status::Evidenced, false), ("not-satisfied", "not-yet"));
        assert_eq!(state_of(Status::Contradicted, false), ("not-satisfied", "fail"));
    }

    #[test]
    fn ids_become_tokens_of_oscal() {
        let nist = Framework::named("sp800-53-r5").unwrap();
        assert_eq!(token(&nist, "AC-2(13)"), "ac-2.13");
        let csf = Framework::named("csf-2.0").unwrap();
        assert_eq!(token(&csf, "PR.AA-01"), "PR.AA-01");
        assert_eq!(token(&csf, "RTS Art. 2: no manipulation"), "RTS-Art.-2-no-manipulation");
        assert_eq!(token(&csf, "9(4)"), "_9-4");
    }
}
