//! Receipts that name how far a feed was: what the verifier makes of them, in journals and in bundles.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_core::bundle::{Bundle, BundleError, export};
use kakunin_core::certificate::{FeedCertificate, TrustAnchors};
use kakunin_core::digest::Digest;
use kakunin_core::feed::{Content, UnverifiedItem};
use kakunin_core::id::SerialNumber;
use kakunin_core::journal::{Archive, Identity, Journal, JournalOptions};
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::leash::Leash;
use kakunin_core::receipt::ListUse;
use kakunin_core::revocation::{FeedHead, RevocationList, Standing, UnverifiedList};
use kakunin_core::scope::{DraftScope, NameLists};
use kakunin_core::verify::{Reason, Report, Verdict, Verification, journal as verify};
use rcgen::RevocationReason;

use crate::authority::{Authority, By, SERIAL, agent_id, entry as listed};
use crate::feed::{certificate, feed_key, issuing};
use crate::following::{World, entries, signer};
use crate::house::{SCOPE, decide, entry, request, stamp};

/// An agent under an authority with a feed, and where its journal is.
struct Trail {
    world: World,
    agent: Vec<u8>,
    leash: Leash,
    base: Vec<u8>,
    changes: Vec<(String, FeedHead)>,
    /// Further lists in the archive.
    more: Vec<Vec<u8>>,
    dir: tempfile::TempDir,
}

impl Trail {
    fn new() -> Self {
        let world = World::new();
        let scope = DraftScope::parse(SCOPE, &|_| Err(std::io::Error::other("no files"))).unwrap();
        let scope = scope.for_agent(agent_id()).unwrap();
        let (agent, leash) =
            (world.authority.agent(&scope), world.authority.leash(&scope, &NameLists::default()));
        let base = world.list(1, FeedHead::START, &[]);
        Self {
            world,
            agent,
            leash,
            base,
            changes: Vec::new(),
            more: Vec::new(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// The feed says how the agent stands, and the certificate 9.
    fn change(&mut self, millis: i64, agent: Option<Standing>) -> FeedHead {
        let mut named = entries(&[(9, Standing::Held)]);
        if let Some(standing) = agent {
            let mut ours = entries(&[(1, standing)]);
            ours[0].serial = SerialNumber::from_der_content(&SERIAL).unwrap();
            ours[0].at = crate::house::now().to_millis().plus_millis(millis).to_seconds();
            named.append(&mut ours);
        }
        let line = self.world.sign(millis, self.world.head, Content::Change(named));
        let head = UnverifiedItem::parse(&line).unwrap().verify(self.world.signer.public()).unwrap().head();
        self.world.head = head;
        self.changes.push((line, head));
        head
    }

    fn read(&self, list: &[u8]) -> RevocationList {
        let issuing = issuing(&self.world.authority);
        UnverifiedList::decode(list).unwrap().verify(&issuing.list_issuer()).unwrap()
    }

    fn used(&self, head: FeedHead) -> ListUse {
        ListUse::of(&self.read(&self.base)).with_feed(head)
    }

    /// A journal of one decision for each of `uses`, with lists, changes and the certificate of the feed key beside it.
    fn journal(&self, uses: &[(ListUse, i64)], amount: &str) -> &Path {
        let key = SoftKey::from_pkcs8(&self.world.authority.agent_key.serialize_der()).unwrap();
        let identity = Identity {
            agent: agent_id(),
            certificate: self.agent.clone(),
            chain: vec![self.world.authority.issuing.clone()],
            signer: Arc::new(Signer::soft(key)),
        };
        let journal =
            Journal::open_with(self.dir.path(), identity, stamp(0), JournalOptions::default()).unwrap();
        let lists = [
            self.base.clone(),
            self.world.authority.list(By::Issuing, |list| list.crl_number = vec![2].into()),
        ];
        for list in lists.iter().chain(&self.more).map(|list| self.read(list)) {
            journal.archive_list(list.der(), &list.digest()).unwrap();
        }
        for (line, _) in &self.changes {
            let item = UnverifiedItem::parse(line).unwrap().verify(self.world.signer.public()).unwrap();
            journal.archive_item(&item).unwrap();
        }
        let certificate = FeedCertificate::verify(&self.world.certificate, &issuing(&self.world.authority));
        journal.archive_feed_key(&certificate.unwrap()).unwrap();
        let asked = request(amount);
        let decision = decide(&self.leash, &asked);
        for (list, millis) in uses {
            let written = journal.decision(&entry(&decision, &asked, *list, stamp(*millis))).unwrap();
            if decision.denial().is_none() {
                let returned = kakunin_core::receipt::Outcome::Returned;
                journal.outcome(written, returned, None, stamp(*millis)).unwrap();
            }
        }
        journal.close(stamp(1_000_000)).unwrap();
        self.dir.path()
    }

    fn anchors(&self) -> TrustAnchors {
        TrustAnchors::new([self.world.authority.root.as_slice()]).unwrap()
    }

    /// What the verifier says of the journal, and of a bundle of it, which has to be the same.
    fn says(&self) -> Result<Vec<&'static str>, &'static str> {
        let out = self.dir.path().join("all.bundle");
        export(&[self.dir.path()], &mut [], None, &out).unwrap();
        let bundle = Bundle::open(&out).unwrap();
        let anchors = self.anchors();
        let of_bundle = bundle.verify(&Verification::by(&anchors), &mut ()).unwrap();
        let of_journal = verify(self.dir.path(), &anchors).unwrap();
        assert_eq!(codes(&of_journal), codes(&of_bundle));
        codes(&of_journal)
    }

    fn of(&self, uses: &[(ListUse, i64)]) -> Result<Vec<&'static str>, &'static str> {
        self.journal(uses, "1.00");
        self.says()
    }

    /// The same receipts in a directory of their own.
    fn anew(self) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), ..self }
    }

    fn item(&self, head: FeedHead) -> PathBuf {
        self.dir.path().join(format!("archive/{}.item", head.digest()))
    }
}

/// Beside what every closed journal lacks.
fn codes(report: &Report) -> Result<Vec<&'static str>, &'static str> {
    match report.verdict() {
        Verdict::AuthenticNotComplete(reasons) => {
            Ok(reasons.iter().map(Reason::code).filter(|code| *code != "tail.not_witnessed").collect())
        }
        Verdict::Invalid(invalid) => Err(invalid.code),
        other => panic!("{other:?}"),
    }
}

/// C135
#[test]
fn what_was_decided_by_a_feed_is_judged_by_its_changes() {
    let mut trail = Trail::new();
    let start = trail.used(FeedHead::START);
    let held = trail.change(1_000, Some(Standing::Held));
    let lifted = trail.change(2_000, Some(Standing::Good));
    let other = trail.change(3_000, None);
    let right =
        [(start, 1), (trail.used(lifted), 2_500), (trail.used(other), 3_500), (trail.used(other), 3_600)];
    assert_eq!(trail.of(&right), Ok(vec![]));
    let trail = trail.anew();
    assert_eq!(trail.of(&[(start, 1), (trail.used(held), 1_500)]), Err("receipt.standing"));
    // A denial needs no standing, and is told what it named all the same.
    let trail = trail.anew();
    trail.journal(&[(trail.used(held), 1_500)], "99999.00");
    assert_eq!(trail.says(), Ok(vec![]));
    fs::remove_file(trail.item(held)).unwrap();
    assert_eq!(trail.says(), Ok(vec!["feed.missing"]));
}

/// C135: who is revoked by a change stays so, and from when it was said.
#[test]
fn a_revocation_that_only_the_feed_knows_counts() {
    let mut trail = Trail::new();
    let start = trail.used(FeedHead::START);
    let revoked = trail.change(60_000, Some(Standing::Revoked));
    assert_eq!(trail.of(&[(trail.used(revoked), 61_000)]), Err("receipt.standing"));
    let mut trail = trail.anew();
    let back = trail.change(120_000, Some(Standing::Good));
    assert_eq!(trail.of(&[(trail.used(back), 121_000)]), Err("receipt.standing"), "for good");
    let trail = trail.anew();
    assert_eq!(trail.of(&[(start, 30_000)]), Ok(vec![]), "before it");
    let trail = trail.anew();
    assert_eq!(trail.of(&[(start, 3_600_000)]), Ok(vec!["time.unproven"]), "who has not heard yet allows");
}

/// C137: whoever is held first and revoked later was in doubt from the hold on, unless it was lifted.
#[test]
fn a_revocation_by_the_feed_begins_with_the_hold_that_became_it() {
    let changes = |said: &[(i64, Standing)]| {
        let mut trail = Trail::new();
        let start = trail.used(FeedHead::START);
        for (millis, standing) in said {
            trail.change(*millis, Some(*standing));
        }
        trail.of(&[(start, 90_000)])
    };
    let (held, good, revoked) = (Standing::Held, Standing::Good, Standing::Revoked);
    assert_eq!(changes(&[(120_000, revoked)]), Ok(vec![]));
    assert_eq!(changes(&[(60_000, held), (120_000, revoked)]), Ok(vec!["time.unproven"]));
    assert_eq!(changes(&[(30_000, held), (60_000, good), (120_000, revoked)]), Ok(vec![]));

    // The hold is on the list that the feed goes on from.
    let mut trail = Trail::new();
    let start = trail.used(FeedHead::START);
    let head = trail.change(30_000, None);
    let hold = listed(&SERIAL, Some(RevocationReason::CertificateHold));
    trail.more.push(trail.world.naming(3, head, vec![hold]));
    trail.change(120_000, Some(revoked));
    assert_eq!(trail.of(&[(start, 90_000)]), Ok(vec!["time.unproven"]));
}

/// C135: what is named has to lead back to the list.
#[test]
fn a_feed_that_does_not_lead_back_to_the_list_is_invalid() {
    let mut trail = Trail::new();
    let one = trail.change(1_000, None);
    let two = trail.change(2_000, None);
    let forged = FeedHead::new(1, Digest::of(b"another")).unwrap();
    let plain = trail.world.authority.list(By::Issuing, |list| list.crl_number = vec![2].into());
    let plain = ListUse::of(&trail.read(&plain));
    let ahead = trail.world.list(3, two, &[]);
    let cases = [
        (vec![(ListUse { feed: None, ..trail.used(one) }, 1)], Err("receipt.feed")),
        (vec![(plain.with_feed(FeedHead::START), 1)], Err("receipt.feed")),
        (vec![(plain, 1)], Ok(vec![])),
        (vec![(trail.used(two), 1), (trail.used(one), 2)], Err("receipt.feed")),
        (vec![(trail.used(one), 1), (trail.used(forged), 2)], Err("receipt.feed")),
        (vec![(trail.used(forged), 1)], Ok(vec!["feed.missing"])),
    ];
    for (uses, expected) in cases {
        trail = trail.anew();
        assert_eq!(trail.of(&uses), expected, "{uses:?}");
    }
    trail.base = ahead;
    for (head, expected) in [
        (one, Err("receipt.feed")),
        (FeedHead::new(2, Digest::of(b"another")).unwrap(), Err("receipt.feed")),
        (two, Ok(vec![])),
    ] {
        trail = trail.anew();
        assert_eq!(trail.of(&[(trail.used(head), 1)]), expected, "{head}");
    }
    // A branch of the feed's own key that does not begin at the list.
    let mut trail = Trail::new();
    trail.change(1_000, None);
    trail.change(2_000, None);
    trail.base = trail.world.list(3, FeedHead::new(1, Digest::of(b"another")).unwrap(), &[]);
    let head = trail.world.head;
    assert_eq!(trail.of(&[(trail.used(head), 1)]), Err("receipt.feed"));
}

/// C135: items that are gone, changed, or of somebody else's key.
#[test]
fn changes_that_are_not_here_or_not_the_feeds_are_missing() {
    let mut trail = Trail::new();
    let one = trail.change(1_000, None);
    let two = trail.change(2_000, None);
    let uses = [(trail.used(FeedHead::START), 1), (trail.used(two), 2_500)];
    assert_eq!(trail.of(&uses), Ok(vec![]));
    let line = fs::read(trail.item(one)).unwrap();
    fs::remove_file(trail.item(one)).unwrap();
    assert_eq!(trail.says(), Ok(vec!["feed.missing"]));
    fs::write(trail.item(one), &line).unwrap();
    assert_eq!(trail.says(), Ok(vec![]));
    let anchors = trail.anchors();
    let of_journal = || codes(&verify(trail.dir.path(), &anchors).unwrap());
    for at in (0..line.len()).step_by(41) {
        let mut other = line.clone();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        fs::write(trail.item(one), &other).unwrap();
        // Of another signature the name says nothing.
        let found = of_journal();
        assert!([Err("journal.archive"), Ok(vec!["feed.missing"])].contains(&found), "{at}: {found:?}");
    }
    fs::write(trail.item(one), &line).unwrap();
    fs::write(trail.dir.path().join("archive/stranger.item"), &line).unwrap();
    assert_eq!(of_journal(), Err("journal.archive"));
    fs::remove_file(trail.dir.path().join("archive/stranger.item")).unwrap();
    // Without the certificate of the key nobody vouches for them.
    let name = Digest::of(&trail.world.certificate);
    fs::remove_file(trail.dir.path().join(format!("archive/{name}.cert"))).unwrap();
    assert_eq!(trail.says(), Ok(vec!["feed.missing"]));
    let other = Authority::neighbour();
    let foreign = certificate(&other, &feed_key(), |_| {});
    Archive::of(trail.dir.path()).keep_certificate(&foreign).unwrap();
    assert_eq!(trail.says(), Ok(vec!["feed.missing"]));

    // A feed key of the neighbour writes the same words.
    let mut trail = Trail::new();
    let key = feed_key();
    trail.world.signer = signer(&key);
    let head = trail.change(1_000, None);
    trail.world.certificate = certificate(&trail.world.authority, &feed_key(), |_| {});
    assert_eq!(trail.of(&[(trail.used(head), 1_500)]), Ok(vec!["feed.missing"]));
}

/// C135: a feed key that was revoked, by the list or later, and one that had ended.
#[test]
fn a_feed_key_vouches_for_what_it_signed_while_it_was_good() {
    let mut trail = Trail::new();
    let head = trail.change(1_000, None);
    assert_eq!(trail.of(&[(trail.used(head), 1_500)]), Ok(vec![]));
    let late = 13 * 3_600_000;
    let mut trail = trail.anew();
    let head = trail.change(late, None);
    assert_eq!(trail.of(&[(trail.used(head), 1_500)]), Ok(vec!["feed.missing"]));
    for (day, expected) in [(22, vec!["feed.missing"]), (24, vec![])] {
        let mut trail = Trail::new();
        let head = trail.change(1_000, None);
        trail.journal(&[(trail.used(head), 1_500)], "1.00");
        let list = trail.world.authority.list(By::Issuing, |list| {
            list.crl_number = vec![9].into();
            list.this_update = rcgen::date_time_ymd(2026, 11, 25);
            list.revoked_certs = vec![crate::authority::entry(&[0x4f; 16], None)];
            list.revoked_certs[0].revocation_time = rcgen::date_time_ymd(2026, 11, day);
        });
        let list = trail.read(&list);
        Archive::of(trail.dir.path()).keep_list(&list.digest(), list.der()).unwrap();
        let anchors = trail.anchors();
        assert_eq!(codes(&verify(trail.dir.path(), &anchors).unwrap()), Ok(expected), "{day}");
    }
}

/// C135: the member of a bundle.
#[test]
fn items_in_a_bundle_have_one_order_and_one_spelling() {
    let mut trail = Trail::new();
    trail.change(1_000, None);
    let head = trail.change(2_000, None);
    assert_eq!(trail.of(&[(trail.used(head), 2_500)]), Ok(vec![]));
    let out = trail.dir.path().join("all.bundle");
    let bytes = fs::read(&out).unwrap();
    let place =
        bytes.windows(trail.changes[0].0.len()).position(|window| window == trail.changes[0].0.as_bytes());
    let mut other = bytes.clone();
    other[place.unwrap() + 200] ^= 1;
    fs::write(&out, other).unwrap();
    assert!(matches!(Bundle::open(&out), Err(BundleError::Invalid { .. })));
}
