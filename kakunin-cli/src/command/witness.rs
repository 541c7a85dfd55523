use std::path::PathBuf;

use clap::Args;
use kakunin_authority::files::{self, Readers};
use kakunin_authority::witness::{self as own, WitnessHomeError};
use kakunin_core::log::{LogError, LogReader, VerifierKey, WitnessError, keep_witnessed};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, ask, now};

/// Look at somebody's log and cosign it, if it continues what was seen before
///
/// The first use makes the witness's key in its state and prints it; verifiers put it into their policy. A log that
/// became shorter or has another history is refused. What was cosigned is on the disk before it is given out.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin witness --state /srv/witness --log owner/.kakunin/log --log-key log.example/a+530d903a+AekyeRrm...
  kakunin witness --state /srv/witness --log copy/log --log-key KEY --out cosigned --json

A verifier's policy file that asks for this witness:
  witness W NAME+ID+KEY
  quorum W

Exit codes: 0 cosigned, 1 refused (set back, forked, not signed by the key), 2 cannot be evaluated.")]
pub(crate) struct Witness {
    /// The witness's own folder: its key, and what it has seen
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The folder of the log, or a copy
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// The log's key, as `kakunin log` prints it
    #[arg(long, value_name = "VKEY")]
    log_key: String,
    /// Where the cosigned checkpoint goes; else into the log's `witnessed`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The name under which a new witness cosigns; a URL without scheme that is yours
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Witness {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let key = VerifierKey::parse(&self.log_key).map_err(Failure::usage)?;
        let passphrase = self.state.join("passphrase");
        let mut witness = own::open(&self.state, common.sources(&passphrase, &ask), self.name.as_deref())?;
        let mut log = LogReader::open(&self.log, &key).map_err(judge_log)?;
        let seen = witness.look(&mut log, now()).map_err(judge)?;
        let out = match &self.out {
            Some(out) => {
                files::replace(out, seen.note().to_string().as_bytes(), Readers::Everyone)?;
                out.clone()
            }
            None => keep_witnessed(&self.log, &seen)?,
        };
        let (name, size, root) = (witness.verifier().to_string(), seen.size(), seen.root().to_hex());
        let at = seen.cosigned_by(witness.verifier()).map(|at| at.to_string());
        Ok(Answer::yes(json!({
            "witness": name, "origin": seen.checkpoint().origin, "size": size, "root": root, "at": at, "out": out,
        }))
        .line(format!("witness {name}"))
        .line(format!("cosigned {} at {size} entries", seen.checkpoint().origin))
        .line(out.display().to_string()))
    }
}

fn judge(error: WitnessError) -> Failure {
    match error {
        WitnessError::Refused(_) => Failure::no(error),
        WitnessError::Log(error) => judge_log(error),
        error => Failure::cannot(error),
    }
}

/// What the log's owner would have to explain is a no; what cannot be read may be anybody's accident.
fn judge_log(error: LogError) -> Failure {
    match error {
        LogError::Note { .. } | LogError::RolledBack { .. } | LogError::Forked { .. } => Failure::no(error),
        error => Failure::cannot(error),
    }
}

impl From<WitnessHomeError> for Failure {
    fn from(error: WitnessHomeError) -> Self {
        match error {
            WitnessHomeError::OtherName { .. } | WitnessHomeError::Name(_) => Self::usage(error),
            WitnessHomeError::Witness(error) => judge(error),
            error => Self::cannot(error),
        }
    }
}
