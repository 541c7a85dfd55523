//! The record of what was promoted last: its certificate with its issuers, in PEM.
//!
//! It is believed only as far as it is signed: a certificate of the same agent under the same roots. Which of those it is, is
//! up to whoever can write the file, so it belongs where only the gate writes.

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

    /// Puts another one in its place.
    pub(crate) fn write(&self, certificate: &[u8], pool: &[Vec<u8>]) -> Result<(), String> {
        let mut text = String::new();
        for der in std::iter::once(certificate).chain(pool.iter().map(Vec::as_slice)) {
            let block = der::pem::encode_string("CERTIFICATE", LineEnding::LF, der);
            text.push_str(&block.map_err(|error| error.to_string())?);
        }
        files::replace(&self.0, text.as_bytes(), Readers::Everyone).map_err(|error| error.to_string())
    }
}
