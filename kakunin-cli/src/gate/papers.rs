//! The papers of who is to be promoted: a certificate with its issuers, roots, lists, lists of names.

use std::path::{Path, PathBuf};

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::gate::Given;
use kakunin_core::scope::{NameList, NameLists};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::answer::Failure;
use crate::context::read_text;

/// Who is to be promoted, and by whom it is believed. Each part is there or says why it is not.
pub(crate) struct Candidate {
    pub(crate) certificate: Given<Vec<u8>>,
    pub(crate) pool: Vec<Vec<u8>>,
    /// Why not all of what was named stands in the pool. There is no certificate then, whoever has it.
    #[cfg(feature = "serve")]
    pub(crate) missing: Option<String>,
    pub(crate) anchors: Given<TrustAnchors>,
    pub(crate) lists: Given<Vec<Vec<u8>>>,
    pub(crate) names: NameLists,
}

/// Reads the papers at `certificate`, which is a file in PEM or the directory of an agent. Without one there is none here, and
/// no list where none is named: a service may have both.
///
/// # Errors
/// A folder of names that cannot be read: a leash without them would decide other examples.
pub(crate) fn read_papers(
    certificate: Option<&Path>,
    untrusted: &[PathBuf],
    roots: &[PathBuf],
    lists: &[PathBuf],
    names: &[PathBuf],
) -> Result<Candidate, Failure> {
    let mut pool = Vec::new();
    let mut folders = names.to_vec();
    let leaf = match certificate {
        None => Err("no certificate is given".to_owned()),
        Some(directory) if directory.is_dir() => {
            let chain = directory.join("chain.pem");
            // Without it there is no path, and the check of the path says so.
            pool.extend(certificates(&chain).unwrap_or_default());
            folders.extend(Some(directory.join("names")).filter(|folder| folder.is_dir()));
            certificates(&directory.join("agent.pem"))
        }
        Some(file) => certificates(file),
    };
    let leaf = leaf.map(|mut found| {
        let rest = found.split_off(1.min(found.len()));
        pool.extend(rest);
        found.pop().unwrap_or_default()
    });
    let mut missing = None;
    for path in untrusted {
        match certificates(path) {
            Ok(found) => pool.extend(found),
            Err(what) => missing = Some(what),
        }
    }
    Ok(Candidate {
        certificate: missing.clone().map_or(leaf, Err),
        pool,
        #[cfg(feature = "serve")]
        missing,
        anchors: all(roots, certificates).and_then(|roots| {
            TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(|error| error.to_string())
        }),
        lists: all(lists, revocation_lists),
        names: read_names(&folders)?,
    })
}

fn all(paths: &[PathBuf], read: impl Fn(&Path) -> Given<Vec<Vec<u8>>>) -> Given<Vec<Vec<u8>>> {
    let mut ders = Vec::new();
    for path in paths {
        ders.extend(read(path)?);
    }
    Ok(ders)
}

/// The certificates in a PEM file, of which there is at least one.
pub(super) fn certificates(path: &Path) -> Given<Vec<Vec<u8>>> {
    let pem = read(path)?;
    let blocks: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let ders = blocks.map(|blocks| blocks.iter().map(|der| der.as_ref().to_vec()).collect::<Vec<_>>());
    ders.ok()
        .filter(|ders| !ders.is_empty())
        .ok_or_else(|| format!("{} holds no PEM CERTIFICATE", path.display()))
}

fn revocation_lists(path: &Path) -> Given<Vec<Vec<u8>>> {
    let pem = read(path)?;
    let blocks: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    let ders = blocks.map(|blocks| blocks.iter().map(|der| der.as_ref().to_vec()).collect::<Vec<_>>());
    ders.ok()
        .filter(|ders| !ders.is_empty())
        .ok_or_else(|| format!("{} holds no PEM X509 CRL", path.display()))
}

fn read(path: &Path) -> Given<Vec<u8>> {
    kakunin_authority::files::read(path).map_err(|error| error.to_string())
}

fn read_names(folders: &[PathBuf]) -> Result<NameLists, Failure> {
    let mut lists = NameLists::default();
    for folder in folders {
        let cannot =
            |error: &dyn std::fmt::Display| Failure::cannot(format!("{}: {error}", folder.display()));
        for entry in std::fs::read_dir(folder).map_err(|error| cannot(&error))? {
            let path = entry.map_err(|error| cannot(&error))?.path();
            if path.extension().is_some_and(|kind| kind == "txt") {
                lists.insert(NameList::parse(&read_text(&path)?).map_err(|error| cannot(&error))?);
            }
        }
    }
    Ok(lists)
}
