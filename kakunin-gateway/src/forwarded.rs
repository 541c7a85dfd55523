//! Client certificates that a proxy passes on: `client-cert` and `client-cert-chain` (RFC 9440), `x-forwarded-client-cert` of Envoy.
//!
//! Read only of a proxy that the deployer named: whoever can reach this process otherwise could write what it likes there. One
//! form of each is read, and what could be read in two ways is refused.

use base64ct::{Base64, Encoding as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::head::Head;
use crate::options::ProxyField;
use crate::refused::Refused;

/// The certificate and those that were sent with it, in DER; `None` when the proxy says nothing. Nothing but its field is looked at:
/// another one may be the client's own.
pub(crate) fn chain(head: &Head<'_>, field: ProxyField) -> Result<Option<Vec<Vec<u8>>>, Refused> {
    match field {
        ProxyField::ClientCert => head.one(CLIENT_CERT)?.map(|leaf| of_standard(head, leaf)).transpose(),
        ProxyField::XForwardedClientCert => head.one(FORWARDED)?.map(of_envoy).transpose(),
    }
}

fn of_standard(head: &Head<'_>, certificate: &str) -> Result<Vec<Vec<u8>>, Refused> {
    let wrong = || Refused::malformed("`client-cert` is no byte sequence".to_owned());
    let leaf = byte_sequence(certificate).ok_or_else(wrong)?;
    let others = match head.one(CLIENT_CERT_CHAIN)? {
        None => Vec::new(),
        Some(list) => {
            let wrong = || Refused::malformed("`client-cert-chain` is no list of byte sequences".to_owned());
            let others = list.split(',').map(|item| byte_sequence(item.trim_matches([' ', '\t'])));
            others.take(MOST + 1).collect::<Option<Vec<_>>>().ok_or_else(wrong)?
        }
    };
    several(std::iter::once(leaf).chain(others).collect())
}

/// `Hash=..;Cert="..";Chain=".."`: one element, since each proxy on the way adds one and only the named one is believed.
fn of_envoy(element: &str) -> Result<Vec<Vec<u8>>, Refused> {
    let wrong = |what: &str| Refused::malformed(format!("`x-forwarded-client-cert` {what}"));
    let (mut certificate, mut chain) = (None, None);
    for pair in pairs(element).ok_or_else(|| wrong("is not one element of pairs"))? {
        let (name, value) = pair;
        let place = match name.to_ascii_lowercase().as_str() {
            "cert" => &mut certificate,
            "chain" => &mut chain,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(wrong("says one thing twice"));
        }
    }
    // `Chain` begins with the certificate itself.
    let text = chain
        .or(certificate)
        .ok_or_else(|| wrong("has no certificate; let the proxy send `Cert` or `Chain`"))?;
    let pem = unescape(&text).ok_or_else(|| wrong("has an escape that is none"))?;
    let links = CertificateDer::pem_slice_iter(&pem).take(MOST + 1).map(|der| der.map(|der| der.to_vec()));
    let links = links.collect::<Result<Vec<_>, _>>().map_err(|_| wrong("has no readable PEM"))?;
    several(links)
}

/// The pairs of one element; `None` if there is a second element, or anything else.
fn pairs(element: &str) -> Option<Vec<(&str, String)>> {
    let (mut rest, mut found) = (element, Vec::new());
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = after.find([';', ',']).unwrap_or(after.len());
                let (value, after) = after.split_at_checked(end)?;
                (value.to_owned(), after)
            }
        };
        found.push((name, value));
        if after.is_empty() {
            return Some(found);
        }
        rest = after.strip_prefix(';')?;
        if found.len() > MOST_PAIRS {
            return None;
        }
    }
}

fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(letters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Percent-encoded text (RFC 3986 section 2.1); a `+` is a plus.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        out.push(digit(bytes.next()?)? << 4 | digit(bytes.next()?)?);
    }
    Some(out)
}

/// RFC 9651 section 3.3.5, in its one spelling.
fn byte_sequence(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix(':')?.strip_suffix(':')?;
    let octets = Base64::decode_vec(text).ok()?;
    (Base64::encode_string(&octets) == text).then_some(octets)
}

fn several(links: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Refused> {
    if links.is_empty() || links.len() > MOST {
        return Err(Refused::malformed(
            "the proxy passes on no certificate, or more than a chain has".to_owned(),
        ));
    }
    Ok(links)
}

const CLIENT_CERT: &str = "client-cert";
const CLIENT_CERT_CHAIN: &str = "client-cert-chain";
const FORWARDED: &str = "x-forwarded-client-cert";
/// Agent, issuing authority, and room for a root that needs not be sent.
const MOST: usize = 4;
const MOST_PAIRS: usize = 16;
