//! Certificates of authorities that are not ours, for the doors of the service.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// An authority that signs for servers and clients.
pub(super) struct House {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate with its key.
pub(super) struct Papers {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Until when a certificate counts.
#[derive(Clone, Copy)]
pub(super) enum Until {
    Later,
    Past,
}

impl House {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For this machine, as server and as client.
    pub(super) fn papers(&self, until: Until) -> Papers {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = match until {
            Until::Later => (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 1, 1)),
            Until::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
        };
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Papers { certificate, key: key.serialize_pem() }
    }
}

impl Papers {
    /// Writes `NAME.pem` and `NAME.key` in place of those that are there, one after the other.
    pub(super) fn write(&self, folder: &Path, name: &str) {
        put(&folder.join(format!("{name}.pem")), &self.certificate);
        put(&folder.join(format!("{name}.key")), &self.key);
    }
}

/// A file that is there whole or not at all.
pub(super) fn put(path: &Path, text: &str) {
    let temporary = path.with_extension("new");
    fs::write(&temporary, text).unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&temporary, path).unwrap();
}
