//! A real agent of a real authority.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_authority::authority::{AnyAction, Certify, Comeback, Days, Hours};
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::{AgentName, Authority, Home, Who};
use kakunin_core::guard::MemorySource;
use kakunin_core::home::{AgentHome, Papers};
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixTime;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::Outcome;

/// An agent with a directory.
pub(crate) struct BenchAgent {
    folder: PathBuf,
    // Held, never read: the folder ends with it.
    _temporary: Option<TempDir>,
    pub(crate) home: AgentHome,
    pub(crate) papers: Papers,
    pub(crate) lists: Vec<u8>,
    pub(crate) now: UnixTime,
}

impl BenchAgent {
    /// Makes an authority and an agent that may pay 1,000 vendors, in a folder that ends with the run.
    pub(crate) fn make(now: UnixTime) -> Outcome<Self> {
        let temporary = tempfile::tempdir()?;
        let agent = Self::make_in(temporary.path(), now)?;
        Ok(Self { _temporary: Some(temporary), ..agent })
    }

    /// The same in `folder`, which stays.
    pub(crate) fn make_in(folder: &Path, now: UnixTime) -> Outcome<Self> {
        let home = Home::at(&folder.join("home"));
        let own = home.passphrase();
        let sources = PassphraseSources { named: None, own: &own, ask: &|_| Ok(None) };
        let (mut authority, _) = Authority::init(&home, sources, now, Hours::default())?;
        let names = |_: &str| Ok(vendors().map(|name| name + "\n").collect());
        let draft = DraftScope::parse(SCOPE, &names)?;
        let agent = authority.create(&AgentName::parse("billing")?, &draft, AnyAction::Refuse, now)?;
        let directory = folder.join("agent");
        let order = Certify {
            directory: &directory,
            days: Days::default(),
            request: None,
            comeback: Comeback::Refuse,
            any: AnyAction::Refuse,
        };
        let (_, _published) = authority.certify(&Who::Id(agent.id), &order, Hours::default(), now)?;
        let home = AgentHome::open(&directory, None)?;
        let (papers, lists) = (home.papers()?, fs::read(home.lists_path())?);
        Ok(Self { folder: folder.to_owned(), _temporary: None, home, papers, lists, now })
    }

    /// The same agent without its directory.
    pub(crate) fn source(&self) -> Outcome<Arc<MemorySource>> {
        let pkcs8 = Zeroizing::new(self.pkcs8()?);
        Ok(Arc::new(MemorySource::new(self.papers.clone(), self.lists.clone(), pkcs8)))
    }

    /// The agent's private key.
    pub(crate) fn pkcs8(&self) -> Outcome<Vec<u8>> {
        let pem = fs::read(self.home.dir().join("key.pem"))?;
        Ok(PrivatePkcs8KeyDer::from_pem_slice(&pem)?.secret_pkcs8_der().to_vec())
    }

    /// A path in the folder.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The names of the list.
pub(crate) fn vendors() -> impl Iterator<Item = String> {
    (0..1_000).map(|number| format!("vendor-{number:04}"))
}

const SCOPE: &str = r#"
actions = ["payments:send", "read:*"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
[[counterparties]]
for = ["payments:send"]
allow_file = "vendors.txt"
[hours]
zone = "Europe/Berlin"
slots = ["Mon-Sun 00:00-24:00"]
"#;
