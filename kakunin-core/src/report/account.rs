//! The answer, in JSON for programs and in lines for people.

use serde_json::{Value, json};

use super::faults::what;
use super::inquiry::Believed;
use super::{page, story};
use crate::verify::{Extent, Invalid, Place, Reason, Report, Step, StreamSummary, Timeline, Verdict};

/// What was found, with the story of it.
#[derive(Debug)]
pub struct Account {
    report: Report,
    steps: Vec<Step>,
    left_out: u64,
    notes: Vec<String>,
    believed: Believed,
}

/// Whether the story belongs to the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Where the answer is about one chain: whole streams are no story.
    #[default]
    OneChain,
    /// In any case.
    Always,
}

impl Account {
    pub(super) fn new(report: Report, timeline: Timeline, notes: Vec<String>, believed: Believed) -> Self {
        let left_out = timeline.left_out();
        Self { report, steps: timeline.into_steps(), left_out, notes, believed }
    }

    /// What the verifier found.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The same, without the story.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    /// The receipts in the order that their links prove; of many, the first ones of each stream.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many receipts were verified and are not among the steps.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What the asker should know beside the verdict: keys that are missing, what is wrong with a file.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The answer for programs: one JSON object, the same on every surface.
    #[must_use]
    pub fn to_record(&self, told: Told) -> Value {
        let report = &self.report;
        let verdict = report.verdict();
        let count = |count: fn(&StreamSummary) -> u64| self.sum(count);
        let mut record = json!({
            "verdict": verdict.word(),
            "exit_code": verdict.exit_code(),
            "chain": self.chain(),
            "invalid": self.invalid().map(fault),
            "reasons": self.reasons().iter().map(reason).collect::<Vec<Value>>(),
            "notes": self.notes,
            "values": {
                "disclosed": report.values().disclosed,
                "erased": report.values().erased,
                "withheld": report.values().withheld,
                "missing": report.values().missing,
            },
            "replay": report.replay().map(|count| json!({ "same": count.same, "open": count.open })),
            "counts": {
                "receipts": count(|stream| stream.receipts),
                "allowed": count(|stream| stream.allowed),
                "denied": count(|stream| stream.denied),
                "outcomes": count(|stream| stream.outcomes),
                "unsigned": count(|stream| stream.unsigned),
                "logged": count(|stream| stream.logged),
                "witnessed": count(|stream| stream.witnessed),
            },
            "streams": report.streams().iter().map(stream).collect::<Vec<Value>>(),
        });
        if let Some(record) = record.as_object_mut().filter(|_| self.is_told(told)) {
            record.insert("timeline".to_owned(), story::records(&self.steps));
            record.insert("left_out".to_owned(), self.left_out.into());
        }
        record
    }

    /// The answer for people, line by line. The first begins with the verdict.
    #[must_use]
    pub fn to_lines(&self, told: Told) -> Vec<String> {
        let about = self.chain().map_or_else(String::new, |chain| format!(" chain {chain},"));
        let mut lines = vec![format!(
            "{}:{about} {} receipts in {} streams, {} allowed, {} denied, {} outcomes",
            self.report.verdict().word(),
            self.sum(|stream| stream.receipts),
            self.report.streams().len(),
            self.sum(|stream| stream.allowed),
            self.sum(|stream| stream.denied),
            self.sum(|stream| stream.outcomes),
        )];
        lines.extend(self.invalid().map(|invalid| match what(invalid.code) {
            Some(what) => format!("{invalid}: {what}"),
            None => invalid.to_string(),
        }));
        lines.extend(self.reasons().iter().map(|reason| format!("{} [{}]", reason, reason.code())));
        let jumps = self.sum(|stream| stream.clock_jumps);
        if jumps > 0 {
            lines.push(format!("clocks: {jumps} jumps stated by the agents themselves"));
        }
        let values = self.report.values();
        if values.erased > 0 {
            let (disclosed, erased) = (values.disclosed, values.erased);
            lines.push(format!("values: {disclosed} disclosed, {erased} erased as a receipt says"));
        }
        if let Some(count) = self.report.replay() {
            lines.push(format!(
                "replay: {} decisions come out the same, {} cannot be decided here",
                count.same, count.open
            ));
        }
        if self.is_told(told) {
            lines.push(String::new());
            lines.extend(story::lines(&self.steps, self.left_out));
        }
        lines
    }

    /// The answer as one page of HTML that needs nothing else and asks nobody. It is a drawing and proves nothing by
    /// itself.
    #[must_use]
    pub fn to_page(&self) -> String {
        page::draw(self, &self.believed)
    }

    pub(super) fn sum(&self, count: fn(&StreamSummary) -> u64) -> u64 {
        self.report.streams().iter().map(count).fold(0, u64::saturating_add)
    }

    pub(super) fn chain(&self) -> Option<String> {
        match self.report.extent() {
            Extent::Chain(chain) => Some(chain.to_string()),
            Extent::Streams => None,
        }
    }

    pub(super) fn reasons(&self) -> &[Reason] {
        match self.report.verdict() {
            Verdict::Invalid(_) => &[],
            _ => self.report.reasons(),
        }
    }

    pub(super) fn invalid(&self) -> Option<&Invalid> {
        match self.report.verdict() {
            Verdict::Invalid(invalid) => Some(invalid),
            _ => None,
        }
    }

    fn is_told(&self, told: Told) -> bool {
        let wanted = told == Told::Always || matches!(self.report.extent(), Extent::Chain(_));
        wanted && self.report.streams().iter().any(|stream| stream.receipts > 0)
    }
}

fn fault(invalid: &Invalid) -> Value {
    let (code, text, what) = (invalid.code, invalid.to_string(), what(invalid.code));
    match &invalid.place {
        Place::Receipt { stream, index } => {
            json!({ "code": code, "text": text, "what": what, "stream": stream.to_string(), "index": index })
        }
        Place::Member(name) => json!({ "code": code, "text": text, "what": what, "member": name }),
        Place::Evidence => json!({ "code": code, "text": text, "what": what }),
    }
}

fn reason(reason: &Reason) -> Value {
    json!({
        "code": reason.code(),
        "text": reason.to_string(),
        "stream": reason.stream().map(|stream| stream.to_string()),
        "indices": reason.indices(),
    })
}

fn stream(stream: &StreamSummary) -> Value {
    json!({
        "stream": stream.stream.to_string(),
        "agent": stream.agent.map(|agent| agent.to_string()),
        "root": stream.root.map(|root| root.to_hex()),
        "certificate": stream.certificate.map(|certificate| certificate.to_hex()),
        "receipts": stream.receipts,
        "allowed": stream.allowed,
        "denied": stream.denied,
        "outcomes": stream.outcomes,
        "unsigned": stream.unsigned,
        "logged": stream.logged,
        "witnessed": stream.witnessed,
        "clock_jumps": stream.clock_jumps,
        "closed": stream.closed,
        "claimed_from": stream.claimed.map(|(from, _)| from.to_string()),
        "claimed_to": stream.claimed.map(|(_, to)| to.to_string()),
    })
}
