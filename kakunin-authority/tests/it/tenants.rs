//! Tenants share a root and nothing else: each has an issuing authority, lists and a feed of its own.

use std::fs;
use std::path::Path;

use kakunin_authority::access::TenantId;
use kakunin_authority::authority::{
    AnyAction, Authority, AuthorityError, Certify, Comeback, Days, FeedMode, Hours, OldIssuing, Ordered,
};
use kakunin_authority::standing::{Order, Standing};
use kakunin_authority::store::IssuerId;
use kakunin_authority::{AgentName, Who};
use kakunin_core::certificate::{AgentCertificate, AgentPath, PathLists, TrustAnchors};
use kakunin_core::digest::Digest;

use crate::office::{Office, RENEW, SCOPE, ders, draft, now};

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn billing() -> AgentName {
    AgentName::parse("billing").unwrap()
}

/// An agent `billing` of the tenant in whose name the authority acts, in a directory.
fn certified(office: &Office, authority: &mut Authority<'_>, directory: &str) -> Who {
    let agent = authority.create(&billing(), &draft(SCOPE), AnyAction::Refuse, now()).unwrap();
    let who = Who::Id(agent.id);
    let directory = &office.path(directory);
    let order = Certify {
        directory,
        days: Days::WEEK,
        request: None,
        comeback: Comeback::Refuse,
        any: AnyAction::Refuse,
    };
    let _ = authority.certify(&who, &order, Hours::default(), now()).unwrap();
    who
}

/// An authority with an agent in `ours`, and a tenant with one in `theirs`; it acts for `default`.
fn shared(office: &Office) -> (Authority<'_>, Who, Who) {
    let mut authority = office.authority();
    let ours = certified(office, &mut authority, "ours");
    let _ = authority.create_tenant(&acme(), Hours::default(), now()).unwrap();
    authority.act_for(&acme()).unwrap();
    let theirs = certified(office, &mut authority, "theirs");
    authority.act_for(&TenantId::default()).unwrap();
    (authority, ours, theirs)
}

/// The path of an agent, as a guard sees it that pins `issuer` if one is named.
fn path(office: &Office, directory: &str, issuer: Option<Digest>) -> Result<AgentPath, String> {
    let read = |name: &str| ders(&office.path(directory).join(name));
    let anchor = read("ca.pem");
    let mut anchors = TrustAnchors::new(anchor.iter().map(Vec::as_slice)).unwrap();
    if let Some(issuer) = issuer {
        anchors = anchors.pin_issuer(issuer);
    }
    let chain = read("chain.pem");
    let agent = AgentCertificate::decode(read("agent.pem").first().unwrap()).unwrap();
    agent.verify_path(chain.iter().map(Vec::as_slice), &anchors, now()).map_err(|error| error.to_string())
}

/// How an agent stands by a file of lists; `None` if these say nothing of it.
fn standing(office: &Office, directory: &str, lists: &Path) -> Option<Standing> {
    let path = path(office, directory, None).unwrap();
    let lists = PathLists::from_pem(&fs::read(lists).unwrap(), &path).ok()?;
    Some(path.with_lists(lists, now()).unwrap().standing())
}

fn blocks(lists: &Path) -> usize {
    fs::read_to_string(lists).unwrap().matches("BEGIN X509 CRL").count()
}

fn refused<T: std::fmt::Debug>(done: Result<T, AuthorityError>) {
    assert!(matches!(done, Err(AuthorityError::UnknownAgent { .. })), "{done:?}");
}

#[test]
fn each_tenant_has_lists_of_its_own_and_they_say_nothing_of_others() {
    let office = Office::open();
    let (mut authority, ours, theirs) = shared(&office);
    let (our_lists, their_lists) = (office.home.lists().unwrap(), office.home.lists_of(&acme()).unwrap());
    assert!(their_lists.ends_with("public/tenants/acme/lists.pem"));
    assert_eq!((blocks(&our_lists), blocks(&their_lists)), (2, 2));
    for (directory, own, other) in [("ours", &our_lists, &their_lists), ("theirs", &their_lists, &our_lists)]
    {
        assert_eq!(standing(&office, directory, own), Some(Standing::Good));
        assert_eq!(standing(&office, directory, other), None, "{directory}");
        let toml = fs::read_to_string(office.path(directory).join("agent.toml")).unwrap();
        assert!(toml.contains(own.to_str().unwrap()), "{toml}");
    }
    // What is revoked for one tenant is in its lists, and leaves not an octet in the other's.
    let before = fs::read(&our_lists).unwrap();
    authority.act_for(&acme()).unwrap();
    let ordered = authority.order(&theirs, Order::Revoke, "drill", Hours::default(), now()).unwrap();
    assert_eq!(ordered.publication.path, their_lists);
    assert_eq!(standing(&office, "theirs", &their_lists), Some(Standing::Revoked));
    assert_eq!(fs::read(&our_lists).unwrap(), before);
    authority.act_for(&TenantId::default()).unwrap();
    assert_eq!(authority.find(&ours).unwrap().standing, Standing::Good);
    // Both are what a new process finds and publishes.
    drop(authority);
    let mut authority = office.authority();
    assert_eq!(authority.tenants(), [acme(), TenantId::default()]);
    let _ = authority.publish_all(Hours::default(), now()).unwrap();
    assert_eq!(standing(&office, "ours", &our_lists), Some(Standing::Good));
    assert_eq!(standing(&office, "theirs", &their_lists), Some(Standing::Revoked));
}

#[test]
fn a_certificate_of_one_tenant_is_refused_where_another_ones_issuer_is_pinned() {
    let office = Office::open();
    let (mut authority, _, _) = shared(&office);
    let ours = authority.issuing().unwrap().decoded().key().key_id();
    authority.act_for(&acme()).unwrap();
    let theirs = authority.issuing().unwrap().decoded().key().key_id();
    assert_ne!(ours, theirs);
    assert!(path(&office, "ours", Some(ours)).is_ok() && path(&office, "theirs", Some(theirs)).is_ok());
    for (directory, pin) in [("ours", theirs), ("theirs", ours)] {
        let refused = path(&office, directory, Some(pin)).unwrap_err();
        assert!(refused.contains("not the pinned one"), "{directory}: {refused}");
    }
}

#[test]
fn nobody_orders_in_one_tenants_name_what_is_of_another() {
    let office = Office::open();
    let (mut authority, ours, theirs) = shared(&office);
    for (tenant, foreign) in [(acme(), &ours), (TenantId::default(), &theirs)] {
        authority.act_for(&tenant).unwrap();
        let elsewhere = &office.path("elsewhere");
        let certify = Certify {
            directory: elsewhere,
            days: Days::WEEK,
            request: None,
            comeback: Comeback::Refuse,
            any: AnyAction::Refuse,
        };
        refused(authority.find(foreign));
        for order in [Order::Suspend, Order::Revoke, Order::Halt, Order::Resume] {
            refused(authority.order(foreign, order, "theirs", Hours::default(), now()));
        }
        refused(authority.certify(foreign, &certify, Hours::default(), now()));
        refused(authority.renew(foreign, &RENEW, Hours::default(), now()));
        // A name means one's own.
        let own = authority.find(&Who::Name(billing())).unwrap();
        assert_eq!(own.tenant, tenant);
        assert_ne!(Who::Id(own.id), *foreign);
    }
    let nobody = TenantId::parse("nobody").unwrap();
    let refused = authority.act_for(&nobody);
    assert!(matches!(refused, Err(AuthorityError::UnknownTenant { tenant }) if tenant == nobody));
    assert_eq!(*authority.tenant(), TenantId::default(), "nothing changed");
}

#[test]
fn rotating_one_tenants_issuer_leaves_the_others() {
    let office = Office::open();
    let (mut authority, ours, _) = shared(&office);
    let before = authority.issuing().unwrap().decoded().key().key_id();
    authority.act_for(&acme()).unwrap();
    let old = authority.issuing().unwrap().decoded().key().key_id();
    let _ = authority.rotate(OldIssuing::Revoke, Hours::default(), now()).unwrap();
    assert_ne!(authority.issuing().unwrap().decoded().key().key_id(), old);
    authority.act_for(&TenantId::default()).unwrap();
    assert_eq!(authority.issuing().unwrap().decoded().key().key_id(), before);
    let (our_lists, their_lists) = (office.home.lists().unwrap(), office.home.lists_of(&acme()).unwrap());
    assert_eq!(standing(&office, "ours", &our_lists), Some(Standing::Good));
    // The old one is on the root's list, which everybody has; its own is still there, for those who have its papers.
    let path = path(&office, "theirs", None).unwrap();
    let lists = PathLists::from_pem(&fs::read(&their_lists).unwrap(), &path).unwrap();
    let seen = path.with_lists(lists, now()).unwrap();
    assert!(seen.denial(now()).is_some(), "{seen:?}");
    let _ = authority.renew(&ours, &RENEW, Hours::default(), now()).unwrap();
    assert_eq!(standing(&office, "ours", &our_lists), Some(Standing::Good));
}

#[test]
fn a_tenant_is_made_once_and_by_whoever_opens_the_roots_key() {
    let office = Office::open();
    let mut authority = office.authority();
    let (key, away) = (office.home.root_key(), office.path("root.key.pem"));
    let make = |authority: &mut Authority<'_>, name: &str| {
        let tenant = TenantId::parse(name).unwrap();
        authority.create_tenant(&tenant, Hours::default(), now()).map(|founded| founded.tenant)
    };
    fs::rename(&key, &away).unwrap();
    let issuers = authority.records().issuers().unwrap();
    let closed = make(&mut authority, "acme").unwrap_err();
    assert!(matches!(closed, AuthorityError::RootClosed { .. }) && closed.is_refusal(), "{closed:?}");
    assert!(closed.to_string().contains("kakunin tenant create acme"), "{closed}");
    assert_eq!(authority.records().tenant_since(&acme()).unwrap(), None);
    assert_eq!(authority.records().issuers().unwrap(), issuers);

    fs::rename(&away, &key).unwrap();
    assert_eq!(make(&mut authority, "acme").unwrap(), acme());
    for taken in ["acme", "default"] {
        let taken = make(&mut authority, taken).unwrap_err();
        assert!(matches!(taken, AuthorityError::TenantTaken { .. }), "{taken:?}");
    }
    // The root's key does not stay open.
    fs::rename(&key, &away).unwrap();
    assert!(matches!(make(&mut authority, "other"), Err(AuthorityError::RootClosed { .. })));
    // What was made is whole without it.
    authority.act_for(&acme()).unwrap();
    certified(&office, &mut authority, "theirs");
    assert_eq!(standing(&office, "theirs", &office.home.lists_of(&acme()).unwrap()), Some(Standing::Good));
}

#[test]
fn a_change_is_told_in_the_feed_of_its_own_tenant() {
    let office = Office::open();
    let mut authority = office.authority();
    authority.set_feed(FeedMode::On);
    let _ = authority.publish_all(Hours::default(), now()).unwrap();
    drop(authority);
    let (mut authority, ours, theirs) = shared(&office);
    let issuers: Vec<_> =
        authority.records().issuers().unwrap().into_iter().map(|issuer| issuer.id).collect();
    let [root, first, second] = issuers[..] else { panic!("{issuers:?}") };
    assert_eq!(root, IssuerId::ROOT);
    let told = |ordered: &Ordered| {
        let feeds = &ordered.publication.feeds;
        assert_eq!(feeds.len(), 1, "the others' feeds are not this caller's to know: {feeds:?}");
        ordered.told.unwrap()
    };
    // A tenant that is new has a feed because the others do.
    authority.act_for(&acme()).unwrap();
    let ordered = authority.order(&theirs, Order::Suspend, "", Hours::default(), now()).unwrap();
    let their_key = authority.issuing().unwrap().decoded().key().key_id();
    assert_eq!((told(&ordered).issuer, told(&ordered).epoch), (their_key, 1));
    let epoch = |authority: &Authority<'_>, id| authority.records().feed_position(id).unwrap().epoch;
    assert_eq!((epoch(&authority, first), epoch(&authority, second)), (0, 1));
    authority.act_for(&TenantId::default()).unwrap();
    for order in [Order::Suspend, Order::Revoke] {
        let ordered = authority.order(&ours, order, "", Hours::default(), now()).unwrap();
        assert_ne!(told(&ordered).issuer, their_key);
    }
    assert_eq!((epoch(&authority, first), epoch(&authority, second)), (2, 1));
}

#[test]
fn accepting_a_loss_replaces_the_issuer_of_every_tenant() {
    let office = Office::open();
    let (authority, _, _) = shared(&office);
    let issuers = authority.records().issuers().unwrap();
    drop(authority);
    let backup = office.path("backup.sqlite");
    kakunin_authority::store::SqliteStore::backup(&office.home.store(), &backup).unwrap();
    // After the backup: a revocation, and a tenant of which the records will know nothing.
    let mut authority = office.authority();
    let late = TenantId::parse("late").unwrap();
    let lost = authority.create_tenant(&late, Hours::default(), now()).unwrap().issuing;
    authority.act_for(&late).unwrap();
    certified(&office, &mut authority, "late");
    let late_lists = office.home.lists_of(&late).unwrap();
    assert_eq!(standing(&office, "late", &late_lists), Some(Standing::Good));
    let bare = late_lists.parent().unwrap().with_file_name("bare");
    fs::create_dir(&bare).unwrap();
    authority.act_for(&acme()).unwrap();
    let who = Who::Name(billing());
    let _ = authority.order(&who, Order::Revoke, "", Hours::default(), now()).unwrap();
    drop(authority);
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", office.home.store().display()));
    }
    fs::copy(&backup, office.home.store()).unwrap();
    assert!(matches!(Authority::open(&office.home, office.sources()), Err(error) if error.is_loss()));

    let mut authority = Authority::open_behind(&office.home, office.sources()).unwrap();
    let accepted = authority.accept_loss("restored", Hours::default(), now()).unwrap();
    // Guards of the tenant that is lost read its file: what they had is there, and the root's list that revokes its authority.
    let path_of_late = path(&office, "late", None).unwrap();
    let lists = PathLists::from_pem(&fs::read(&late_lists).unwrap(), &path_of_late).unwrap();
    assert!(path_of_late.with_lists(lists, now()).unwrap().denial(now()).is_some());
    let blocks = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        text.split_inclusive("-----END X509 CRL-----\n").map(str::to_owned).collect::<Vec<_>>()
    };
    let root_list = |path: &Path| blocks(path).remove(0);
    assert_eq!(root_list(&late_lists), root_list(&office.home.lists().unwrap()));
    assert_eq!(blocks(&bare.join("lists.pem")), [root_list(&late_lists)]);
    assert_eq!(accepted.suspended, 2);
    let after = authority.records().issuers().unwrap();
    for old in &issuers[1..] {
        assert!(after.iter().any(|known| known.id == old.id && known.revoked.is_some()), "{:?}", old.id);
    }
    assert!(after.iter().any(|known| known.der == lost.decoded().der() && known.revoked.is_some()));
    for tenant in [TenantId::default(), acme()] {
        let good: Vec<_> = after
            .iter()
            .filter(|known| known.tenant.as_ref() == Some(&tenant) && known.revoked.is_none())
            .collect();
        assert_eq!(good.len(), 1, "{tenant}");
        let path = path(&office, if tenant == acme() { "theirs" } else { "ours" }, None).unwrap();
        let lists = fs::read(office.home.lists_of(&tenant).unwrap()).unwrap();
        let lists = PathLists::from_pem(&lists, &path).unwrap();
        assert!(path.with_lists(lists, now()).unwrap().denial(now()).is_some(), "{tenant}");
    }
}
