//! What the agent knows of its owner's log: the latest checkpoint, which receipts name as having been there before them.
//!
//! Takes in the file that `agent.toml` names, gives the journal an [`Anchor`]. Nothing is decided by it: a checkpoint
//! that is missing, or that the pinned key did not sign, leaves receipts without one and the operator with a notice.

use crate::home::{AgentHome, FileVersion};
use crate::log::{SignedNote, VerifierKey, VerifierKeyError};
use crate::receipt::Anchor;

/// The last look at the checkpoint.
#[derive(Debug, Default)]
pub(super) struct CheckpointLook {
    seen: Option<FileVersion>,
    known: Option<Anchor>,
}

impl CheckpointLook {
    /// Looks again; an error is why a new file does not count, told once.
    pub(super) fn look(&mut self, home: &AgentHome, log: &VerifierKey) -> Result<Option<Anchor>, String> {
        let version = FileVersion::of(home.checkpoint_path());
        if self.seen != Some(version) {
            self.seen = Some(version);
            if version.exists() {
                self.take_up(home, log).map_err(|why| {
                    format!("the checkpoint `{}` is not taken up: {why}", home.checkpoint_path().display())
                })?;
            }
        }
        Ok(self.known)
    }

    fn take_up(&mut self, home: &AgentHome, log: &VerifierKey) -> Result<(), String> {
        let octets = home.checkpoint().map_err(|error| error.to_string())?;
        let note = SignedNote::parse(&octets).map_err(|error| error.to_string())?;
        let opened = note.open(log).map_err(|error| error.to_string())?;
        let found = Anchor::of(opened.size(), opened.root()).ok_or("its log is too large for a receipt")?;
        match self.known {
            Some(known) if found.size < known.size => Err("it is older than the one before".to_owned()),
            Some(known) if found.size == known.size && found != known => {
                Err("the log has signed two trees of one size; keep both files".to_owned())
            }
            _ => {
                self.known = Some(found);
                Ok(())
            }
        }
    }
}

/// The key of the log that the settings of `home` name.
pub(super) fn log_key(home: &AgentHome) -> Result<Option<VerifierKey>, VerifierKeyError> {
    home.log().map(VerifierKey::parse).transpose()
}
