use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_authority::log::OwnerLogError;
use kakunin_core::journal::{self, ReadError, StreamReader};
use kakunin_core::log::{Log as OwnerLog, LogError};
use kakunin_core::receipt::Event;
use serde_json::json;

use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, ask};

/// Put receipts into the owner's transparency log, and sign how it stands
///
/// The log lies in the home's `log`; the first use makes its key and begins it. Every receipt of the journals that has a
/// proof and is not in the log yet is appended in the order of its stream. Of a stream that goes on, what follows the
/// first receipt without a proof waits for the next time.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin log                                     # begins the log and prints its key
  kakunin log --journal agents/billing --journal agents/support
  kakunin log --journal agents/billing --json     # {\"log\":\"NAME+ID+KEY\",\"size\":12,\"added\":12}

Whoever verifies is given the printed key: kakunin verify ... --log-key KEY
Somebody else watches the log: kakunin witness --state W --log .kakunin/log --log-key KEY")]
pub(crate) struct Log {
    /// An agent's directory, its state or its journal
    #[arg(long, value_name = "DIR")]
    journal: Vec<PathBuf>,
    /// The name under which a new log signs; a URL without scheme that is yours
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

impl Log {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        // Before anything is made: a wrong path is no reason to begin a log.
        let journals = self.journal.iter().map(|path| locate(path)).collect::<Result<Vec<_>, _>>()?;
        let (home, own) = (common.home(), common.home().passphrase());
        let mut log =
            kakunin_authority::log::open(&home, common.sources(&own, &ask), self.origin.as_deref())?;
        let before = log.size();
        let mut damaged = Vec::new();
        for journal in &journals {
            // What one agent's journal holds keeps no other's receipts out of the log.
            let at = |error: &dyn std::fmt::Display| format!("{}: {error}", journal.display());
            let streams = match StreamReader::names(journal) {
                Ok(streams) => streams,
                Err(error) => {
                    damaged.push(at(&error));
                    continue;
                }
            };
            for stream in streams {
                match StreamReader::open(journal, stream) {
                    Ok(stream) => damaged.extend(take(&mut log, stream)?.map(|fault| at(&fault))),
                    Err(error) => damaged.push(at(&format!("stream {stream}: {error}"))),
                }
            }
        }
        let (key, size) = (log.checkpoint().log().to_string(), log.size());
        let mut answer = Answer::yes(json!({ "log": key, "size": size, "added": size - before }))
            .line(format!("log    {key}"))
            .line(format!("{size} entries, {} of them new", size - before));
        for fault in &damaged {
            answer = answer.warn(format!("logged up to the damage only: {fault}")).exit(Exit::CannotEvaluate);
        }
        Ok(answer)
    }
}

fn locate(path: &Path) -> Result<PathBuf, Failure> {
    journal::locate(path).ok_or_else(|| Failure::cannot(format!("`{}` holds no journal", path.display())))
}

/// Appends what the log does not have of one stream; gives the damage that reading stopped at.
fn take(log: &mut OwnerLog, mut stream: StreamReader) -> Result<Option<ReadError>, Failure> {
    let mut batch = Batch::default();
    // What came after the first receipt without a proof: logged if the stream turns out to be over.
    let mut behind = Batch::default();
    let (mut waiting, mut over) = (false, false);
    while let Some(entry) = stream.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(fault) => {
                batch.append(log, &stream)?;
                return Ok(Some(fault));
            }
        };
        over |= matches!(entry.receipt().statement().event, Event::Close { .. });
        match entry.to_log_entry() {
            Some(entry) if log.reader().index_of(entry.as_bytes())?.is_some() => {}
            Some(entry) if waiting => behind.entries.push(entry),
            Some(entry) => batch.push(log, entry, &stream)?,
            None => waiting = true,
        }
    }
    if over {
        batch.entries.append(&mut behind.entries);
    }
    batch.append(log, &stream)?;
    Ok(None)
}

/// Entries on their way: each append signs a checkpoint.
#[derive(Default)]
struct Batch {
    entries: Vec<String>,
}

impl Batch {
    fn push(&mut self, log: &mut OwnerLog, entry: String, stream: &StreamReader) -> Result<(), Failure> {
        self.entries.push(entry);
        if self.entries.len() < BATCH { Ok(()) } else { self.append(log, stream) }
    }

    /// The journal goes to the disk first: a log must not know receipts that the loss of power takes out of it.
    fn append(&mut self, log: &mut OwnerLog, stream: &StreamReader) -> Result<(), Failure> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let lost = |error| Failure::cannot(format!("stream {}: {error}", stream.stream()));
        stream.sync().map_err(lost)?;
        log.append(&std::mem::take(&mut self.entries))?;
        Ok(())
    }
}

impl From<OwnerLogError> for Failure {
    fn from(error: OwnerLogError) -> Self {
        match error {
            OwnerLogError::Authority(error) => error.into(),
            OwnerLogError::OtherName { .. } | OwnerLogError::Name(_) => Self::usage(error),
            error => Self::cannot(error),
        }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::cannot(error)
    }
}

/// Receipts held in memory at once: some 16 MB.
const BATCH: usize = 16_384;
