//! The record of what was promoted last: its certificate with its issuers, in PEM.
//!
//! Which certificate of the agent it holds is up to whoever can write the file, so its scope counts only if a receipt of the
//! gate's own agent, or the policy, says that it was promoted.

use std::io;
use std::path::{Path, PathBuf};

use der::pem::LineEnding;
use kakunin_authority::files::{self, Readers};
use kakunin_core::gate::Promoted;
use kakunin_core::id::AgentId;

use super::papers::certificates;

/// Where it is.
pub(crate) struct Record(PathBuf);

impl Record {
    /// The file `path`, or the agent's in the folder `path`.
    pub(crate) fn at(path: &Path, agent: Option<AgentId>) -> Self {
        match agent {
            Some(agent) if path.is_dir() => Self(path.join(format!("{agent}.pem"))),
            _ => Self(path.to_owned()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What it says. Only a file that is not there says that nothing was promoted.
    pub(crate) fn read(&self) -> Promoted {
        match std::fs::symlink_metadata(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Promoted::Nothing,
            Err(error) => return Promoted::Unreadable(format!("cannot read {}: {error}", self.0.display())),
            Ok(_) => {}
        }
        match certificates(&self.0) {
            Ok(ders) => Promoted::Certificates(ders),
            Err(what) => Promoted::Unreadable(what),
        }
    }

    /// Puts another one in its place, and keeps what was there.
    pub(crate) fn write(&self, certificate: &[u8], pool: &[Vec<u8>]) -> Result<Kept, String> {
        let before = match std::fs::read(&self.0) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("cannot read {}: {error}", self.0.display())),
        };
        let mut text = String::new();
        for der in std::iter::once(certificate).chain(pool.iter().map(Vec::as_slice)) {
            let block = der::pem::encode_string("CERTIFICATE", LineEnding::LF, der);
            text.push_str(&block.map_err(|error| error.to_string())?);
        }
        files::replace(&self.0, text.as_bytes(), Readers::Everyone).map_err(|error| error.to_string())?;
        Ok(Kept { path: self.0.clone(), before })
    }
}

/// A record that was replaced.
#[must_use]
pub(crate) struct Kept {
    path: PathBuf,
    before: Option<Vec<u8>>,
}

impl Kept {
    /// Puts back what was there. If that cannot be done, the next gate refuses by it: no receipt says that it passed.
    pub(crate) fn put_back(self) {
        let _ = match self.before {
            Some(bytes) => {
                files::replace(&self.path, &bytes, Readers::Everyone).map_err(|error| error.to_string())
            }
            None => std::fs::remove_file(&self.path).map_err(|error| error.to_string()),
        };
    }
}
