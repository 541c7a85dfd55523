//! Callers that name their certificate and prove nothing: a mode for the time in which clients learn to sign, off by default.
//!
//! Whoever knows a serial number is taken for its agent. The receipt says so (`none`), and scope, standing and budgets are
//! enforced all the same.

use std::fs;
use std::path::Path;

use kakunin_core::id::SerialNumber;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::head::Head;
use crate::refused::Refused;

/// The chain of the certificate that the request names; `None` when it names none.
pub(crate) fn chain(folder: &Path, head: &Head<'_>) -> Result<Option<Named>, Refused> {
    let Some(text) = head.one(FIELD)? else { return Ok(None) };
    let wrong = || Refused::malformed(format!("`{FIELD}` is no serial number"));
    // Its own digits make the name of the file, not the caller's text.
    let serial = SerialNumber::parse(text).ok_or_else(wrong)?;
    let pem = fs::read(folder.join(format!("{serial}.pem"))).unwrap_or_default();
    let links = CertificateDer::pem_slice_iter(&pem).take(MOST).map(|der| der.map(|der| der.to_vec()));
    let links: Vec<_> = links.collect::<Result<_, _>>().unwrap_or_default();
    if links.is_empty() { Err(Refused::missing()) } else { Ok(Some((serial, links))) }
}

/// A serial number, and the chain of the certificate that is filed under it.
pub(crate) type Named = (SerialNumber, Vec<Vec<u8>>);

const FIELD: &str = "x-kakunin-cert-serial";
const MOST: usize = 4;
