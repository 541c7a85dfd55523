//! `kakunin archive`: the owner's log where nobody can take it back.

mod bucket;
mod lengthen;
mod protect;
mod push;
mod status;

mod r#use;
mod verify;

use clap::Subcommand;

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Keep the log and the lists write-once, in S3 with Object Lock
///
/// `use` says where to and for how long, `push` stores what is new, `status` says what is not stored yet, `verify` reads
/// everything back. Nothing here changes the log or holds it up. Stored are full tiles and bundles of H/log, each
/// checkpoint with the partial tiles that it needs, and every revocation list that was published or used.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  kakunin archive use s3://acme-trail/eu --keep 7y
  kakunin archive push              # every hour, from cron or a timer
  kakunin archive status            # ends with 1 when too much waits, or for too long
  kakunin archive verify            # reads every version back
  kakunin archive lengthen          # after a longer --keep, for what is stored already")]
pub(crate) enum Archive {
    Use(r#use::Use),
    Push(push::Push),
    Status(status::Status),
    Verify(verify::Verify),
    Lengthen(lengthen::Lengthen),
    Protect(protect::Protect),
}

impl Archive {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        match self {
            Self::Use(command) => command.run(common),
            Self::Push(command) => command.run(common),
            Self::Status(command) => command.run(common),
            Self::Verify(command) => command.run(common),
            Self::Lengthen(command) => command.run(common),
            Self::Protect(command) => command.run(common),
        }
    }
}
