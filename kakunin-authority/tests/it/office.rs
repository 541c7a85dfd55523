//! An authority in a temporary directory, for the other modules.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use kakunin_authority::authority::{
    AnyAction, Certified, Certify, Comeback, Days, Hours, Ordered, Renew, Renewed,
};
use kakunin_authority::authority::{AuthorityError, Budgets};
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::standing::Order;
use kakunin_authority::{AgentName, Authority, Home, Who};
use kakunin_core::certificate::{AgentCertificate, PathLists, TrustAnchors, VerifiedAgent};
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixTime;
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) const DAY: i64 = 86_400;

pub(crate) struct Office {
    pub(crate) folder: TempDir,
    pub(crate) home: Home,
    passphrase: PathBuf,
}

impl Office {
    pub(crate) fn open() -> Self {
        Self::open_at(now())
    }

    pub(crate) fn open_at(now: UnixTime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, "correct horse\n").unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        let home = Home::at(&folder.path().join("home"));
        let office = Self { folder, home, passphrase };
        let _ = Authority::init(&office.home, office.sources(), now, Hours::default()).unwrap();
        office
    }

    pub(crate) fn sources(&self) -> PassphraseSources<'_> {
        PassphraseSources { named: Some(&self.passphrase), own: Path::new("/nonexistent"), ask: &nobody }
    }

    pub(crate) fn authority(&self) -> Authority<'_> {
        Authority::open(&self.home, self.sources()).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn create(&self, name: &str) -> Who {
        let agent = self.authority().create(
            &AgentName::parse(name).unwrap(),
            &draft(SCOPE),
            AnyAction::Refuse,
            now(),
        );
        Who::Id(agent.unwrap().id)
    }

    pub(crate) fn certify(&self, who: &Who, directory: &str) -> Result<Certified, AuthorityError> {
        self.certify_as(who, directory, Comeback::Refuse, Days::default(), now())
    }

    pub(crate) fn certify_as(
        &self,
        who: &Who,
        directory: &str,
        comeback: Comeback,
        days: Days,
        now: UnixTime,
    ) -> Result<Certified, AuthorityError> {
        let directory = &self.path(directory);
        let order = Certify { directory, days, request: None, comeback, any: AnyAction::Refuse };
        self.authority().certify(who, &order, Hours::default(), now).map(|(made, _)| made)
    }

    pub(crate) fn renew(&self, who: &Who) -> Result<Renewed, AuthorityError> {
        self.authority().renew(who, &RENEW, Hours::default(), now())
    }

    pub(crate) fn order(&self, who: &Who, order: Order) -> Result<Ordered, AuthorityError> {
        self.authority().order(who, order, "a test", Hours::default(), now())
    }

    /// What a guard in `directory` would find.
    pub(crate) fn verify(&self, directory: &str) -> VerifiedAgent {
        let read = |name: &str| ders(&self.path(directory).join(name));
        let anchor = read("ca.pem");
        let anchors = TrustAnchors::new(anchor.iter().map(Vec::as_slice)).unwrap();
        let chain = read("chain.pem");
        let agent = AgentCertificate::decode(&read("agent.pem")[0]).unwrap();
        let path = agent.verify_path(chain.iter().map(Vec::as_slice), &anchors, now()).unwrap();
        let lists = PathLists::from_pem(&fs::read(self.home.lists().unwrap()).unwrap(), &path).unwrap();
        path.with_lists(lists, now()).unwrap()
    }
}

pub(crate) const RENEW: Renew<'static> =
    Renew { directory: None, days: Days::WEEK, scope: None, any: AnyAction::Refuse, budgets: Budgets::Keep };

pub(crate) fn nobody(_: &str) -> io::Result<Option<Zeroizing<String>>> {
    Ok(None)
}

pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime::from_seconds(i64::try_from(since.as_secs()).unwrap())
}

pub(crate) fn draft(text: &str) -> DraftScope {
    DraftScope::parse(text, &|path| fs::read_to_string(path)).unwrap()
}

/// The PEM blocks of a file.
pub(crate) fn ders(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split_inclusive("-----END CERTIFICATE-----\n");
    blocks.map(|block| der::pem::decode_vec(block.as_bytes()).unwrap().1).collect()
}

pub(crate) const SCOPE: &str = r#"
actions = ["read:*", "payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
per_day = "50000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
"#;
