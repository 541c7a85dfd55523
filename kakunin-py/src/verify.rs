//! The verifier: the same account that the command line prints.

use std::path::PathBuf;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::digest::Digest;
use kakunin_core::log::{VerifierKey, WitnessPolicy};
use kakunin_core::report::{Account, Inquiry, InquiryError, Told, keep};
use kakunin_core::scope::{NameList, NameLists};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

/// What was found.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct NativeAccount {
    account: Account,
}

#[pymethods]
impl NativeAccount {
    /// The JSON that `kakunin verify --json` prints; with `timeline`, as with `--timeline`.
    fn record(&self, py: Python<'_>, timeline: bool) -> String {
        let told = if timeline { Told::Always } else { Told::OneChain };
        py.detach(|| self.account.to_record(told).to_string())
    }

    /// The page of HTML that `kakunin verify --html` writes.
    fn page(&self, py: Python<'_>) -> String {
        py.detach(|| self.account.to_page())
    }

    /// Writes that page: whole or not at all, and in the place of a regular file only.
    fn keep(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let kept = py.detach(|| keep(&path, self.account.to_page()));
        kept.map_err(|error| PyOSError::new_err(error.to_string()))
    }
}

/// What was asked, as Python has it.
struct Asked {
    path: PathBuf,
    roots: Vec<(Option<String>, Vec<u8>)>,
    log_keys: Vec<String>,
    policies: Vec<(Option<String>, Vec<u8>)>,
    crls: Vec<(Option<String>, Vec<u8>)>,
    logs: Vec<PathBuf>,
    journals: Vec<PathBuf>,
    names: Option<Vec<String>>,
}

/// Why there is no answer: what was asked cannot be asked, or what is there cannot be judged.
pub(crate) enum Failure {
    Usage(String),
    Cannot(String),
}

impl From<InquiryError> for Failure {
    fn from(error: InquiryError) -> Self {
        if error.is_usage() { Self::Usage(error.to_string()) } else { Self::Cannot(error.to_string()) }
    }
}

/// Verifies what lies at `path`. Roots, policies and lists are pairs of the file, if there is one, and its octets; `names`
/// is `None` where nothing is to be decided again.
#[pyfunction]
#[pyo3(signature = (path, *, roots, log_keys, policies, crls, logs, journals, names))]
#[expect(clippy::too_many_arguments, reason = "the parts of one question, called from one place")]
pub(crate) fn verify_path(
    py: Python<'_>,
    path: PathBuf,
    roots: Vec<(Option<String>, Vec<u8>)>,
    log_keys: Vec<String>,
    policies: Vec<(Option<String>, Vec<u8>)>,
    crls: Vec<(Option<String>, Vec<u8>)>,
    logs: Vec<PathBuf>,
    journals: Vec<PathBuf>,
    names: Option<Vec<String>>,
) -> PyResult<NativeAccount> {
    let asked = Asked { path, roots, log_keys, policies, crls, logs, journals, names };
    match py.detach(|| ask(asked)) {
        Ok(account) => Ok(NativeAccount { account }),
        Err(Failure::Usage(text)) => Err(PyValueError::new_err(text)),
        Err(Failure::Cannot(text)) => Err(cannot(py, &text)),
    }
}

fn ask(asked: Asked) -> Result<Account, Failure> {
    let cannot = |file: &Option<String>, what: &dyn std::fmt::Display| {
        Failure::Cannot(format!("{}: {what}", file.as_deref().unwrap_or(UNNAMED)))
    };
    let (mut roots, mut files): (Vec<Vec<u8>>, Vec<(Digest, String)>) = (Vec::new(), Vec::new());
    for file in &asked.roots {
        let found = blocks::<CertificateDer<'_>>(std::slice::from_ref(file), "CERTIFICATE")?;
        if let Some(name) = &file.0 {
            files.extend(found.iter().map(|der| (Digest::of(der), name.clone())));
        }
        roots.extend(found);
    }
    let lists = blocks::<CertificateRevocationListDer<'_>>(&asked.crls, "X509 CRL")?;
    let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice));
    let anchors = anchors.map_err(|error| Failure::Cannot(error.to_string()))?;
    let key = |text: &String| {
        VerifierKey::parse(text).map_err(|error| Failure::Usage(format!("log key `{text}`: {error}")))
    };
    let keys: Vec<VerifierKey> = asked.log_keys.iter().map(key).collect::<Result<_, _>>()?;
    let policy = |(name, text): &(Option<String>, Vec<u8>)| {
        WitnessPolicy::parse(text).map_err(|error| cannot(name, &error))
    };
    let policies: Vec<WitnessPolicy> = asked.policies.iter().map(policy).collect::<Result<_, _>>()?;
    let mut inquiry = Inquiry::by(anchors).log_keys(keys).witnesses(policies).lists(lists).logs(asked.logs);
    for (root, name) in files {
        inquiry = inquiry.root_file(root, name);
    }
    if let Some(texts) = asked.names {
        let mut lists = NameLists::default();
        for text in &texts {
            lists.insert(NameList::parse(text).map_err(|error| Failure::Cannot(format!("names: {error}")))?);
        }
        inquiry = inquiry.replay(lists);
    }
    Ok(inquiry.of(&asked.path, &asked.journals, &mut ())?)
}

/// The DER in files of PEM, each of which has to hold some.
pub(crate) fn blocks<T: PemObject + AsRef<[u8]>>(
    files: &[(Option<String>, Vec<u8>)],
    kind: &str,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut all = Vec::new();
    for (name, pem) in files {
        let name = name.as_deref().unwrap_or(UNNAMED);
        let found: Result<Vec<T>, _> = T::pem_slice_iter(pem).collect();
        let found = found.map_err(|_| Failure::Cannot(format!("{name}: it is not readable PEM")))?;
        if found.is_empty() {
            return Err(Failure::Cannot(format!("{name}: it holds no PEM {kind}")));
        }
        all.extend(found.iter().map(|der| der.as_ref().to_vec()));
    }
    Ok(all)
}

/// `kakunin.CannotVerify`.
pub(crate) fn cannot(py: Python<'_>, text: &str) -> PyErr {
    static CANNOT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = CANNOT.import(py, "kakunin.errors", "CannotVerify").and_then(|class| class.call1((text,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// What is called by no name.
const UNNAMED: &str = "the bytes given";
