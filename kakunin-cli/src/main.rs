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
  kakunin check --agent agents/billing --crl .kakunin/public/lists.pem --action payments:send --amount 12.50 --currency EUR

Exit codes: 0 yes, 1 no, 2 cannot be evaluated, 3 authentic but not complete, 64 wrong usage.";
