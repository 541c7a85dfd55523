use std::path::PathBuf;

use clap::Args;
use kakunin_authority::store::{Place, SqliteStore};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Copy the records as they are at one moment, also while they are served
///
/// The copy takes the place of `store.sqlite` in the home when that is lost. Keys and passphrase are not in it; they
/// do not change between `init` and `rotate`, and are copied as files.
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
        Ok(Answer::yes(json!({ "out": self.out }))
            .line(format!("the records are in {}", self.out.display()))
            .line(
                "keys    are not: copy the folders `root` and `issuing` and the passphrase to another place",
            ))
    }
}
