//! What a command gives back, and how it reaches a terminal or a program.

use std::io::{self, Write};
use std::process::ExitCode;

use kakunin_authority::AuthorityError;
use kakunin_authority::files::FileError;
use kakunin_authority::home::HomeError;
use kakunin_authority::store::StoreError;
use kakunin_core::report::InquiryError;
use serde_json::{Value, json};

use crate::gate::unheard;

/// The exit codes, documented and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Yes,
    No,
    CannotEvaluate,
    NotComplete,
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::CannotEvaluate => 2,
            Exit::NotComplete => 3,
            Exit::Usage => 64,
        })
    }
}

/// A command's answer: lines for people, records for programs.
#[derive(Debug)]
pub(crate) struct Answer {
    exit: Exit,
    lines: Vec<String>,
    /// One JSON document a line.
    records: Vec<Value>,
    warnings: Vec<String>,
}

/// Who reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A person or a program.
    Anybody,
    /// A runner of GitHub Actions, which obeys lines of a certain form.
    Runner,
}

impl Reader {
    /// Text as this reader may be shown it.
    pub(crate) fn shown(self, text: &str) -> String {
        match self {
            Self::Anybody => shown(text),
            Self::Runner => unheard(&shown(text)),
        }
    }

    fn json(self, value: &Value) -> String {
        match self {
            Self::Anybody => value.to_string(),
            // In JSON this stands only within a text, where it may be written otherwise.
            Self::Runner => value.to_string().replace("##[", "##\\u005b"),
        }
    }
}

impl Answer {
    /// Yes, with what a program reads.
    pub(crate) fn yes(record: Value) -> Self {
        Self { exit: Exit::Yes, lines: Vec::new(), records: vec![record], warnings: Vec::new() }
    }

    /// Yes, with a record for each of several questions.
    pub(crate) fn all(records: Vec<Value>) -> Self {
        Self { exit: Exit::Yes, lines: Vec::new(), records, warnings: Vec::new() }
    }

    /// The same answer with one more line.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// The same answer with more lines.
    pub(crate) fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    /// The same answer with another exit code.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The same answer with something the operator should see, kept out of what programs read.
    pub(crate) fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// A command that has no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn no(message: impl ToString) -> Self {
        Self { exit: Exit::No, message: message.to_string() }
    }

    pub(crate) fn cannot(message: impl ToString) -> Self {
        Self { exit: Exit::CannotEvaluate, message: message.to_string() }
    }

    /// The same failure, with what was done before it.
    pub(crate) fn after(mut self, done: impl std::fmt::Display) -> Self {
        self.message = format!("{done}: {}", self.message);
        self
    }

    /// The same failure where a no of somebody else is no answer: nothing can be evaluated. Wrong usage stays that.
    #[cfg(feature = "serve")]
    pub(crate) fn unanswered(self) -> Self {
        match self.exit {
            Exit::Usage => self,
            _ => Self { exit: Exit::CannotEvaluate, ..self },
        }
    }

    /// The same failure, with what to do next.
    pub(crate) fn then(mut self, next: impl std::fmt::Display) -> Self {
        self.message = format!("{}; {next}", self.message);
        self
    }

    /// What it says.
    pub(crate) fn what(&self) -> &str {
        &self.message
    }

    /// Whether the command was used wrongly.
    #[cfg(feature = "serve")]
    pub(crate) fn is_usage(&self) -> bool {
        self.exit == Exit::Usage
    }

    pub(crate) fn usage(message: impl ToString) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }
}

impl From<AuthorityError> for Failure {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Days { .. } | AuthorityError::Hours { .. } | AuthorityError::Minutes { .. } => {
                Self::usage(error)
            }
            _ if error.is_refusal() => Self::no(error),
            _ => Self::cannot(error),
        }
    }
}

impl From<InquiryError> for Failure {
    fn from(error: InquiryError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::cannot(error) }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        AuthorityError::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        AuthorityError::from(error).into()
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::cannot(error)
    }
}

/// Prints an answer or a failure.
pub(crate) fn give(outcome: Result<Answer, Failure>, json: bool, reader: Reader) -> ExitCode {
    let (exit, lines, warnings) = match outcome {
        Ok(answer) => {
            let lines = match json {
                true => answer.records.iter().map(|record| reader.json(record)).collect(),
                false => answer.lines.iter().map(|line| reader.shown(line)).collect(),
            };
            let warnings =
                answer.warnings.iter().map(|text| format!("kakunin: warning: {}", reader.shown(text)));
            (answer.exit, lines, warnings.collect())
        }
        Err(failure) => {
            let lines = match json {
                true => vec![reader.json(&json!({ "error": failure.message }))],
                false => Vec::new(),
            };
            (failure.exit, lines, vec![format!("kakunin: {}", reader.shown(&failure.message))])
        }
    };
    for warning in warnings {
        let _ = writeln!(io::stderr().lock(), "{warning}");
    }
    let mut out = io::stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
    match written {
        // A reader that has seen enough closes the pipe.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::CannotEvaluate.into(),
        _ => exit.into(),
    }
}

/// Text as a terminal may show it. Some of it is the name of a file, of an agent or of a member of a bundle, which is
/// anybody's: what a terminal would obey, or what turns the text around, is written out.
fn shown(text: &str) -> String {
    let obeyed = |letter: char| {
        let turns =
            matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || (letter.is_control() && !matches!(letter, '\n' | '\t'))
    };
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if obeyed(letter) { out.extend(letter.escape_debug()) } else { out.push(letter) }
    }
    out
}

/// Text that somebody else chose, as a part of one line: it begins no line of its own.
pub(crate) fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(shown("a\u{1b}[2J\u{9b}1m\u{202e}\r\u{7f}"), r"a\u{1b}[2J\u{9b}1m\u{202e}\r\u{7f}");
        let plain = "Grüße, 日本\n\tzwei – `x` \"y\"";
        assert_eq!(shown(plain), plain);
    }
}
