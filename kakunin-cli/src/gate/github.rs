//! What a job of GitHub Actions reads: annotations, outputs, the summary of the step.
//!
//! All of it is text with a syntax, and names in it are anybody's: what ends a line, a command or a cell is written
//! otherwise, so no value becomes a command, an output of another name, or markup.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::gate::{Check, Outcome};

use super::record::{Told, short};

/// The files that the runner names, as far as it names them.
#[derive(Clone, Debug, Default)]
pub(crate) struct GitHub {
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
}

impl GitHub {
    /// As the environment says.
    pub(crate) fn from_environment() -> Self {
        let file = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { output: file("GITHUB_OUTPUT"), summary: file("GITHUB_STEP_SUMMARY") }
    }

    /// Tells everything; `report` is where the whole of it was written.
    pub(crate) fn tell(&self, told: &Told<'_>, policy: &Path, report: Option<&Path>) -> io::Result<()> {
        let mut err = io::stderr().lock();
        for check in told.refusals() {
            writeln!(err, "{}", annotation(check, policy))?;
        }
        drop(err);
        if let Some(path) = &self.summary {
            append(path, &summary(told))?;
        }
        self.put(&outputs(told, report))
    }

    /// Writes outputs.
    pub(crate) fn put(&self, outputs: &[(&str, String)]) -> io::Result<()> {
        let Some(path) = &self.output else { return Ok(()) };
        let text: String = outputs.iter().map(|(name, value)| output(name, value)).collect();
        append(path, &text)
    }
}

/// The outputs of a judgement, all of them each time.
fn outputs(told: &Told<'_>, report: Option<&Path>) -> Vec<(&'static str, String)> {
    let risk = told.judgement.risk();
    vec![
        ("decision", told.verdict().word().to_owned()),
        ("risk-score", risk.map_or_else(String::new, |replay| replay.score.to_string())),
        ("level", told.judgement.level().map_or_else(String::new, |level| level.word().to_owned())),
        ("cert-revoked", told.done.revoked.to_string()),
        ("agent-suspended", told.done.suspended.to_string()),
        ("receipt", told.signed.receipt().map_or_else(String::new, ToString::to_string)),
        ("report", report.map_or_else(String::new, |path| path.display().to_string())),
    ]
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// One output between two lines that the value cannot hold: they are named by its digest.
fn output(name: &str, value: &str) -> String {
    let end = format!("kakunin-{}", Digest::of(value.as_bytes()).to_hex());
    format!("{name}<<{end}\n{value}\n{end}\n")
}

/// An error beside the policy.
fn annotation(check: &Check, policy: &Path) -> String {
    let file = property(&policy.display().to_string());
    let title = property(&format!("kakunin gate: {} ({})", check.step().word(), check.outcome().word()));
    let message = data(&format!("{} [{}]", short(check.sentence()), check.code().as_str()));
    format!("::error title={title},file={file}::{message}")
}

/// Text of which the runner obeys no line. It looks for commands at the beginning of a line, and for those of an older form
/// anywhere in it.
pub(crate) fn unheard(text: &str) -> String {
    let lines = text.split('\n').map(|line| match line.trim_start().starts_with("::") {
        true => format!("| {line}"),
        false => line.to_owned(),
    });
    broken(&lines.collect::<Vec<_>>().join("\n"))
}

fn broken(text: &str) -> String {
    text.replace("##[", "##\u{200b}[")
}

/// The message of a workflow command.
fn data(text: &str) -> String {
    broken(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

fn summary(told: &Told<'_>) -> String {
    let agent = told.judgement.agent().map_or_else(|| "unknown".to_owned(), |agent| agent.to_string());
    let mut text = format!("### kakunin gate: {}\n\nAgent {agent}", told.verdict().word());
    if let (Some(replay), Some(level)) = (told.judgement.risk(), told.judgement.level()) {
        text.push_str(&format!(", level {}, score {} of 1000", level.word(), replay.score));
    }
    text.push_str("\n\n| check | result | code | found |\n| --- | --- | --- | --- |\n");
    for check in told.judgement.checks() {
        let mark = if check.outcome() == Outcome::Pass { "" } else { "**" };
        text.push_str(&format!(
            "| {} | {mark}{}{mark} | {} | {} |\n",
            check.step().word(),
            check.outcome().word(),
            check.code().as_str(),
            cell(&short(check.sentence())),
        ));
    }
    for what in told.trouble {
        text.push_str(&format!("\n{}\n", cell(&short(what))));
    }
    text
}

/// Text in a cell of a table in Markdown: nothing of it is markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A name is no link, no mention, no heading and no new cell.
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '!' | '#' | '~' | '@' | ':' => {
                out.push_str(&format!("&#{};", u32::from(letter)));
            }
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_command() {
        assert_eq!(data("x ##[stop-commands]y"), "x ##\u{200b}[stop-commands]y");
        assert_eq!(unheard("a\n ::error::b ##[add-mask]c\nd"), "a\n|  ::error::b ##\u{200b}[add-mask]c\nd");
        assert_eq!(data("a\r\n::error::b%"), "a%0D%0A::error::b%25");
        assert_eq!(property("x,file=/etc:1\n"), "x%2Cfile=/etc%3A1%0A");
    }

    #[test]
    fn no_value_ends_its_output() {
        let value = "pass\nkakunin-0\ndecision=pass\nEOF";
        let text = output("report", value);
        let (first, rest) = text.split_once('\n').unwrap();
        let end = first.strip_prefix("report<<").unwrap();
        assert_eq!(rest.strip_suffix(&format!("\n{end}\n")), Some(value));
        assert!(!value.contains(end));
    }

    #[test]
    fn no_name_is_markup_in_the_summary() {
        let shown = cell("a|b`c`<img src=x>\n@team [x](http://y) ## &lt;");
        assert!(!shown.contains(['|', '`', '<', '>', '\n', '@', '[', '(']), "{shown}");
    }
}
