//! Certificates: their ends, their keys, their directories.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use kakunin_authority::access::TenantId;
use kakunin_authority::authority::{
    AnyAction, AuthorityError, Budgets, Certify, Comeback, Days, Hours, OldIssuing, Renew,
};
use kakunin_authority::directory::DirectoryError;
use kakunin_authority::standing::Order;
use kakunin_authority::{AgentName, Authority, Who};
use kakunin_core::genesis::Genesis;
use kakunin_core::home::AgentHome;
use kakunin_core::key::Algorithm;
use kakunin_core::level::Level;
use kakunin_core::revocation::Standing;

use crate::office::{DAY, Office, RENEW, SCOPE, ders, draft, now};

#[test]
fn days_have_limits_and_no_certificate_outlives_its_issuer() {
    assert!(Days::new(0).is_err() && Days::new(401).is_err() && Days::new(400).is_ok());
    let office = Office::open();
    let who = office.create("billing");
    let days = Days::new(400).unwrap();
    let later = |days: i64| now().plus(days * DAY);
    let made = office.certify_as(&who, "one", Comeback::Refuse, days, later(5 * 365)).unwrap();
    let end = office.authority().issuing().unwrap().decoded().validity().not_after;
    assert_eq!(made.certificate.decoded().validity().not_after, end);
    let too_late = office.certify_as(&who, "two", Comeback::Refuse, days, later(5 * 366));
    assert!(matches!(too_late, Err(AuthorityError::IssuerEnded { .. })), "{too_late:?}");
}

#[test]
fn a_directory_holds_what_a_guard_needs_and_its_key_for_the_owner_alone() {
    let office = Office::open();
    let who = office.create("billing");
    let made = office.certify(&who, "agent").unwrap();
    let mode = fs::metadata(office.path("agent/key.pem")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let settings = fs::read_to_string(office.path("agent/agent.toml")).unwrap();
    let lists = office.home.lists().unwrap();
    assert!(settings.contains(&format!("lists = \"{}\"", lists.display())), "{settings}");
    assert!(settings.contains("name = \"billing\""), "{settings}");
    assert_eq!(office.verify("agent").path().agent().decoded().der(), made.certificate.decoded().der());

    let mark = fs::read_to_string(office.path("agent/genesis")).unwrap();
    let authority = office.authority();
    let mark = Genesis::verify(&mark, authority.issuing().unwrap().decoded().key()).unwrap();
    assert_eq!((mark.agent(), mark.certificate()), (made.agent.id, made.certificate.decoded().thumbprint()));
}

#[test]
fn only_a_fresh_directory_or_an_explicit_order_begins_with_nothing_spent() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    let mark = office.path("agent/genesis");
    // A guard consumed it.
    fs::remove_file(&mark).unwrap();
    office.certify(&who, "agent").unwrap();
    office.renew(&who).unwrap();
    assert!(!mark.exists());
    let order = Renew { budgets: Budgets::Reset, ..RENEW };
    office.authority().renew(&who, &order, Hours::default(), now()).unwrap();
    assert!(mark.exists());
}

#[test]
fn renewing_keeps_the_key_and_says_what_changed() {
    let office = Office::open();
    let who = office.create("billing");
    let before = office.certify(&who, "agent").unwrap();
    let key = fs::read(office.path("agent/key.pem")).unwrap();
    let scope = draft(&SCOPE.replace("10000.00", "20000.00"));
    let order = Renew { scope: Some(&scope), ..RENEW };
    let renewed = office.authority().renew(&who, &order, Hours::default(), now()).unwrap();
    assert_eq!(fs::read(office.path("agent/key.pem")).unwrap(), key);
    let after = &renewed.certificates[0].certificate;
    assert_ne!(after.decoded().serial(), before.certificate.decoded().serial());
    assert_eq!(after.decoded().key(), before.certificate.decoded().key());
    assert_eq!(renewed.scope_diff.len(), 2, "{:?}", renewed.scope_diff);
    assert!(renewed.scope_diff[0].starts_with("- payments:send: at most 10000.00 EUR"));
    assert!(renewed.scope_diff[1].starts_with("+ payments:send: at most 20000.00 EUR"));
    // The scope lasts: the next renewal changes nothing.
    assert!(office.renew(&who).unwrap().scope_diff.is_empty());
}

#[test]
fn long_lists_of_names_come_with_the_certificate() {
    let office = Office::open();
    let names: Vec<String> = (0..40).map(|n| format!("\"party-{n}\"")).collect();
    let text = SCOPE.replace("\"acme\", \"globex\"", &names.join(", "));
    let name = AgentName::parse("billing").unwrap();
    let agent = office.authority().create(&name, &draft(&text), AnyAction::Refuse, now()).unwrap();
    office.certify(&Who::Id(agent.id), "agent").unwrap();
    let files: Vec<_> =
        fs::read_dir(office.path("agent/names")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(fs::read_to_string(&files[0]).unwrap().lines().count(), 40);
}

#[test]
fn directories_of_others_and_lone_keys_are_left_alone() {
    let office = Office::open();
    let (billing, other) = (office.create("billing"), office.create("other"));
    office.certify(&billing, "agent").unwrap();
    let refused = office.certify(&other, "agent").map(drop);
    assert!(
        matches!(refused, Err(AuthorityError::Directory(DirectoryError::OtherAgent { .. }))),
        "{refused:?}"
    );
    fs::create_dir(office.path("lone")).unwrap();
    fs::write(office.path("lone/key.pem"), "the only copy").unwrap();
    let refused = office.certify(&other, "lone").map(drop);
    assert!(
        matches!(refused, Err(AuthorityError::Directory(DirectoryError::KeyInTheWay { .. }))),
        "{refused:?}"
    );
    assert_eq!(fs::read_to_string(office.path("lone/key.pem")).unwrap(), "the only copy");
}

/// A request made by `openssl`, for a key it keeps.
fn request(office: &Office, key: &[&str]) -> Vec<u8> {
    let (own, request) = (office.path("own.key"), office.path("own.csr"));
    let output = Command::new("openssl")
        .args(["req", "-new", "-nodes", "-subj", "/CN=x", "-newkey"])
        .args(key)
        .arg("-keyout")
        .arg(&own)
        .arg("-out")
        .arg(&request)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(&request).unwrap()
}

#[test]
fn a_request_is_certified_without_its_key() {
    let office = Office::open();
    let certify = |name: &str, pem: &[u8]| {
        let who = office.create(name);
        let directory = &office.path(name);
        let order = Certify {
            directory,
            days: Days::default(),
            request: Some(pem),
            comeback: Comeback::Refuse,
            any: AnyAction::Refuse,
        };
        office.authority().certify(&who, &order, Hours::default(), now()).map(drop)
    };
    let p256 = request(&office, &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    for (name, algorithm, pem) in
        [("p256", Algorithm::P256, &p256), ("ed25519", Algorithm::Ed25519, &request(&office, &["ed25519"]))]
    {
        certify(name, pem).unwrap();
        assert!(!office.path(name).join("key.pem").exists());
        let agent = office.verify(name);
        assert_eq!(agent.standing(), Standing::Good);
        assert_eq!(agent.path().agent().decoded().key().algorithm(), algorithm);
    }

    // A request whose signature is not its key's proves nothing; other curves and RSA are not of the profile.
    let mut forged = ders_of(&p256);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = der::pem::encode_string("CERTIFICATE REQUEST", der::pem::LineEnding::LF, &forged).unwrap();
    let p384 = request(&office, &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    let rsa = request(&office, &["rsa:2048"]);
    for (name, pem) in
        [("forged", forged.as_bytes()), ("p384", &p384), ("rsa", &rsa), ("text", b"no request")]
    {
        let refused = certify(name, pem).unwrap_err();
        assert!(matches!(refused, AuthorityError::Request(_) | AuthorityError::Key(_)), "{name} {refused:?}");
    }
}

fn ders_of(pem: &[u8]) -> Vec<u8> {
    der::pem::decode_vec(pem).unwrap().1
}

#[test]
fn every_action_needs_the_order_to_allow_it() {
    let office = Office::open();
    let all = draft("actions = [\"*\"]");
    let name = AgentName::parse("root-agent").unwrap();
    let mut authority = office.authority();
    let refused = authority.create(&name, &all, AnyAction::Refuse, now());
    assert!(matches!(refused, Err(AuthorityError::AnyAction)), "{refused:?}");
    let agent = authority.create(&name, &all, AnyAction::Allow, now()).unwrap();
    drop(authority);
    let refused = office.certify(&Who::Id(agent.id), "agent").map(drop);
    assert!(matches!(refused, Err(AuthorityError::AnyAction)), "{refused:?}");
}

#[test]
fn rotating_keeps_old_certificates_good_until_renewal_or_revokes_them() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    let settings = fs::read_to_string(office.path("agent/agent.toml")).unwrap();
    // A key behind a table's head would be the table's.
    fs::write(office.path("agent/agent.toml"), settings + "[journal]\n\"payments:*\" = \"sync\"\n").unwrap();
    let old = ders(&office.path("agent/chain.pem"));
    let _ = office.authority().rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
    assert_eq!(office.verify("agent").standing(), Standing::Good);
    assert_eq!(office.verify("agent").lists().root().number().to_u64(), Some(2));
    office.renew(&who).unwrap();
    let new = ders(&office.path("agent/chain.pem"));
    assert_eq!(new.len(), 1);
    assert_ne!(old, new);
    assert_eq!(office.verify("agent").standing(), Standing::Good);
    let settings = fs::read_to_string(office.path("agent/agent.toml")).unwrap();
    let pin = office.authority().issuing().unwrap().decoded().key().key_id().to_hex();
    assert_eq!(settings.matches("issuer =").count(), 1);
    assert!(settings.contains(&pin) && settings.contains("lists ="), "{settings}");
    let home = AgentHome::open(&office.path("agent"), None).unwrap();
    assert!(home.papers().unwrap().issuer.is_some());
    assert_eq!(home.levels().of("payments:send"), Level::Sync);

    let _ = office.authority().rotate(OldIssuing::Revoke, Hours::default(), now()).unwrap();
    assert_eq!(office.verify("agent").standing(), Standing::Revoked);
    office.renew(&who).unwrap();
    assert_eq!(office.verify("agent").standing(), Standing::Good);
}

#[test]
fn the_root_key_is_needed_by_rotate_alone() {
    let office = Office::open();
    let away = office.path("root.key.away");
    fs::rename(office.home.root_key(), &away).unwrap();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    assert!(office.authority().rotate(OldIssuing::Keep, Hours::default(), now()).is_err());
    fs::rename(&away, office.home.root_key()).unwrap();
    let _ = office.authority().rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let office = Office::open();
    let who = office.create("billing");
    let key = office.home.root_key().parent().unwrap().parent().unwrap().join("issuing/1.key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = office.certify(&who, "agent").unwrap_err().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
}

#[test]
fn what_was_recorded_can_be_read_without_a_key() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    let tenant = TenantId::default();
    let store = office.home.records().unwrap();
    let agents = store.agents(&tenant).unwrap();
    assert_eq!(agents.len(), 1);
    assert_eq!(store.certificates(&tenant, agents[0].id).unwrap().len(), 1);
    assert_eq!(
        store.directories(&tenant, agents[0].id).unwrap(),
        [office.path("agent").canonicalize().unwrap()]
    );
}

#[test]
fn a_second_authority_in_the_same_home_is_refused() {
    let office = Office::open();
    let again = Authority::init(&office.home, office.sources(), now(), Hours::default()).map(drop);
    assert!(again.unwrap_err().to_string().contains("holds an authority already"));
}

#[test]
fn settings_pin_the_owners_log_and_keep_what_their_owner_wrote() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    let path = office.path("agent/agent.toml");
    assert_eq!(AgentHome::open(&office.path("agent"), None).unwrap().log(), None);
    let log = kakunin_authority::log::open(&office.home, office.sources(), None).unwrap();
    let own = "# mine\ncheckpoint = \"mirror\"\n[journal]\n\"payments:*\" = \"sync\"\n";
    fs::write(&path, fs::read_to_string(&path).unwrap() + own).unwrap();

    office.order(&who, Order::Revoke).unwrap();
    office.certify_as(&who, "agent", Comeback::AfterRevocation, Days::default(), now()).unwrap();
    let home = AgentHome::open(&office.path("agent"), None).unwrap();
    assert_eq!(home.log(), Some(log.checkpoint().log().to_string().as_str()));
    assert!(home.checkpoint_path().ends_with("agent/mirror"));
    assert_eq!(home.levels().of("payments:send"), Level::Sync);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!((text.matches("# mine").count(), text.matches("lists =").count()), (1, 1), "{text}");
}
