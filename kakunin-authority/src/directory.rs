//! An agent's directory, as the authority writes it.
//!
//! ```text
//! DIR/names/<root>.txt  chain.pem  ca.pem  agent.toml  key.pem  genesis  agent.pem
//! ```
//!
//! `agent.pem` comes last and by rename: a guard that watches the directory loads when it changes, and finds
//! everything the new certificate needs. The state beside it is the guard's alone and never touched here.

use std::fs;
use std::path::{Path, PathBuf};

use der::pem;
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CertificateError};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::log::VerifierKey;
use zeroize::Zeroizing;

use crate::agent::AgentName;
use crate::files::{self, FileError, Readers};
use crate::publish::to_pem;
use crate::signer::plain_pem;
use kakunin_core::genesis::Genesis;

/// A directory that is, or is to become, an agent's.
#[derive(Clone, Debug)]
pub struct AgentDirectory {
    // INVARIANT: absolute.
    path: PathBuf,
}

/// Where the private key is.
pub(crate) enum NewKey {
    /// Made here, to be written; PKCS#8.
    Made(Zeroizing<Vec<u8>>),
    /// With whoever asked.
    Elsewhere,
}

/// Papers of an agent as they came from a service, for a directory on this machine.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The agent's certificate.
    pub certificate: AgentCertificate,
    /// Who issued it.
    pub issuing: CaCertificate,
    /// The anchor.
    pub root: CaCertificate,
    /// The agent's name.
    pub name: AgentName,
    /// Every list that somebody can need, in PEM.
    pub lists_pem: String,
    /// Lists of names by their roots.
    pub names: Vec<(Digest, String)>,
    /// The mark of a new directory.
    pub genesis: Option<Genesis>,
    /// The key of the owner's log.
    pub log: Option<VerifierKey>,
}

/// Everything a new certificate brings into its directory.
pub(crate) struct Enrolment<'a> {
    pub(crate) certificate: &'a AgentCertificate,
    pub(crate) issuing: &'a CaCertificate,
    pub(crate) root: &'a CaCertificate,
    pub(crate) name: &'a AgentName,
    pub(crate) lists: &'a Path,
    /// The key of the owner's log, if there is one yet.
    pub(crate) log: Option<VerifierKey>,
    pub(crate) key: NewKey,
    pub(crate) genesis: Option<Genesis>,
}

impl Enrolment<'_> {
    /// The settings' line that pins the issuing authority: another one under the same root could name any agent.
    fn pin(&self) -> String {
        setting(PIN, &self.issuing.decoded().key().key_id().to_string())
    }

    /// The line that names it beside the one of before.
    fn next_pin(&self) -> String {
        setting(NEXT_PIN, &self.issuing.decoded().key().key_id().to_string())
    }
}

impl AgentDirectory {
    /// Means the directory at `path`, which exists.
    ///
    /// # Errors
    /// [`DirectoryError::File`] when it does not.
    pub fn at(path: &Path) -> Result<Self, DirectoryError> {
        let path = path.canonicalize().map_err(|error| FileError::new("find", path, error))?;
        Ok(Self { path })
    }

    /// Means the directory at `path`, making it if needed.
    ///
    /// # Errors
    /// [`DirectoryError::File`] when it cannot be made.
    pub fn make(path: &Path) -> Result<Self, DirectoryError> {
        files::make_directory(path, Readers::Everyone)?;
        Self::at(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificate in it, if there is one.
    ///
    /// # Errors
    /// [`DirectoryError::Unreadable`] when `agent.pem` is there and is no agent's certificate.
    pub fn holder(&self) -> Result<Option<AgentCertificate>, DirectoryError> {
        let path = self.path.join("agent.pem");
        if !path.exists() {
            return Ok(None);
        }
        let unreadable = |error| DirectoryError::Unreadable { path: path.clone(), error };
        let (_, der) = pem::decode_vec(&files::read(&path)?).map_err(|error| unreadable(der_error(error)))?;
        AgentCertificate::decode(&der).map(Some).map_err(unreadable)
    }

    /// Refuses a directory with a key that belongs to no certificate in it: it may be the only copy of somebody's.
    ///
    /// # Errors
    /// [`DirectoryError::KeyInTheWay`].
    pub fn refuse_key(&self) -> Result<(), DirectoryError> {
        let path = self.path.join("key.pem");
        if path.exists() { Err(DirectoryError::KeyInTheWay { path }) } else { Ok(()) }
    }

    pub(crate) fn write_names(&self, lists: &[(Digest, String)]) -> Result<(), DirectoryError> {
        if !lists.is_empty() {
            files::make_directory(&self.path.join("names"), Readers::Everyone)?;
        }
        for (root, text) in lists {
            let path = self.path.join("names").join(format!("{root}.txt"));
            files::replace(&path, text.as_bytes(), Readers::Everyone)?;
        }
        Ok(())
    }

    /// Writes everything of a first certificate, or of one with another key.
    pub(crate) fn enrol(&self, enrolment: &Enrolment<'_>) -> Result<(), DirectoryError> {
        self.put("chain.pem", certificate(enrolment.issuing.decoded().der())?.as_bytes(), Readers::Everyone)?;
        self.put("ca.pem", certificate(enrolment.root.decoded().der())?.as_bytes(), Readers::Everyone)?;
        self.settle(enrolment)?;
        if let NewKey::Made(pkcs8) = &enrolment.key {
            let pem = plain_pem(pkcs8).map_err(|_| DirectoryError::Encoding)?;
            self.put("key.pem", pem.as_bytes(), Readers::Owner)?;
        }
        self.finish(enrolment)
    }

    /// Replaces the certificate `old`, keeping the key and the settings.
    pub(crate) fn renew(
        &self,
        old: &AgentCertificate,
        enrolment: &Enrolment<'_>,
    ) -> Result<(), DirectoryError> {
        let new_chain = certificate(enrolment.issuing.decoded().der())?;
        let same_issuer = old.decoded().issuer() == enrolment.certificate.decoded().issuer();
        if same_issuer {
            return self.finish(enrolment);
        }
        // Between the two renames the old certificate still needs its own issuer: both stand there for that long.
        let mut both = new_chain.clone();
        both.push_str(&String::from_utf8_lossy(&files::read(&self.path.join("chain.pem"))?));
        self.put("chain.pem", both.as_bytes(), Readers::Everyone)?;
        // So do both pins: whenever this is interrupted, the directory opens.
        self.set(&[enrolment.next_pin()])?;
        self.finish(enrolment)?;
        self.set(&[enrolment.pin()])?;
        self.put("chain.pem", new_chain.as_bytes(), Readers::Everyone)
    }

    /// Writes papers that a service answered, and their key if one was made for them (PKCS#8). The certificate comes last.
    ///
    /// # Errors
    /// [`DirectoryError`] when the directory is another agent's, or a file cannot be written.
    pub fn deliver(&self, papers: &Delivery, key: Option<Zeroizing<Vec<u8>>>) -> Result<(), DirectoryError> {
        let old = self.holder()?;
        let agent = papers.certificate.agent();
        if let Some(other) = old.as_ref().map(AgentCertificate::agent).filter(|id| *id != agent) {
            return Err(DirectoryError::OtherAgent { path: self.path.clone(), agent: other });
        }
        self.write_names(&papers.names)?;
        self.put("lists.pem", papers.lists_pem.as_bytes(), Readers::Everyone)?;
        let enrolment = Enrolment {
            certificate: &papers.certificate,
            issuing: &papers.issuing,
            root: &papers.root,
            name: &papers.name,
            lists: Path::new("lists.pem"),
            log: papers.log.clone(),
            key: key.map_or(NewKey::Elsewhere, NewKey::Made),
            // What was spent in a directory stays spent.
            genesis: papers.genesis.clone().filter(|_| old.is_none()),
        };
        match old {
            Some(old) if old.decoded().key() == papers.certificate.decoded().key() => {
                self.renew(&old, &enrolment)
            }
            _ => self.enrol(&enrolment),
        }
    }

    fn finish(&self, enrolment: &Enrolment<'_>) -> Result<(), DirectoryError> {
        if let Some(genesis) = &enrolment.genesis {
            self.put("genesis", genesis.to_text().as_bytes(), Readers::Everyone)?;
        }
        let pem = certificate(enrolment.certificate.decoded().der())?;
        self.put("agent.pem", pem.as_bytes(), Readers::Everyone)
    }

    fn settle(&self, enrolment: &Enrolment<'_>) -> Result<(), DirectoryError> {
        let mut lines = vec![
            setting("agent", &enrolment.certificate.agent().to_string()),
            setting("name", &enrolment.name.to_string()),
            setting("lists", &enrolment.lists.display().to_string()),
            enrolment.pin(),
        ];
        lines.extend(enrolment.log.as_ref().map(|key| setting("log", &key.to_string())));
        self.set(&lines)
    }

    /// Writes these settings and leaves every other line as the agent's owner wrote it.
    fn set(&self, lines: &[String]) -> Result<(), DirectoryError> {
        let path = self.path.join("agent.toml");
        let old = if path.exists() { files::read(&path)? } else { SETTINGS_HEAD.as_bytes().to_vec() };
        let old = String::from_utf8_lossy(&old);
        let (head, tables) = match old.lines().position(|line| line.trim_start().starts_with('[')) {
            Some(table) => old.lines().enumerate().partition(|(number, _)| *number < table),
            None => (old.lines().enumerate().collect::<Vec<_>>(), Vec::new()),
        };
        let repins = lines.iter().any(|line| key(line) == Some(PIN));
        let kept = head
            .into_iter()
            .map(|(_, line)| line)
            .filter(|line| !lines.iter().any(|new| key(new) == key(line)))
            // Where there is one pin, there is no other.
            .filter(|line| !(repins && key(line) == Some(NEXT_PIN)));
        // Before the first table, or they would be members of it.
        let all =
            kept.chain(lines.iter().map(String::as_str)).chain(tables.into_iter().map(|(_, line)| line));
        let text: String = all.flat_map(|line| [line, "\n"]).collect();
        self.put("agent.toml", text.as_bytes(), Readers::Everyone)
    }

    fn put(&self, name: &str, bytes: &[u8], readers: Readers) -> Result<(), DirectoryError> {
        Ok(files::replace(&self.path.join(name), bytes, readers)?)
    }

    /// Whether the directory is still there.
    #[must_use]
    pub fn exists(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.is_dir())
    }
}

/// A line of settings; JSON strings without control characters are TOML basic strings.
fn setting(key: &str, value: &str) -> String {
    format!("{key} = \"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What a line sets; `None` for a comment or an empty line.
fn key(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    (!key.starts_with('#')).then_some(key)
}

const PIN: &str = "issuer";
const NEXT_PIN: &str = "next_issuer";
const SETTINGS_HEAD: &str =
    "# Where this agent finds its revocation lists; a relative path is relative to this folder.\n";

fn certificate(der: &[u8]) -> Result<String, DirectoryError> {
    to_pem("CERTIFICATE", der).map_err(|_| DirectoryError::Encoding)
}

fn der_error(error: pem::Error) -> CertificateError {
    CertificateError::Der(error.into())
}

/// A directory that cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// It is another agent's.
    #[error("{} holds the agent {agent}; choose another directory", path.display())]
    OtherAgent {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        agent: AgentId,
    },
    /// No agent in it.
    #[error("{} holds no agent; run `kakunin agent certify` first", path.display())]
    NoAgent {
        /// The directory.
        path: PathBuf,
    },
    /// A certificate of somebody else.
    #[error("the certificate in {} was not issued by this authority; name its --home", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// A key without a certificate.
    #[error("{} is there without a certificate; move it away, or pass --csr for its key", path.display())]
    KeyInTheWay {
        /// The key file.
        path: PathBuf,
    },
    /// A certificate nobody can read.
    #[error("{} is no agent's certificate: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// A value without an encoding.
    #[error("a certificate or key cannot be encoded")]
    Encoding,
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}
