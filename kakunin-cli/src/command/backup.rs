use std::path::PathBuf;

use clap::Args;
use kakunin_authority::store::{Place, SqliteStore};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Copy the records as they are at one moment, also while they are served
///
/// The copy takes the place of `store.sqlite` in the home when that is lost. Keys and passphrase are not in it: they are
/// files, which the answer names as far as this home has them. Copy those again after each command that makes keys:
/// `init`, `rotate`, `tenant create`, `restore`, `log`, and where a service holds keys for agents or signs webhooks.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin backup --out /backup/store.sqlite")]
pub(crate) struct Backup {
    /// The file to make; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Backup {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let home = common.home();
        // Says what is wrong with a home that has no records.
        home.records()?;
        match home.place()? {
            Place::File(path) => SqliteStore::backup(&path, &self.out)?,
            #[cfg(feature = "postgres")]
            Place::Server(address) => {
                return Err(Failure::usage(format!(
                    "the records are in {address}: run pg_dump with --serializable-deferrable on it, which gives one moment, too"
                )));
            }
        }
        let beside: Vec<&str> = BESIDE.into_iter().filter(|name| home.path().join(name).exists()).collect();
        Ok(Answer::yes(json!({ "out": self.out, "beside": beside }))
            .line(format!("the records are in {}", self.out.display()))
            .line(format!(
                "keys    are not: copy these of {} to another place: {}",
                home.path().display(),
                beside.join(", ")
            )))
    }
}

/// What of a home is no record and cannot be made again: keys, what opens them, and the log that one of them signs.
const BESIDE: [&str; 6] = ["root", "issuing", "held", "sealing.key.pem", "log", "passphrase"];
