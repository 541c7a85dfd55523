//! The agent's directory.
//!
//! ```text
//! DIR    agent.pem  key.pem  chain.pem  ca.pem  agent.toml  names/<root>.txt  genesis  state/
//! ```
//!
//! Takes in a path, gives out what stands there, believed by nobody: certificates are verified above, in the snapshot.
//! What is refused here is what no later check could notice: a key that others can read, a list of names that is not the one
//! its file says, a list file that a rename never reaches. Files are read up to a size, and only if they are files: the
//! directory may be writable by whoever renews it, and a pipe in there must not hold up a guard.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::certificate::{AgentCertificate, CaCertificate, CaRole};
use crate::digest::Digest;
use crate::file;
use crate::key::{KeyError, SoftKey};
use crate::level::Levels;
use crate::modes::{self, Loose};
use crate::revocation::MAX_LIST;
use crate::scope::{NameError, NameList, NameLists};

/// An agent's directory, with the places its settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentHome {
    dir: PathBuf,
    lists: PathBuf,
    name: Option<String>,
    levels: Levels,
    log: Option<String>,
    checkpoint: PathBuf,
    keep_days: Option<u32>,
    sealed: Option<bool>,
}

impl AgentHome {
    /// Opens `dir` and reads its `agent.toml`. `lists` overrides the file of revocation lists that is named there.
    ///
    /// # Errors
    /// [`HomeError`] when the directory or its settings cannot be read, or the lists' path is itself a mount point.
    pub fn open(dir: &Path, lists: Option<&Path>) -> Result<Self, HomeError> {
        let dir = fs::canonicalize(dir).map_err(|source| HomeError::Io { path: dir.to_owned(), source })?;
        let settings = Settings::read(&dir)?;
        // Absolute, or a process that changes its working directory would read another file from then on.
        let io = |source| HomeError::Io { path: lists.unwrap_or(&dir).to_owned(), source };
        let lists = lists.map_or_else(|| Ok(dir.join(&settings.lists)), std::path::absolute).map_err(io)?;
        if is_mount_point(&lists) {
            return Err(HomeError::MountedList { path: lists });
        }
        let levels = settings.levels(&dir)?;
        // The owner publishes lists and checkpoint in one folder unless the settings say otherwise.
        let checkpoint =
            settings.checkpoint.map_or_else(|| lists.with_file_name("checkpoint"), |path| dir.join(path));
        let keep_days = settings.disclosures.keep_days.map(NonZero::get);
        let Settings { name, log, sealed, .. } = settings;
        Ok(Self { dir, lists, name, levels, log, checkpoint, keep_days, sealed })
    }

    /// The directory, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of revocation lists.
    #[must_use]
    pub fn lists_path(&self) -> &Path {
        &self.lists
    }

    /// The agent's name at its authority, if the settings say it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How safe receipts must be before calls go on, as the table `[journal]` of the settings says it.
    #[must_use]
    pub const fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Whether receipts share signatures, if the settings say it.
    #[must_use]
    pub const fn sealed(&self) -> Option<bool> {
        self.sealed
    }

    /// For how many days disclosed values are kept, as the table `[disclosures]` of the settings says it. Only `kakunin erase
    /// --retention` applies it.
    #[must_use]
    pub const fn keep_days(&self) -> Option<u32> {
        self.keep_days
    }

    /// The verifier key of the owner's log, as the settings have it; nobody has read it yet.
    #[must_use]
    pub fn log(&self) -> Option<&str> {
        self.log.as_deref()
    }

    /// The file with the latest witnessed checkpoint of that log.
    #[must_use]
    pub fn checkpoint_path(&self) -> &Path {
        &self.checkpoint
    }

    /// Reads the checkpoint; believed by nobody.
    ///
    /// # Errors
    /// [`HomeError`] when it cannot be read.
    pub fn checkpoint(&self) -> Result<Vec<u8>, HomeError> {
        let path = self.checkpoint.clone();
        file::read(&path, MAX_NOTE).map_err(|source| HomeError::Io { path, source })
    }

    /// Refuses a directory of state that others can write into: budgets and known lists are worth nothing there.
    ///
    /// # Errors
    /// [`Loose`] names the first folder or file, with its mode.
    pub fn refuse_loose_state(state: &Path) -> Result<(), Loose> {
        modes::refuse_loose(state)?;
        STATE.iter().try_for_each(|name| modes::refuse_loose(&state.join(name)))
    }

    /// Where the state lives unless the caller names another place.
    #[must_use]
    pub fn default_state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The mark of a new agent that was never opened.
    #[must_use]
    pub fn genesis_path(&self) -> PathBuf {
        self.dir.join("genesis")
    }

    /// Reads the certificate, its chain, the roots and the lists of names.
    ///
    /// # Errors
    /// [`HomeError`] when a file is missing, is not PEM, or a list is not the one its name says.
    pub fn papers(&self) -> Result<Papers, HomeError> {
        let agent = self.certificate()?;
        let chain = self.certificates("chain.pem")?;
        // Read with the papers: a rotation of the authority changes chain and pin together.
        let pins = Settings::read(&self.dir)?.pins(&self.dir)?;
        let next = pins.next.filter(|next| is_issuer(*next, &agent, &chain));
        Ok(Papers {
            issuer: next.or(pins.issuer),
            agent,
            chain,
            roots: self.certificates("ca.pem")?,
            names: self.names()?,
        })
    }

    /// Reads the agent's certificate alone, in DER.
    ///
    /// # Errors
    /// [`HomeError`] when it is missing or is not PEM.
    pub fn certificate(&self) -> Result<Vec<u8>, HomeError> {
        let agent = self.certificates("agent.pem")?.into_iter().next();
        agent.ok_or_else(|| HomeError::Pem { path: self.dir.join("agent.pem") })
    }

    /// Whether the settings name a second issuing authority: a move to it began and has not ended.
    ///
    /// # Errors
    /// [`HomeError`] when they cannot be read.
    pub fn is_moving(&self) -> Result<bool, HomeError> {
        Ok(Settings::read(&self.dir)?.next_issuer.is_some())
    }

    /// Refuses an agent's directory that others can write into: they could put papers of theirs beside its key.
    ///
    /// # Errors
    /// [`Loose`] names it, with its mode.
    pub fn refuse_loose_directory(dir: &Path) -> Result<(), Loose> {
        modes::refuse_loose(dir)
    }

    /// Reads the agent's private key.
    ///
    /// # Errors
    /// [`HomeError`] when it is missing, readable by others, or no PKCS#8 key.
    pub fn key(&self) -> Result<SoftKey, HomeError> {
        Self::key_in(&self.dir)
    }

    /// Reads the private key in `dir`, which may hold nothing else yet.
    ///
    /// # Errors
    /// As [`AgentHome::key`].
    pub fn key_in(dir: &Path) -> Result<SoftKey, HomeError> {
        let path = dir.join("key.pem");
        let io = |source| HomeError::Io { path: path.clone(), source };
        let file = file::open(&path).map_err(io)?;
        if key_protection(&file, &path).map_err(io)? == KeyProtection::Open {
            return Err(HomeError::OpenKey { path });
        }
        let mut pem = Zeroizing::new(Vec::new());
        file::read_into(&file, MAX_SMALL, &mut pem).map_err(io)?;
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| HomeError::Pem { path: path.clone() })?;
        SoftKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|error| HomeError::Key { path, error })
    }

    /// Who could read the private key.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn key_protection(&self) -> io::Result<KeyProtection> {
        let path = self.dir.join("key.pem");
        key_protection(&file::open(&path)?, &path)
    }

    /// Reads the revocation lists, PEM, believed by nobody.
    ///
    /// # Errors
    /// [`HomeError`] when the file cannot be read.
    pub fn lists(&self) -> Result<Vec<u8>, HomeError> {
        let path = &self.lists;
        file::read(path, MAX_LISTS).map_err(|source| HomeError::Io { path: path.clone(), source })
    }

    /// The text of the mark of a new agent, if it can be read.
    pub(crate) fn genesis(&self) -> Option<String> {
        file::read_text(&self.genesis_path(), MAX_SMALL).ok()
    }

    /// What identifies the present version of the certificate file.
    #[must_use]
    pub fn certificate_version(&self) -> FileVersion {
        FileVersion::of(&self.dir.join("agent.pem"))
    }

    fn certificates(&self, name: &str) -> Result<Vec<Vec<u8>>, HomeError> {
        let path = self.dir.join(name);
        let pem = file::read(&path, MAX_CERTIFICATES)
            .map_err(|source| HomeError::Io { path: path.clone(), source })?;
        let blocks = CertificateDer::pem_slice_iter(&pem).map(|block| block.map(|der| der.as_ref().to_vec()));
        let ders: Vec<Vec<u8>> =
            blocks.collect::<Result<_, _>>().map_err(|_| HomeError::Pem { path: path.clone() })?;
        if ders.is_empty() { Err(HomeError::Pem { path }) } else { Ok(ders) }
    }

    /// Every list in `names/`. A broken one is an error here and a denial of its actions in the leash.
    fn names(&self) -> Result<NameLists, HomeError> {
        let mut lists = NameLists::default();
        let folder = self.dir.join("names");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lists),
            Err(source) => return Err(HomeError::Io { path: folder, source }),
        };
        for entry in entries {
            let path = entry.map_err(|source| HomeError::Io { path: folder.clone(), source })?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(Digest::from_hex);
            let (Some(root), Some("txt")) = (stem, path.extension().and_then(|e| e.to_str())) else {
                continue;
            };
            let list = NameList::parse(&read_text(&path, MAX_NAMES)?)
                .map_err(|error| HomeError::Names { path: path.clone(), error })?;
            if list.root() != root {
                return Err(HomeError::OtherNames { path });
            }
            lists.insert(list);
        }
        Ok(lists)
    }
}

/// The files of an agent's identity, in DER, believed by nobody.
#[derive(Clone, Debug)]
pub struct Papers {
    /// The agent's certificate.
    pub agent: Vec<u8>,
    /// The certificates between it and the root.
    pub chain: Vec<Vec<u8>>,
    /// The roots the deployer trusts.
    pub roots: Vec<Vec<u8>>,
    /// The key of the one issuing authority the deployer accepts. A guard takes none for the one that issued the papers
    /// it was opened with, and papers of another one later only if they name it here.
    pub issuer: Option<Digest>,
    /// Detached lists of names.
    pub names: NameLists,
}

/// Who can read a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProtection {
    /// Its owner alone.
    Owner,
    /// Others too, on a mount that nobody can write: how containers hand out secrets.
    ReadOnlyMount,
    /// Others too.
    Open,
}

fn key_protection(file: &File, path: &Path) -> io::Result<KeyProtection> {
    let data = file.metadata()?;
    if !modes::lets_others_in(&data) {
        return Ok(KeyProtection::Owner);
    }
    let sealed = data.mode() & 0o222 == 0 && modes::is_on_read_only_mount(path);
    Ok(if sealed { KeyProtection::ReadOnlyMount } else { KeyProtection::Open })
}

/// Whether the authority with this key issued `agent`, as far as names say so: what its key says is checked with the path.
fn is_issuer(key: Digest, agent: &[u8], chain: &[Vec<u8>]) -> bool {
    let Ok(agent) = AgentCertificate::decode(agent) else { return false };
    let authorities = chain.iter().filter_map(|der| CaCertificate::decode(der, CaRole::Issuing).ok());
    let mut its = authorities.filter(|authority| authority.decoded().key().key_id() == key);
    its.any(|authority| authority.key_id() == agent.authority_key_id())
}

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion(Option<[i64; 7]>);

impl FileVersion {
    /// The version at `path` now; a missing file is a version of its own.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        // The change time as well: tools that copy a file's time, too, cannot set it.
        let version = |data: Metadata| {
            let [device, inode, size] = [data.dev(), data.ino(), data.size()].map(u64::cast_signed);
            let (modified, changed) = ((data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()));
            [device, inode, size, modified.0, modified.1, changed.0, changed.1]
        };
        Self(fs::metadata(path).ok().map(version))
    }

    /// Whether there is a file at all.
    #[must_use]
    pub const fn exists(&self) -> bool {
        self.0.is_some()
    }
}

/// Whether `path` itself is mounted: a renamed file in the folder behind the mount would never be seen through it.
fn is_mount_point(path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return false };
    // proc(5): the fifth field is the mount point, with spaces and the like in octal.
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let escaped = path.to_string_lossy().replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
    points.into_iter().any(|point| point == escaped)
}

fn read_text(path: &Path, limit: u64) -> Result<String, HomeError> {
    file::read_text(path, limit).map_err(|source| HomeError::Io { path: path.to_owned(), source })
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    lists: PathBuf,
    #[serde(default)]
    issuer: Option<String>,
    /// While the directory moves to another issuing authority: that one. Whenever the move is interrupted, the papers in it are
    /// one of the two's.
    #[serde(default)]
    next_issuer: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// The verifier key of the owner's log.
    #[serde(default)]
    log: Option<String>,
    /// Where its checkpoint is published.
    #[serde(default)]
    checkpoint: Option<PathBuf>,
    /// Patterns of actions, and how safe their receipts must be.
    #[serde(default)]
    journal: BTreeMap<String, String>,
    /// Whether receipts share signatures.
    #[serde(default)]
    sealed: Option<bool>,
    /// What becomes of disclosed values.
    #[serde(default)]
    disclosures: DisclosureSettings,
    /// Written for people; the certificate is what counts.
    #[serde(default, rename = "agent")]
    _agent: Option<String>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct DisclosureSettings {
    /// Whole days.
    keep_days: Option<NonZero<u32>>,
}

impl Settings {
    fn read(dir: &Path) -> Result<Self, HomeError> {
        let path = dir.join("agent.toml");
        let settings: Self = toml::from_str(&read_text(&path, MAX_SMALL)?)
            .map_err(|error| HomeError::Settings { path, what: error.message().trim().to_owned() })?;
        settings.pins(dir)?;
        Ok(settings)
    }

    fn levels(&self, dir: &Path) -> Result<Levels, HomeError> {
        let pairs = self.journal.iter().map(|(pattern, word)| (pattern.as_str(), word.as_str()));
        let wrong =
            |error| HomeError::Settings { path: dir.join("agent.toml"), what: format!("[journal]: {error}") };
        Levels::parse(pairs).map_err(wrong)
    }

    fn pins(&self, dir: &Path) -> Result<Pins, HomeError> {
        let wrong = |what: &str| HomeError::Settings { path: dir.join("agent.toml"), what: what.to_owned() };
        let read = |text: &Option<String>, what| {
            text.as_deref().map(|text| Digest::from_hex(text).ok_or_else(|| wrong(what))).transpose()
        };
        let issuer = read(&self.issuer, "issuer is no SHA-256 in hexadecimal")?;
        let next = read(&self.next_issuer, "next_issuer is no SHA-256 in hexadecimal")?;
        Ok(Pins { issuer, next })
    }
}

/// The issuing authorities that the settings name.
struct Pins {
    issuer: Option<Digest>,
    next: Option<Digest>,
}

/// An agent's directory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// A file or folder cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Settings that are not understood.
    #[error("`{}`: {what}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file without the PEM block it should have.
    #[error("`{}` holds no PEM block of the kind it should", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
    },
    /// A private key that others can read.
    #[error("`{}` can be read by others; run chmod 600 on it", path.display())]
    OpenKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key of no use.
    #[error("`{}`: {error}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: KeyError,
    },
    /// A broken list of names.
    #[error("`{}`: {error}", path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: NameError,
    },
    /// A list of names under the name of another.
    #[error("`{}` is not the list its name says; restore it, for example with kakunin agent renew", path.display())]
    OtherNames {
        /// The file.
        path: PathBuf,
    },
    /// A directory of state that others can write into.
    #[error(transparent)]
    LooseState(#[from] Loose),
    /// The file of lists is a mount point.
    #[error("`{}` is a mount point, so a renewed list would never reach it; mount its folder instead", path.display())]
    MountedList {
        /// The file.
        path: PathBuf,
    },
}

/// What lies in a directory of state, but for the streams of its journal.
const STATE: [&str; 6] = ["lists", "journal", "journal/archive", "budget.seg", "clock", "genesis"];
/// Settings, a key, a mark: a few hundred bytes and whatever people write around them.
const MAX_SMALL: u64 = 64 << 10;
/// As the room of logs, which is above, bounds a signed note.
const MAX_NOTE: u64 = 256 << 10;
/// A path is built from 64 KiB of DER at most; bundles of roots come with comments.
const MAX_CERTIFICATES: u64 = 1 << 20;
/// A million names of 128 bytes (the module's `count`) and two for the end of each line.
const MAX_NAMES: u64 = 130_000_000;
/// The longest list that is read, in PEM, and smaller ones beside it.
const MAX_LISTS: u64 = MAX_LIST as u64 / 2 * 3;
