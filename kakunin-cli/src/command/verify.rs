use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_core::bundle::Bundle;
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::log::{LogReader, VerifierKey, WitnessPolicy};
use kakunin_core::scope::{NameList, NameLists};
use kakunin_core::verify::{
    Extent, Invalid, Place, Reason, Report, StreamSummary, Timeline, Verdict, Verification,
};
use serde_json::{Value, json};

use super::verify_certificate::certificates;
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, read, read_text};
use crate::progress::Progress;
use crate::story;

/// Verify journals or a bundle, offline: nothing but what you name is believed
///
/// Takes a bundle, or an agent's directory, its state or its journal. The answer is never a bare "valid": COMPLETE needs
/// somebody else who saw the end, a witness of your policy or a log whose key you have, so a journal on this machine alone
/// is at best AUTHENTIC-NOT-COMPLETE.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin verify incident.zip --root ca.pem --log-key KEY
  kakunin verify incident.zip --root a.pem --root b.pem --log-key K1 --log-key K2 --witness-policy w.txt --replay
  kakunin verify agents/billing --root ca.pem --log .kakunin/log --log-key KEY --json

Exit codes: 0 complete, 1 invalid, 3 authentic but not complete or empty, 2 cannot be evaluated.")]
pub(crate) struct Verify {
    /// A bundle, or an agent's directory, its state or its journal
    #[arg(value_name = "BUNDLE|DIR")]
    what: PathBuf,
    /// Another journal, to be verified with the first
    #[arg(long, value_name = "DIR")]
    journal: Vec<PathBuf>,
    /// Roots to trust; never taken from what is verified
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
    /// The key of a log, as its owner gives it to you; you believe that it shows everybody the same
    #[arg(long, value_name = "KEY", value_parser = log_key)]
    log_key: Vec<VerifierKey>,
    /// Witnesses to believe: a tlog-policy file
    #[arg(long, value_name = "FILE")]
    witness_policy: Vec<PathBuf>,
    /// A log that holds receipts of the journals; a bundle has its proofs in it
    #[arg(long, value_name = "DIR")]
    log: Vec<PathBuf>,
    /// Decide again what the receipts record, by the scope in the certificate and the disclosed values
    #[arg(long)]
    replay: bool,
    /// Lists of names that scopes refer to, for --replay: `<root>.txt` as in an agent's directory
    #[arg(long, value_name = "DIR", requires = "replay")]
    names: Vec<PathBuf>,
    /// Tell what happened, receipt by receipt; for a bundle of one chain it is told anyway
    #[arg(long)]
    timeline: bool,
}

fn log_key(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|error| error.to_string())
}

impl Verify {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let mut roots = Vec::new();
        for path in &self.root {
            roots.extend(certificates(path)?);
        }
        let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(Failure::cannot)?;
        let policies = self.policies()?;
        let names = self.names()?;
        let mut terms = Verification::by(&anchors).logs(&self.log_key).witnesses(&policies);
        if self.replay {
            terms = terms.replay(&names);
        }
        let mut timeline = Timeline::of_at_most(story::MOST_STEPS);
        let mut progress = Progress::over(&mut timeline, common.json);
        let cannot = |error: io::Error| Failure::cannot(format!("{}: {error}", self.what.display()));
        let (report, warnings) = if self.what.is_file() {
            self.bundle(&terms, &mut progress).map_err(cannot)?
        } else {
            (self.journals(&terms, &mut progress)?, Vec::new())
        };
        progress.end();
        let told = self.timeline || matches!(report.extent(), Extent::Chain(_));
        let steps = if told && report.streams().iter().any(|stream| stream.receipts > 0) {
            let left_out = timeline.left_out();
            Some((timeline.into_steps(), left_out))
        } else {
            None
        };
        let mut answer = answer(&report, steps);
        for warning in warnings {
            answer = answer.warn(warning);
        }
        Ok(answer)
    }

    /// A bundle: refused as a whole, or judged.
    fn bundle(
        &self,
        terms: &Verification<'_>,
        progress: &mut Progress<'_>,
    ) -> io::Result<(Report, Vec<String>)> {
        if !self.journal.is_empty() || !self.log.is_empty() {
            return Err(io::Error::other("a bundle is verified alone; --journal and --log are for journals"));
        }
        match Bundle::open(&self.what) {
            Ok(bundle) => {
                progress.expect(bundle.receipts());
                let known = |name: &&String| self.log_key.iter().any(|key| key.name() == name.as_str());
                let unknown = bundle.logs().iter().filter(|name| !known(name));
                let ask =
                    |name| format!("the bundle has proofs of the log `{name}`; give its key with --log-key");
                Ok((bundle.verify(terms, progress)?, unknown.map(ask).collect()))
            }
            Err(error) => {
                let what = error.to_string();
                Ok((error.into_report()?, vec![what]))
            }
        }
    }

    fn journals(&self, terms: &Verification<'_>, progress: &mut Progress<'_>) -> Result<Report, Failure> {
        let mut logs = Vec::new();
        for folder in &self.log {
            logs.push(self.open_log(folder)?);
        }
        let paths: Vec<&Path> =
            std::iter::once(&self.what).chain(&self.journal).map(PathBuf::as_path).collect();
        let cannot = |error| Failure::cannot(format!("{}: {error}", self.what.display()));
        terms.journals(&paths, logs, progress).map_err(cannot)
    }

    /// Opens a log by one of the keys that were given: the one beside it proves nothing.
    fn open_log(&self, folder: &Path) -> Result<LogReader, Failure> {
        let mut last = None;
        for key in &self.log_key {
            match LogReader::open(folder, key) {
                Ok(log) => return Ok(log),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => Failure::cannot(error),
            None => Failure::usage(format!("{}: give the key of this log with --log-key", folder.display())),
        })
    }

    fn policies(&self) -> Result<Vec<WitnessPolicy>, Failure> {
        let parse = |path: &PathBuf| {
            let cannot = |error| Failure::cannot(format!("{}: {error}", path.display()));
            WitnessPolicy::parse(read(path)?).map_err(cannot)
        };
        self.witness_policy.iter().map(parse).collect()
    }

    fn names(&self) -> Result<NameLists, Failure> {
        let mut lists = NameLists::default();
        for folder in &self.names {
            let cannot =
                |error: &dyn std::fmt::Display| Failure::cannot(format!("{}: {error}", folder.display()));
            for entry in fs::read_dir(folder).map_err(|error| cannot(&error))? {
                let path = entry.map_err(|error| cannot(&error))?.path();
                if path.extension().is_some_and(|kind| kind == "txt") {
                    lists.insert(NameList::parse(&read_text(&path)?).map_err(|error| cannot(&error))?);
                }
            }
        }
        Ok(lists)
    }
}

fn answer(report: &Report, steps: Option<(Vec<kakunin_core::verify::Step>, u64)>) -> Answer {
    let verdict = report.verdict();
    let reasons: &[Reason] = match verdict {
        Verdict::AuthenticNotComplete(reasons) => reasons,
        _ => &[],
    };
    let invalid: Option<&Invalid> = match verdict {
        Verdict::Invalid(invalid) => Some(invalid),
        _ => None,
    };
    let chain = match report.extent() {
        Extent::Chain(chain) => Some(chain.to_string()),
        Extent::Streams => None,
    };
    let mut record = json!({
        "verdict": verdict.word(),
        "chain": chain,
        "invalid": invalid.map(fault),
        "reasons": reasons.iter().map(|reason| json!({
            "code": reason.code(), "text": reason.to_string(),
        })).collect::<Vec<Value>>(),
        "replay": report.replay().map(|count| json!({ "same": count.same, "open": count.open })),
        "streams": report.streams().iter().map(stream).collect::<Vec<Value>>(),
    });
    let sum = |count: fn(&StreamSummary) -> u64| report.streams().iter().map(count).sum::<u64>();
    let about = chain.map_or_else(String::new, |chain| format!(" chain {chain},"));
    let mut lines = vec![format!(
        "{}:{about} {} receipts in {} streams, {} allowed, {} denied, {} outcomes",
        verdict.word(),
        sum(|stream| stream.receipts),
        report.streams().len(),
        sum(|stream| stream.allowed),
        sum(|stream| stream.denied),
        sum(|stream| stream.outcomes),
    )];
    lines.extend(invalid.map(ToString::to_string));
    lines.extend(reasons.iter().map(|reason| format!("{} [{}]", reason, reason.code())));
    if let Some(count) = report.replay() {
        lines.push(format!(
            "replay: {} decisions come out the same, {} cannot be decided here",
            count.same, count.open
        ));
    }
    if let Some((steps, left_out)) = steps {
        if let Some(record) = record.as_object_mut() {
            record.insert("timeline".to_owned(), story::records(&steps));
        }
        lines.push(String::new());
        lines.extend(story::lines(&steps, left_out));
    }
    Answer::yes(record).lines(lines).exit(match verdict.exit_code() {
        0 => Exit::Yes,
        1 => Exit::No,
        _ => Exit::NotComplete,
    })
}

fn fault(invalid: &Invalid) -> Value {
    match &invalid.place {
        Place::Receipt { stream, index } => {
            json!({ "code": invalid.code, "stream": stream.to_string(), "index": index })
        }
        Place::Member(name) => json!({ "code": invalid.code, "member": name }),
        _ => json!({ "code": invalid.code }),
    }
}

fn stream(stream: &StreamSummary) -> Value {
    json!({
        "stream": stream.stream.to_string(),
        "agent": stream.agent.map(|agent| agent.to_string()),
        "receipts": stream.receipts,
        "allowed": stream.allowed,
        "denied": stream.denied,
        "outcomes": stream.outcomes,
        "unsigned": stream.unsigned,
        "logged": stream.logged,
        "witnessed": stream.witnessed,
        "closed": stream.closed,
        "claimed_from": stream.claimed.map(|(from, _)| from.to_string()),
        "claimed_to": stream.claimed.map(|(_, to)| to.to_string()),
    })
}
