//! The binary `kakunin`: an authority for AI agents at a terminal, and the checks that need none.
//!
//! Every command answers in lines for people or, with `--json`, in JSON for programs, and its exit code says the
//! same: 0 yes, 1 no, 2 cannot be evaluated, 3 authentic but not complete, 64 wrong usage.

mod answer;
mod believed;
mod command;
mod context;
mod deed;
mod gate;
mod judge;
#[cfg(feature = "serve")]
mod fetched;
#[cfg(feature = "serve")]
mod line;
#[cfg(feature = "serve")]
mod lines;
mod progress;
#[cfg(feature = "serve")]
mod remote;
mod trail;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use answer::{Exit, Reader};
use command::Command;
use context::Common;

/// Identity, leash and paper trail for AI agents.
#[derive(Parser)]
#[command(name = "kakunin", version, disable_help_subcommand = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    // Known before anything is read: what is wrong with an argument is printed with the argument.
    let reader = match std::env::args_os().any(|argument| argument == "--github") {
        true => Reader::Runner,
        false => Reader::Anybody,
    };
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is the reader's choice and no reason to fail.
            match reader {
                Reader::Anybody => drop(error.print()),
                Reader::Runner => eprintln!("{}", reader.shown(&error.to_string())),
            }
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Yes.into(),
                _ => Exit::Usage.into(),
            };
        }
    };
    answer::give(cli.command.run(&cli.common), cli.common.json, reader)
}

const EXAMPLES: &str = "\
A first authority and its first agent:
  kakunin init
  kakunin agent create billing --scope scope.toml --out agents/billing
  kakunin check --agent agents/billing --crl .kakunin/public/lists.pem --action payments:send --amount 12.50 --currency EUR --counterparty acme

Exit codes: 0 yes, 1 no, 2 cannot be evaluated, 3 authentic but not complete, 64 wrong usage.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The words of a line as a shell reads them, command by command: up to a comment, without quotes and settings.
    fn commands(line: &str) -> Vec<Vec<String>> {
        let (mut found, mut words, mut word, mut quote) = (Vec::new(), Vec::new(), None::<String>, None);
        for letter in line.chars().chain([' ']) {
            match (letter, quote) {
                ('\'' | '"', None) => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (letter, Some(open)) if letter == open => quote = None,
                ('#', None) if word.is_none() => break,
                (' ' | '\n', None) => match word.take().as_deref() {
                    Some("&&") => found.push(std::mem::take(&mut words)),
                    Some(ended) => words.push(ended.to_owned()),
                    None => {}
                },
                _ => word.get_or_insert_default().push(letter),
            }
        }
        found.push(words);
        let kakunin = |words: Vec<String>| {
            let from = words.iter().position(|word| word == "kakunin")?;
            words.get(from..).map(<[String]>::to_vec)
        };
        found.into_iter().filter_map(kakunin).collect()
    }

    fn each(command: &clap::Command, examples: &mut Vec<(String, Vec<String>)>) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default().replace("\\\n", " ");
        // An example is indented; other lines speak of commands.
        for line in text.lines().filter(|line| line.starts_with("  ")) {
            examples.extend(commands(line).into_iter().map(|words| (command.get_name().to_owned(), words)));
        }
        command.get_subcommands().for_each(|below| each(below, examples));
    }

    #[test]
    fn every_example_of_every_help_is_a_command() {
        let mut examples = Vec::new();
        each(&Cli::command(), &mut examples);
        assert!(examples.len() > 80, "{}", examples.len());
        let mut refused = Vec::new();
        for (whose, mut words) in examples {
            // What is left out of an example is left out of the test.
            if words.iter().any(|word| word.ends_with("...") && !word.contains('+')) {
                continue;
            }
            for word in &mut words {
                // A key as its owner gives it, and an agent's id; any will do.
                if word.contains('+') || KEYS.contains(&word.as_str()) {
                    *word = LOG_KEY.to_owned();
                } else if word == "ID" {
                    *word = "00000000-0000-4000-8000-000000000000".to_owned();
                }
            }
            refused.extend(
                Cli::try_parse_from(&words).err().map(|error| format!("{whose}: {words:?}: {error}")),
            );
        }
        assert!(refused.is_empty(), "{}", refused.join("\n"));
    }

    const KEYS: [&str; 3] = ["KEY", "K1", "K2"];
    /// The example of C2SP signed-note, "Verifier keys".
    const LOG_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
}
