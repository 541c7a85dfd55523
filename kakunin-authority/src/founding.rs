//! The certificates of the authorities themselves: the root's and each issuing one's.

use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Algorithm, Signer};
use kakunin_core::time::{UnixTime, Validity};
use ring::rand::{SecureRandom, SystemRandom};

use crate::authority::{AuthorityError, BACKDATE, DAY};
use crate::files::{self, Readers};
use crate::home::Home;
use crate::profile::{Kind, Subject, signed, to_be_signed};
use crate::publish::to_pem;
use crate::signer::{self, Passphrase};
use crate::store::IssuerId;

/// Makes the root's certificate and its file, signed by its own key.
pub(crate) fn new_root(home: &Home, key: &Signer, now: UnixTime) -> Result<CaCertificate, AuthorityError> {
    let validity = Validity { not_before: now.plus(-BACKDATE), not_after: now.plus(ROOT_DAYS * DAY) };
    let der = authority_certificate(&Kind::Root, key, key, validity)?;
    let root = CaCertificate::decode(&der, CaRole::Root)?;
    files::replace(&home.root_certificate(), certificate_pem(&root)?.as_bytes(), Readers::Everyone)?;
    Ok(root)
}

/// Makes an issuing authority below `root`: its key, its certificate and their files.
pub(crate) fn new_issuing(
    home: &Home,
    id: IssuerId,
    root: &CaCertificate,
    root_key: &Signer,
    passphrase: &Passphrase,
    now: UnixTime,
) -> Result<(CaCertificate, Signer), AuthorityError> {
    let key = signer::create(&home.issuing_key(id), passphrase, Algorithm::P256)?;
    let outer = root.decoded().validity();
    let validity = Validity {
        not_before: now.plus(-BACKDATE).max(outer.not_before),
        not_after: now.plus(ISSUING_DAYS * DAY).min(outer.not_after),
    };
    if validity.not_after <= now {
        return Err(AuthorityError::IssuerEnded { at: outer.not_after });
    }
    let der = authority_certificate(&Kind::Issuing { issuer: root }, &key, root_key, validity)?;
    let certificate = CaCertificate::decode(&der, CaRole::Issuing)?;
    files::replace(
        &home.issuing_certificate(id),
        certificate_pem(&certificate)?.as_bytes(),
        Readers::Everyone,
    )?;
    Ok((certificate, key))
}

fn authority_certificate(
    kind: &Kind<'_>,
    key: &Signer,
    issuer_key: &Signer,
    validity: Validity,
) -> Result<Vec<u8>, AuthorityError> {
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).map_err(|_| AuthorityError::NoRandomness)?;
    // Two homes must not have authorities of one name, so each carries a piece of its key.
    let piece: String = key.public().key_id().to_hex().chars().take(8).collect();
    let name = match kind {
        Kind::Root => format!("Kakunin root {piece}"),
        _ => format!("Kakunin issuing authority {piece}"),
    };
    let serial = SerialNumber::from_random(random);
    let subject = Subject { name: &name, key: key.public(), validity, serial };
    let tbs = to_be_signed(kind, &subject, issuer_key.algorithm())?;
    Ok(signed(&tbs, issuer_key.algorithm(), &issuer_key.sign(&tbs)?)?)
}

fn certificate_pem(certificate: &CaCertificate) -> Result<String, AuthorityError> {
    to_pem("CERTIFICATE", certificate.decoded().der())
}

/// Twenty years, with their leap days.
const ROOT_DAYS: i64 = 7_305;
/// Five years.
const ISSUING_DAYS: i64 = 1_826;
