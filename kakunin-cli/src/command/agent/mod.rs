//! `kakunin agent`: who exists and what they hold.

mod certify;
mod create;
#[cfg(feature = "serve")]
mod delivery;
mod list;
mod renew;
mod show;
mod token;

use clap::Subcommand;

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Create, certify, renew and look at agents
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  kakunin agent create billing --scope scope.toml --out agents/billing
  kakunin agent renew billing
  kakunin agent list")]
pub(crate) enum Agent {
    Create(create::Create),
    Certify(certify::Certify),
    Renew(renew::Renew),
    List(list::List),
    Show(show::Show),
    Token(token::Token),
}

impl Agent {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        match self {
            Self::Create(command) => command.run(common),
            Self::Certify(command) => command.run(common),
            Self::Renew(command) => command.run(common),
            Self::List(command) => command.run(common),
            Self::Show(command) => command.run(common),
            Self::Token(command) => command.run(common),
        }
    }
}
