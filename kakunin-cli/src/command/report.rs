use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
#[cfg(feature = "serve")]
use kakunin_core::id::AgentId;
use kakunin_core::report::keep;
use kakunin_core::risk::{Baseline, RiskPolicy};
use kakunin_core::time::UnixTime;
use kakunin_evidence::{
    EvidenceReport, Facts, Filled, Framework, FrameworkError, Period, QuestionMap, QuestionnaireError,
    Status, Terms,
};
use serde_json::json;

use crate::answer::{Answer, Exit, Failure, one_line};
use crate::believed::{Believed, names};
use crate::context::{Common, read, read_text};
#[cfg(feature = "serve")]
use crate::fetched::Fetched;
use crate::progress::Progress;
#[cfg(feature = "serve")]
use crate::remote::Remote;

/// Say what signed receipts show of a framework's controls, and what they do not
///
/// The evidence is verified first, by the roots and keys that you name. Each control is judged by predicates of a closed
/// list, and each finding names receipts. It never says that anybody complies. The same evidence gives the same octets.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin report --framework eu-ai-act --bundle incident.zip --root ca.pem --log-key KEY --format html --out report.html
  kakunin report --framework csf-2.0 --bundle incident.zip --root ca.pem --format oscal --out results.json
  kakunin report --framework csf-2.0 --url https://authority.example --agent ID --root ca.pem --format html --out report.html
  kakunin report --framework sp800-53-r5 --format oscal-component --out component.json
  kakunin report --questionnaire asked.csv --map map.toml --bundle incident.zip --root ca.pem --log-key KEY --out answered.csv
  kakunin report --questionnaire asked.xlsx --map map.toml --bundle incident.zip --root ca.pem --out answered.xlsx
  kakunin report --framework dora --journal agents/billing --root ca.pem --from 2026-10-01 --to 2026-12-31 --format csv --out dora.csv

Frameworks: ai-rmf-1.0 (with AI 600-1), csf-2.0, dora, eu-ai-act, iso-27001-2022, iso-42001-2023, mica (with RTS 2025/1140),
owasp-agentic-2026, soc2, sp800-53-r5.

Exit codes: 0 nothing is contradicted and the evidence is complete, 1 something is contradicted, 3 authentic but not complete or
empty, 2 cannot be evaluated.")]
pub(crate) struct Report {
    /// The framework; docs/evidence.md lists them
    #[arg(long, value_name = "NAME", required_unless_present = "questionnaire")]
    framework: Option<String>,
    /// Fill this table of questions (CSV, or XLSX in a build with it) instead; what the map does not know stays and is listed
    #[arg(long, value_name = "FILE", requires = "map", conflicts_with_all = ["framework", "format"])]
    questionnaire: Option<PathBuf>,
    /// Which control answers which question, and in which columns they are: TOML
    #[arg(long, value_name = "FILE", requires = "questionnaire")]
    map: Option<PathBuf>,
    /// The evidence: a bundle that `kakunin export` wrote
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    bundle: Option<PathBuf>,
    /// The evidence: an agent's directory, its state or its journal
    #[arg(long, value_name = "DIR")]
    journal: Vec<PathBuf>,
    /// The evidence: what this agent sent to the service at --url
    #[cfg(feature = "serve")]
    #[arg(long, value_name = "ID", value_parser = agent, requires = "url", conflicts_with_all = ["bundle", "journal"])]
    agent: Option<AgentId>,
    #[command(flatten)]
    believed: Believed,
    /// Lists of names that scopes refer to, to decide again by: `<root>.txt` as in an agent's directory
    #[arg(long, value_name = "DIR")]
    names: Vec<PathBuf>,
    /// Count what claims this time or a later one: RFC 3339, or a date, which begins at midnight UTC
    #[arg(long, value_name = "TIME", value_parser = from)]
    from: Option<UnixTime>,
    /// Count what claims this time or an earlier one: RFC 3339, or a date, of which the whole day counts
    #[arg(long, value_name = "TIME", value_parser = to)]
    to: Option<UnixTime>,
    /// The date whose law counts; otherwise the end of the period, or the last time that a receipt claims
    #[arg(long, value_name = "TIME", value_parser = from)]
    as_of: Option<UnixTime>,
    /// The agent's baseline, to judge its behaviour by; `kakunin risk` makes one
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// The terms of that judgement, if not those that hold without a file
    #[arg(long, value_name = "FILE", requires = "baseline")]
    risk_policy: Option<PathBuf>,
    /// The form
    #[arg(long, value_enum, default_value_t = Form::Json)]
    format: Form,
    /// The report
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

/// A form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One page for a browser and for paper
    Html,
    /// One object for programs
    Json,
    /// A table
    Csv,
    /// Plain pages for paper, made without a browser
    #[cfg(feature = "pdf")]
    Pdf,
    /// OSCAL assessment results
    Oscal,
    /// An OSCAL component definition: what the SDK can implement, without any evidence
    OscalComponent,
}

impl Report {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        if let (Some(table), Some(map)) = (&self.questionnaire, &self.map) {
            return self.fill(common, table, map);
        }
        let framework = Framework::named(self.framework.as_deref().unwrap_or_default())?;
        if self.format == Form::OscalComponent {
            keep(&self.out, EvidenceReport::to_oscal_component(&framework)).map_err(Failure::cannot)?;
            let record = json!({ "framework": framework.id, "out": self.out.display().to_string() });
            return Ok(Answer::yes(record).line(format!("{}: component definition", self.out.display())));
        }
        let report = EvidenceReport::of(framework, self.facts(common)?, self.as_of)?;
        let octets = match self.format {
            Form::Html => report.to_html().into_bytes(),
            Form::Csv => report.to_csv().into_bytes(),
            #[cfg(feature = "pdf")]
            Form::Pdf => report.to_pdf().map_err(Failure::cannot)?,
            Form::Oscal => report.to_oscal_results().into_bytes(),
            Form::Json | Form::OscalComponent => report.to_json().into_bytes(),
        };
        keep(&self.out, octets).map_err(Failure::cannot)?;
        Ok(self.answer(&report))
    }

    fn fill(&self, common: &Common, table: &Path, map: &Path) -> Result<Answer, Failure> {
        let cannot = |error| Failure::cannot(format!("{}: {error}", map.display()));
        let map = QuestionMap::parse(&read_text(map)?).map_err(cannot)?;
        let table = read(table)?;
        let facts = self.facts(common)?;
        let mut reports = Vec::new();
        for name in map.frameworks() {
            reports.push(EvidenceReport::of(Framework::named(name)?, facts.clone(), self.as_of)?);
        }
        let filled = filled(&map, &table, &reports)?;
        keep(&self.out, &filled.octets).map_err(Failure::cannot)?;
        let record = json!({
            "verdict": reports.first().map(EvidenceReport::verdict),
            "evidence": facts.evidence().to_hex(),
            "answered": filled.answered,
            "blank": filled.blank,
            "kept": filled.kept,
            "out": self.out.display().to_string(),
        });
        let (answered, blank, kept) = (filled.answered.len(), filled.blank.len(), filled.kept.len());
        let line = format!("{answered} answered, {blank} left blank, {kept} kept as they were");
        let answer = Answer::yes(record).line(format!("{}: {line}", self.out.display()));
        let answer =
            filled.blank.iter().fold(answer, |answer, id| answer.line(format!("blank: {}", one_line(id))));
        Ok(answer.exit(exit(
            reports.iter().map(EvidenceReport::exit_code).min_by_key(|code| (*code != 1, *code == 0)),
        )))
    }

    fn facts(&self, common: &Common) -> Result<Facts, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common).map_err(Failure::unanswered)? {
            let what = "--url is asked for the evidence of one agent: name it with --agent ID, and give no --bundle and no --journal";
            let agent = self.agent.ok_or_else(|| Failure::usage(what))?;
            let fetched = Fetched::of(&service, agent)?;
            let facts = self.gather(fetched.bundle(), &[], common)?;
            // Of whom it is, receipts say; the service may have been asked about somebody else.
            let stranger = facts.agents().find(|other| *other != agent);
            return match stranger {
                Some(other) => Err(Failure::cannot(format!(
                    "the service handed over receipts of {other}, and {agent} was asked about"
                ))),
                None => Ok(facts),
            };
        }
        let (what, others) = match (&self.bundle, self.journal.split_first()) {
            (Some(bundle), _) => (bundle, &[][..]),
            (None, Some((first, others))) => (first, others),
            (None, None) => {
                let what = "no evidence; pass --bundle FILE, --journal DIR, or --url URL with --agent ID";
                return Err(Failure::usage(what));
            }
        };
        self.gather(what, others, common)
    }

    fn gather(&self, what: &Path, others: &[PathBuf], common: &Common) -> Result<Facts, Failure> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return Err(Failure::usage(format!("the period ends at {to}, before it begins at {from}")));
        }
        let inquiry = self.believed.inquiry()?.replay(names(&self.names)?);
        let period = Period { from: self.from, to: self.to };
        let mut progress = Progress::new(common.json);
        let facts = Facts::gather(&inquiry, what, others, period, self.terms()?.as_ref(), &mut progress);
        progress.end();
        Ok(facts?)
    }

    fn terms(&self) -> Result<Option<Terms>, Failure> {
        let Some(path) = &self.baseline else { return Ok(None) };
        let cannot = |path: &PathBuf, error: &dyn std::fmt::Display| {
            Failure::cannot(format!("{}: {error}", path.display()))
        };
        let baseline = Baseline::from_json(&read_text(path)?).map_err(|error| cannot(path, &error))?;
        let policy = match &self.risk_policy {
            Some(path) => RiskPolicy::from_toml(&read_text(path)?).map_err(|error| cannot(path, &error))?,
            None => RiskPolicy::default(),
        };
        Ok(Some(Terms { baseline, policy }))
    }

    fn answer(&self, report: &EvidenceReport) -> Answer {
        let count = |status| report.count(status);
        let out = self.out.display().to_string();
        let record = json!({
            "framework": report.framework().id,
            "verdict": report.verdict(),
            "evidence": report.facts().evidence().to_hex(),
            "as_of": report.as_of().to_string(),
            "counts": {
                "evidenced": count(Status::Evidenced),
                "partial": count(Status::Partial),
                "no_evidence": count(Status::NoEvidence),
                "contradicted": count(Status::Contradicted),
                "out_of_scope": count(Status::OutOfScope),
            },
            "out": out,
        });
        let rows = Status::ALL.map(|status| format!("{} {}", count(status), status.word())).join(", ");
        Answer::yes(record)
            .line(format!("{}: {}: {rows}", report.verdict(), report.framework().title))
            .line(out)
            .exit(match report.exit_code() {
                0 => Exit::Yes,
                1 => Exit::No,
                _ => Exit::NotComplete,
            })
    }
}

/// The table with answers, in the form it came in, which its first octets tell.
fn filled(map: &QuestionMap, table: &[u8], reports: &[EvidenceReport]) -> Result<Filled, Failure> {
    if table.starts_with(b"PK") || table.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        #[cfg(feature = "xlsx")]
        return Ok(map.fill_workbook(table, reports)?);
        #[cfg(not(feature = "xlsx"))]
        return Err(Failure::usage(
            "this build fills no workbooks; take one with the feature `xlsx`, or save the table as CSV",
        ));
    }
    let text = std::str::from_utf8(table).map_err(|_| Failure::cannot("the table is no UTF-8 text"))?;
    Ok(map.fill(text, reports)?)
}

/// The exit for a report's own code; nothing to report on is nothing that was shown.
fn exit(code: Option<u8>) -> Exit {
    match code {
        Some(0) => Exit::Yes,
        Some(1) => Exit::No,
        _ => Exit::NotComplete,
    }
}

impl From<QuestionnaireError> for Failure {
    fn from(error: QuestionnaireError) -> Self {
        Self::cannot(error)
    }
}

impl From<FrameworkError> for Failure {
    fn from(error: FrameworkError) -> Self {
        Self::usage(error)
    }
}

#[cfg(feature = "serve")]
fn agent(text: &str) -> Result<AgentId, String> {
    AgentId::parse(text).ok_or_else(|| "an agent is a UUID in lower case".to_owned())
}

/// A time, or the beginning of a day.
fn from(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text)
        .or_else(|_| UnixTime::parse_rfc3339(&format!("{text}T00:00:00Z")))
        .map_err(|_| WRITE_TIME.to_owned())
}

/// A time, or the end of a day.
fn to(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text)
        .or_else(|_| UnixTime::parse_rfc3339(&format!("{text}T23:59:59Z")))
        .map_err(|_| WRITE_TIME.to_owned())
}

const WRITE_TIME: &str = "write it as 2026-11-23 or 2026-11-23T09:30:00Z";
