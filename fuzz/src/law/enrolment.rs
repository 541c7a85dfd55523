//! Requests for a certificate: whoever gets one has the key.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use der::{DecodePem, Encode};
use kakunin_authority::authority::{AnyAction, AuthorityError, Comeback, Days, Hours};
use kakunin_authority::papers::Enrol;
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::{AgentName, Authority, Home, Who};
use kakunin_core::scope::DraftScope;
use tempfile::TempDir;
use x509_cert::request::CertReq;

use crate::authority::now;
use crate::world::SCOPE;

/// An authority in a folder of its own.
struct Office {
    _folder: TempDir,
    authority: Authority<'static>,
    agent: Who,
}

/// What is refused is refused as a request; what is granted is for the key that is in it, and by the key's own signature.
pub(super) fn holds(input: &[u8]) {
    thread_local!(static OFFICE: RefCell<Office> = RefCell::new(Office::open()));
    let order = Enrol { request: input.to_vec(), days: Days::DAY, comeback: Comeback::Refuse, token: None };
    let answer = OFFICE.with_borrow_mut(|office| {
        let agent = office.agent.clone();
        office.authority.enrol_elsewhere(&agent, &order, Hours::default(), now())
    });
    match answer {
        Ok(papers) => {
            let request = CertReq::from_pem(std::str::from_utf8(input).unwrap()).unwrap();
            let spki = request.info.public_key.to_der().unwrap();
            assert_eq!(papers.certificate.decoded().key().spki(), spki);
            let signature = request.signature.as_bytes().unwrap();
            let info = request.info.to_der().unwrap();
            papers.certificate.decoded().key().verify_x509(&info, signature).unwrap();
        }
        Err(AuthorityError::Request(what)) => assert!(!what.is_empty()),
        Err(other) => panic!("{other}"),
    }
}

impl Office {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, "correct horse\n").unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        // One a thread, for as long as the program runs.
        let passphrase: &'static Path = Box::leak(passphrase.into_boxed_path());
        let home = Home::at(&folder.path().join("home"));
        let sources =
            PassphraseSources { named: Some(passphrase), own: Path::new("/nonexistent"), ask: &nobody };
        let (mut authority, _) = Authority::init(&home, sources, now(), Hours::default()).unwrap();
        let scope = DraftScope::parse(SCOPE, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let name = AgentName::parse("billing").unwrap();
        let agent = authority.create(&name, &scope, AnyAction::Refuse, now()).unwrap();
        Self { _folder: folder, authority, agent: Who::Id(agent.id) }
    }
}

fn nobody(_: &str) -> std::io::Result<Option<zeroize::Zeroizing<String>>> {
    Ok(None)
}
