//! What is asked, and whom the asker believes.

use std::io;
use std::path::{Path, PathBuf};

use super::account::Account;
use crate::bundle::Bundle;
use crate::certificate::{CaCertificate, TrustAnchors};
use crate::digest::Digest;
use crate::log::{LogError, LogReader, VerifierKey, WitnessPolicy};
use crate::scope::NameLists;
use crate::verify::{Report, Seen, Timeline, Verification, Watch};

/// Whom the asker believes, and what is to be done. Nothing of it ever comes from what is verified.
#[derive(Clone, Debug)]
pub struct Inquiry {
    pub(super) anchors: TrustAnchors,
    pub(super) log_keys: Vec<VerifierKey>,
    pub(super) policies: Vec<WitnessPolicy>,
    logs: Vec<PathBuf>,
    lists: Vec<Vec<u8>>,
    replay: Option<NameLists>,
    files: Vec<(Digest, PathBuf)>,
}

/// Whom an account was asked by to believe, for who wants to show it.
#[derive(Clone, Debug)]
pub(super) struct Believed {
    /// What was verified, as the asker calls it.
    pub(super) subject: String,
    pub(super) roots: Vec<BelievedRoot>,
    pub(super) logs: Vec<VerifierKey>,
    pub(super) witnesses: Vec<VerifierKey>,
}

/// A root that the asker named.
#[derive(Clone, Debug)]
pub(super) struct BelievedRoot {
    /// What the asker calls it.
    pub(super) called: Option<String>,
    /// What it calls itself.
    pub(super) name: String,
    pub(super) digest: Digest,
}

impl Inquiry {
    /// Believes these roots, and nobody else.
    #[must_use]
    pub const fn by(anchors: TrustAnchors) -> Self {
        Self {
            anchors,
            log_keys: Vec::new(),
            policies: Vec::new(),
            logs: Vec::new(),
            lists: Vec::new(),
            replay: None,
            files: Vec::new(),
        }
    }

    /// The file from which the asker has the root with this SHA-256: what people know it by. Nothing is believed by it.
    #[must_use]
    pub fn root_file(mut self, root: Digest, file: impl Into<PathBuf>) -> Self {
        self.files.push((root, file.into()));
        self
    }

    /// What the asker calls a root: the name of its file, or the whole path where another root's has the same name.
    fn called(&self, root: &Digest) -> Option<String> {
        let (_, file) = self.files.iter().find(|(known, _)| known == root)?;
        let stem = file.file_stem()?;
        let other = self.files.iter().any(|(other, path)| other != root && path.file_stem() == Some(stem));
        let name = if other { file.as_os_str() } else { stem };
        Some(name.to_string_lossy().into_owned())
    }

    /// Also believes that the logs of these keys show everybody the same, unless they are the agent's own.
    #[must_use]
    pub fn log_keys(mut self, keys: Vec<VerifierKey>) -> Self {
        self.log_keys = keys;
        self
    }

    /// Also believes the witnesses of each of these policies.
    #[must_use]
    pub fn witnesses(mut self, policies: Vec<WitnessPolicy>) -> Self {
        self.policies = policies;
        self
    }

    /// Looks for the receipts of journals in the logs in these folders. Each is opened with one of the keys that were
    /// given; a bundle has its proofs in it.
    #[must_use]
    pub fn logs(mut self, folders: Vec<PathBuf>) -> Self {
        self.logs = folders;
        self
    }

    /// Also looks up revocations on these lists, in DER.
    #[must_use]
    pub fn lists(mut self, lists: Vec<Vec<u8>>) -> Self {
        self.lists = lists;
        self
    }

    /// Also decides again what the receipts record, with these lists of names.
    #[must_use]
    pub fn replay(mut self, lists: NameLists) -> Self {
        self.replay = Some(lists);
        self
    }

    /// Verifies what lies at `what`: a bundle if it is a file, else the directory of an agent, its state or its journal,
    /// with the journals `others`.
    ///
    /// # Errors
    /// [`InquiryError`] only when nothing can be judged. What is wrong with the receipts, or with a bundle as a whole, is
    /// in the account.
    pub fn of(
        &self,
        what: &Path,
        others: &[PathBuf],
        watch: &mut dyn Watch,
    ) -> Result<Account, InquiryError> {
        let unreadable = |source| InquiryError::Unreadable { path: what.to_owned(), source };
        let mut terms =
            Verification::by(&self.anchors).logs(&self.log_keys).witnesses(&self.policies).lists(&self.lists);
        if let Some(lists) = &self.replay {
            terms = terms.replay(lists);
        }
        let mut both = Both { timeline: Timeline::of_at_most(MOST_STEPS), watch };
        let (report, mut notes) = if what.is_file() {
            if !others.is_empty() || !self.logs.is_empty() {
                return Err(InquiryError::BundleAlone { path: what.to_owned() });
            }
            self.bundle(what, &terms, &mut both).map_err(unreadable)?
        } else {
            let logs = self.open_logs()?;
            let paths: Vec<&Path> =
                std::iter::once(what).chain(others.iter().map(PathBuf::as_path)).collect();
            (terms.journals(&paths, logs, &mut both).map_err(unreadable)?, Vec::new())
        };
        if report.foreign_lists() > 0 {
            notes.push(format!("{} of the lists given are signed by no issuer here", report.foreign_lists()));
        }
        Ok(Account::new(report, both.timeline, notes, self.believed(what)))
    }

    fn believed(&self, what: &Path) -> Believed {
        let subject = what.file_name().unwrap_or(what.as_os_str()).to_string_lossy().into_owned();
        let root = |root: &CaCertificate| {
            let digest = root.decoded().thumbprint();
            BelievedRoot { called: self.called(&digest), name: root.decoded().subject_text(), digest }
        };
        let mut logs = self.log_keys.clone();
        logs.extend(self.policies.iter().flat_map(WitnessPolicy::logs).cloned());
        let mut witnesses: Vec<VerifierKey> = Vec::new();
        for key in self.policies.iter().flat_map(WitnessPolicy::witnesses) {
            if !witnesses.contains(key) {
                witnesses.push(key.clone());
            }
        }
        Believed { subject, roots: self.anchors.roots().map(root).collect(), logs, witnesses }
    }

    /// A bundle: refused as a whole, or judged.
    fn bundle(
        &self,
        path: &Path,
        terms: &Verification<'_>,
        watch: &mut dyn Watch,
    ) -> io::Result<(Report, Vec<String>)> {
        match Bundle::open(path) {
            Ok(bundle) => {
                watch.expect(bundle.receipts());
                let known = |name: &&String| {
                    let mut keys =
                        self.log_keys.iter().chain(self.policies.iter().flat_map(WitnessPolicy::logs));
                    keys.any(|key| key.name() == name.as_str())
                };
                let unknown = bundle.logs().iter().filter(|name| !known(name));
                let ask = |name: &String| {
                    format!(
                        "the bundle has proofs of the log `{}`; give its key with --log-key",
                        name.escape_debug()
                    )
                };
                Ok((bundle.verify(terms, watch)?, unknown.map(ask).collect()))
            }
            Err(error) => {
                let what = error.to_string();
                Ok((error.into_report()?, vec![what]))
            }
        }
    }

    fn open_logs(&self) -> Result<Vec<LogReader>, InquiryError> {
        self.logs.iter().map(|folder| self.open_log(folder)).collect()
    }

    /// Opens a log by one of the keys that were given: the one beside it proves nothing.
    fn open_log(&self, folder: &Path) -> Result<LogReader, InquiryError> {
        let mut last = None;
        for key in &self.log_keys {
            match LogReader::open(folder, key) {
                Ok(log) => return Ok(log),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| InquiryError::NoLogKey { path: folder.to_owned() }, InquiryError::Log))
    }
}

/// Why nothing can be judged. None of it says anything about the receipts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InquiryError {
    /// What is to be verified cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A bundle beside journals or logs.
    #[error("{}: a bundle is verified alone; --journal and --log are for journals", path.display())]
    BundleAlone {
        /// The bundle.
        path: PathBuf,
    },
    /// A log without any key to open it.
    #[error("{}: give the key of this log with --log-key", path.display())]
    NoLogKey {
        /// The log.
        path: PathBuf,
    },
    /// A log that does not open with the keys that were given.
    #[error(transparent)]
    Log(LogError),
}

impl InquiryError {
    /// Whether another way to ask would help, and not another file.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::NoLogKey { .. })
    }
}

/// The story is kept while somebody else watches.
struct Both<'w> {
    timeline: Timeline,
    watch: &'w mut dyn Watch,
}

impl Watch for Both<'_> {
    fn expect(&mut self, receipts: u64) {
        self.watch.expect(receipts);
    }

    fn receipt(&mut self, seen: &Seen<'_>) {
        self.timeline.receipt(seen);
        self.watch.receipt(seen);
    }
}

/// Receipts that one story may have: more is no story any more.
const MOST_STEPS: usize = 2_000;
