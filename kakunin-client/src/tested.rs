//! Authorities on a disk, and an agent that is about to move to the next issuing authority of one, for tests of these rooms.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use kakunin_authority::authority::{AnyAction, Certify, Comeback, Days, FeedMode, Hours, OldIssuing};
use kakunin_authority::papers::Papers;
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::{AgentName, Authority, Home, Who};
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use crate::papers::{Expected, NewPapers};
use crate::place::Place;

pub(crate) fn now() -> UnixTime {
    SystemClock.wall().to_seconds()
}

/// An authority without a feed, in `home` of a folder of its own, that signs deltas.
pub(crate) fn with_authority(test: impl FnOnce(&Path, &mut Authority<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = folder.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&passphrase, private).unwrap();
    let own = Path::new("/nonexistent");
    let sources = PassphraseSources { named: Some(&passphrase), own, ask: &|_| Ok(None) };
    let home = Home::at(&folder.path().join("home"));
    let (mut authority, _) = Authority::init(&home, sources, now(), Hours::default()).unwrap();
    authority.sign_deltas();
    test(folder.path(), &mut authority);
}

/// An agent of this name, with its directory in `folder`, for a day.
pub(crate) fn certified(authority: &mut Authority<'_>, folder: &Path, name: &str) -> Who {
    let scope = DraftScope::parse("actions = [\"pay\"]", &|_| Err(std::io::ErrorKind::NotFound.into()));
    let agent_name = AgentName::parse(name).unwrap();
    let agent = authority.create(&agent_name, &scope.unwrap(), AnyAction::Refuse, now()).unwrap().id;
    let directory = &folder.join(name);
    let (days, comeback, any) = (Days::DAY, Comeback::Refuse, AnyAction::Refuse);
    let order = Certify { directory, days, request: None, comeback, any };
    let _ = authority.certify(&Who::Id(agent), &order, Hours::default(), now()).unwrap();
    Who::Id(agent)
}

/// A directory with the papers of before, and the answer that has those of after.
pub(crate) struct Rotated {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) answer: Value,
}

impl Rotated {
    pub(crate) fn new(old: OldIssuing) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = folder.path().join("passphrase");
        std::fs::write(&passphrase, "correct horse\n").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&passphrase, private).unwrap();
        let sources = PassphraseSources {
            named: Some(&passphrase),
            own: Path::new("/nonexistent"),
            ask: &|_| Ok(None),
        };
        let home = Home::at(&folder.path().join("home"));
        let (mut authority, _) = Authority::init(&home, sources, now(), Hours::default()).unwrap();
        authority.set_feed(FeedMode::On);
        let scope = DraftScope::parse("actions = [\"pay\"]", &|_| Err(std::io::ErrorKind::NotFound.into()));
        let name = AgentName::parse("billing").unwrap();
        let agent = authority.create(&name, &scope.unwrap(), AnyAction::Refuse, now()).unwrap().id;
        let directory = &folder.path().join("agent");
        let days = Days::DAY;
        let (comeback, any) = (Comeback::Refuse, AnyAction::Refuse);
        let order = Certify { directory, days, request: None, comeback, any };
        let _ = authority.certify(&Who::Id(agent), &order, Hours::default(), now()).unwrap();
        let lists = home.public().join("lists.pem");
        std::fs::copy(&lists, directory.join("lists.pem")).unwrap();
        let pem = std::fs::read(directory.join("agent.pem")).unwrap();
        let (_, der) = der::pem::decode_vec(&pem).unwrap();
        let held = AgentCertificate::decode(&der).unwrap();
        let _ = authority.rotate(old, Hours::default(), now()).unwrap();
        let papers = authority.renew_elsewhere(&held, Days::WEEK, Hours::default(), now()).unwrap();
        Self { answer: answer(&papers), folder }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    pub(crate) fn place(&self) -> Place {
        Place::open(&self.dir(), now()).unwrap()
    }

    /// What is answered, with this in the place of the succession.
    pub(crate) fn papers(&self, succession: Option<Option<String>>) -> NewPapers {
        let mut answer = self.answer.clone();
        if let Some(said) = succession {
            answer["succession"] = json!(said);
        }
        judged(&answer, &self.place())
    }
}

/// What the client of `place` makes of an answer to its renewal.
pub(crate) fn judged(answer: &Value, place: &Place) -> NewPapers {
    let signer = place.signer().unwrap();
    let expected = Expected {
        key: signer.public(),
        root: place.root(),
        issuer: None,
        agent: Some(place.agent()),
        without_feed: true,
    };
    NewPapers::judge(json!({ "data": answer }).to_string().as_bytes(), &expected, now()).unwrap()
}

/// As the service answers a renewal.
pub(crate) fn answer(papers: &Papers) -> Value {
    let names = papers
        .names
        .iter()
        .map(|(root, text)| (format!("{root}.txt"), Value::from(Base64::encode_string(text.as_bytes()))));
    json!({
        "agent_name": papers.agent.name.as_str(),
        "certificate_pem": Papers::pem(papers.certificate.decoded()).unwrap(),
        "chain_pem": Papers::pem(papers.issuing.decoded()).unwrap(),
        "ca_pem": Papers::pem(papers.root.decoded()).unwrap(),
        "lists_pem": papers.lists_pem(),
        "names": Value::Object(names.collect()),
        "succession": papers.succession.as_ref().map(|word| word.to_text()),
    })
}
