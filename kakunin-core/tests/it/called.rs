//! A gateway's journal: decisions about another agent, by that agent's certificate, in the gateway's own receipts.

use std::fs;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_core::certificate::{AgentCertificate, AgentPath, PathLists, TrustAnchors};
use kakunin_core::decision::{Decision, DenialReason};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::journal::{Archive, CallerUse, DecisionEntry, Journal, Proof, StreamReader};
use kakunin_core::leash::Leash;
use kakunin_core::receipt::{Event, ListUse, Mode, Outcome, ProofOfPossession, UnverifiedReceipt};
use kakunin_core::revocation::UnverifiedList;
use kakunin_core::scope::NameLists;
use kakunin_core::verify::{Invalid, Report, Verdict, Verification};

use crate::house::{House, entry, now, request, stamp};

/// A gateway, and somebody who calls it; both of one issuing authority.
struct Shop {
    house: House,
    temp: tempfile::TempDir,
    caller: AgentPath,
}

impl Shop {
    fn new() -> Self {
        let house = House::build(AgentId::from_random([7; 16]));
        let caller = path(&house, &house.namesake);
        Self { temp: tempfile::tempdir().unwrap(), caller, house }
    }

    fn dir(&self) -> &Path {
        self.temp.path()
    }

    fn archive(&self) -> Archive {
        Archive::of(self.dir())
    }

    fn open(&self) -> Journal {
        self.house.journal(self.dir())
    }

    /// Keeps a list, as a guard does that takes it up.
    fn keep(&self, journal: &Journal, der: &[u8]) -> ListUse {
        let lists = PathLists::from_der([der, self.house.root_list.as_slice()], &self.caller).unwrap();
        journal.archive_list(der, &UnverifiedList::decode(der).unwrap().digest()).unwrap();
        ListUse::of(lists.issuing())
    }

    /// Lets somebody in who wants to pay, and the handler runs; `caller` stands in the receipt.
    fn serve(&self, journal: &Journal, caller: Option<CallerUse<'_>>, list: ListUse, amount: &str) {
        let request = request(amount);
        let decision = self.leash().decide(&request, now().to_millis());
        self.record(journal, caller, list, &decision, amount);
    }

    fn record(
        &self,
        journal: &Journal,
        caller: Option<CallerUse<'_>>,
        list: ListUse,
        decision: &Decision,
        amount: &str,
    ) {
        let request = request(amount);
        let entry = DecisionEntry { caller, ..entry(decision, &request, list, stamp(10)) };
        let recorded = journal.decision(&entry).unwrap();
        if matches!(decision, Decision::Allow(_)) {
            journal.outcome(recorded, Outcome::Returned, None, stamp(11)).unwrap();
        }
    }

    fn by(&self, possession: ProofOfPossession) -> Option<CallerUse<'_>> {
        Some(CallerUse::of(&self.caller, possession))
    }

    /// The caller's.
    fn leash(&self) -> Leash {
        let lists = [self.house.issuing_list.as_slice(), self.house.root_list.as_slice()];
        let lists = PathLists::from_der(lists, &self.caller).unwrap();
        let verified = self.caller.clone().with_lists(lists, now()).unwrap();
        Leash::compile(&verified, &NameLists::default()).unwrap()
    }

    fn judged(&self) -> Report {
        judged(self.dir(), &self.house.anchors())
    }

    fn code(&self) -> &'static str {
        code(&self.judged())
    }
}

fn path(house: &House, der: &[u8]) -> AgentPath {
    let certificate = AgentCertificate::decode(der).unwrap();
    certificate.verify_path([house.issuing.as_slice()], &house.anchors(), now()).unwrap()
}

fn judged(dir: &Path, anchors: &TrustAnchors) -> Report {
    let names = NameLists::default();
    Verification::by(anchors).replay(&names).journals(&[dir], Vec::new(), &mut ()).unwrap()
}

fn code(report: &Report) -> &'static str {
    match report.verdict() {
        Verdict::Invalid(Invalid { code, .. }) => code,
        _ => "none",
    }
}

/// One of the lists of a house.
type List = fn(&House) -> &[u8];

/// One call of the caller's, let in by its own scope and recorded as `by` says.
fn served(shop: &Shop, by: Option<CallerUse<'_>>) {
    let journal = shop.open();
    shop.serve(&journal, by, shop.house.list_use(), "12.50");
    journal.close(stamp(20)).unwrap();
}

#[test]
fn a_gateways_decision_is_verified_by_the_callers_certificate() {
    for possession in [
        ProofOfPossession::Signature,
        ProofOfPossession::Tls,
        ProofOfPossession::Proxy,
        ProofOfPossession::None,
    ] {
        let shop = Shop::new();
        served(&shop, shop.by(possession));
        let report = shop.judged();
        assert_eq!(code(&report), "none");
        assert_eq!(report.verdict().exit_code(), 3, "closed and not witnessed");
        assert_eq!(report.replay().unwrap().same, 1);
        let entries = StreamReader::streams(shop.dir()).unwrap().remove(0);
        let callers: Vec<_> = entries
            .filter_map(|entry| entry.unwrap().receipt().statement().event.caller().copied())
            .collect();
        let certificate = Digest::of(&shop.house.namesake);
        assert_eq!(callers.len(), 1);
        assert_eq!((callers[0].certificate, callers[0].possession), (certificate, possession));
        assert_eq!(callers[0].agent, AgentId::from_random([0x77; 16]));
        assert_eq!(shop.archive().certificate(&certificate).as_deref(), Some(&*shop.house.namesake));
    }
}

#[test]
fn a_decision_about_a_caller_comes_out_again_by_the_callers_scope() {
    // An allowance that the caller's scope does not have, by whomever it is said to be made.
    let shop = Shop::new();
    let journal = shop.open();
    let allowed = shop.leash().decide(&request("1"), now().to_millis());
    shop.record(&journal, shop.by(ProofOfPossession::Tls), shop.house.list_use(), &allowed, "999999.00");
    journal.close(stamp(20)).unwrap();
    assert_eq!(shop.code(), "receipt.replay");
    // A denial by it is one.
    let shop = Shop::new();
    let journal = shop.open();
    shop.serve(&journal, shop.by(ProofOfPossession::Tls), shop.house.list_use(), "999999.00");
    journal.close(stamp(20)).unwrap();
    assert_eq!(shop.judged().replay().unwrap().same, 1);
}

#[test]
fn a_callers_certificate_that_is_not_here_or_is_another_ones_is_found() {
    let name = |der: &[u8]| Digest::of(der);
    let shop = Shop::new();
    served(&shop, shop.by(ProofOfPossession::Signature));
    let file = shop.dir().join("archive").join(format!("{}.cert", name(&shop.house.namesake)));
    // Another agent's in its place.
    fs::write(&file, &shop.house.earlier).unwrap();
    assert_eq!(shop.code(), "receipt.caller");
    fs::remove_file(&file).unwrap();
    assert_eq!(shop.code(), "receipt.caller");
    fs::write(&file, &shop.house.namesake).unwrap();
    assert_eq!(shop.code(), "none");
    // Of the same agent by another authority, under its own name: the receipt does not name that.
    let stranger = House::build(AgentId::from_random([0x77; 16]));
    fs::remove_file(&file).unwrap();
    shop.archive().keep_certificate(&stranger.agent).unwrap();
    assert_eq!(shop.code(), "receipt.caller");
}

#[test]
fn a_caller_of_another_root_is_nobody_here_whoever_believes_that_root() {
    let shop = Shop::new();
    let stranger = House::build(AgentId::from_random([0x77; 16]));
    let caller = stranger.verified().path().clone();
    let journal = shop.open();
    let by = Some(CallerUse::of(&caller, ProofOfPossession::Signature));
    shop.serve(&journal, by, shop.house.list_use(), "12.50");
    journal.close(stamp(20)).unwrap();
    assert_eq!(shop.code(), "receipt.caller");
    let both = [shop.house.root.as_slice(), &stranger.root];
    assert_eq!(code(&judged(shop.dir(), &TrustAnchors::new(both).unwrap())), "receipt.caller");
}

#[test]
fn a_caller_or_a_gateway_that_the_list_revokes_allows_nothing() {
    let revoked_on = |list: List, denies: Option<DenialReason>| {
        let shop = Shop::new();
        let journal = shop.open();
        let list = shop.keep(&journal, list(&shop.house));
        let on_24th = kakunin_core::time::UnixTime::parse_rfc3339("2026-11-24T12:00:00Z").unwrap();
        let late = on_24th.seconds() - now().seconds();
        let decision = match denies {
            Some(reason) => Decision::Deny(reason.into()),
            None => shop.leash().decide(&request("1"), now().to_millis()),
        };
        let request = request("1");
        let caller = shop.by(ProofOfPossession::Signature);
        let at = stamp(late * 1000);
        drop(journal.decision(&DecisionEntry { caller, ..entry(&decision, &request, list, at) }).unwrap());
        journal.close(stamp(late * 1000 + 10)).unwrap();
        shop.code()
    };
    let caller: fn(&House) -> &[u8] = |house| &house.namesake_revoked;
    let gateway: fn(&House) -> &[u8] = |house| &house.revoked_on_24th;
    assert_eq!(revoked_on(caller, None), "receipt.standing");
    assert_eq!(revoked_on(caller, Some(DenialReason::CertificateRevoked)), "none");
    assert_eq!(revoked_on(gateway, None), "receipt.standing");
    assert_eq!(revoked_on(gateway, Some(DenialReason::CertificateRevoked)), "none");
    assert_eq!(revoked_on(|house| &house.earlier_revoked, None), "none", "a certificate that nobody names");
}

#[test]
fn a_later_revocation_of_the_caller_puts_what_it_was_allowed_in_doubt() {
    for revoking in
        [|house: &House| house.namesake_revoked.clone(), |house: &House| house.revoked_on_24th.clone()]
    {
        let shop = Shop::new();
        let journal = shop.open();
        let list = shop.keep(&journal, &shop.house.later_list);
        shop.serve(&journal, shop.by(ProofOfPossession::Signature), list, "12.50");
        // It claims a time behind the revocation, and names a list of before.
        let late = 2 * 86_400_000;
        let (decision, request) = (shop.leash().decide(&request("1"), now().to_millis()), request("1"));
        let caller = shop.by(ProofOfPossession::Signature);
        let entry = DecisionEntry { caller, ..entry(&decision, &request, list, stamp(late)) };
        let recorded = journal.decision(&entry).unwrap();
        journal.outcome(recorded, Outcome::Returned, None, stamp(late + 1)).unwrap();
        shop.keep(&journal, &revoking(&shop.house));
        journal.close(stamp(late + 20)).unwrap();
        let report = shop.judged();
        assert_eq!(code(&report), "none");
        let codes: Vec<&str> = report.reasons().iter().map(|reason| reason.code()).collect();
        assert!(codes.contains(&"time.unproven"), "{codes:?}");
    }
}

#[test]
fn a_gateway_of_another_issuing_authority_than_its_callers_list_proves_no_standing() {
    let shop = Shop::new();
    let journal = shop.open();
    // The list of an authority that did not issue the caller.
    let [ours, other] =
        House::tenants([AgentId::from_random([7; 16]); 2], "billing", "test root", |_| crate::house::key());
    let list = UnverifiedList::decode(&other.issuing_list).unwrap().digest();
    journal.archive_list(&other.issuing_list, &list).unwrap();
    shop.serve(&journal, shop.by(ProofOfPossession::Signature), other.list_use(), "12.50");
    journal.close(stamp(20)).unwrap();
    assert_eq!(shop.code(), "receipt.list");
    drop(ours);
}

/// C290: a gateway that its own authority revoked would pick a caller of another one, whose list does not know it.
#[test]
fn a_caller_of_another_issuing_authority_under_the_same_root_is_nobody_here() {
    let agents = [AgentId::from_random([7; 16]), AgentId::from_random([9; 16])];
    let [ours, other] = House::tenants(agents, "billing", "test root", |_| crate::house::key());
    let caller = path(&other, &other.namesake);
    let shop = Shop { temp: tempfile::tempdir().unwrap(), caller, house: ours };
    let journal = shop.open();
    let list = UnverifiedList::decode(&other.issuing_list).unwrap().digest();
    journal.archive_list(&other.issuing_list, &list).unwrap();
    let lists = PathLists::from_der([other.issuing_list.as_slice(), &other.root_list], &shop.caller).unwrap();
    let verified = shop.caller.clone().with_lists(lists, now()).unwrap();
    let leash = Leash::compile(&verified, &NameLists::default()).unwrap();
    let decision = leash.decide(&request("12.50"), now().to_millis());
    assert!(matches!(decision, Decision::Allow(_)));
    shop.record(&journal, shop.by(ProofOfPossession::Signature), other.list_use(), &decision, "12.50");
    journal.close(stamp(20)).unwrap();
    assert_eq!(shop.code(), "receipt.caller");
}

#[test]
fn a_caller_that_cannot_be_archived_is_not_let_in() {
    let shop = Shop::new();
    let journal = shop.open();
    let (archive, aside) = (shop.dir().join("archive"), shop.dir().join("aside"));
    fs::rename(&archive, &aside).unwrap();
    fs::write(&archive, b"").unwrap();
    let (request, list) = (request("12.50"), shop.house.list_use());
    let decision = shop.leash().decide(&request, now().to_millis());
    let caller = shop.by(ProofOfPossession::Signature);
    let called = DecisionEntry { caller, ..entry(&decision, &request, list, stamp(10)) };
    assert_eq!(journal.decision(&called).unwrap_err(), DenialReason::JournalUnavailable);
    // It is the caller that cannot be kept, and nothing is half written.
    fs::remove_file(&archive).unwrap();
    fs::rename(&aside, &archive).unwrap();
    let recorded = journal.decision(&called).unwrap();
    journal.outcome(recorded, Outcome::Returned, None, stamp(11)).unwrap();
    journal.close(stamp(20)).unwrap();
    assert_eq!(shop.code(), "none");
}

#[test]
fn who_takes_the_caller_out_of_a_receipt_or_puts_one_in_breaks_its_signature() {
    let shop = Shop::new();
    served(&shop, shop.by(ProofOfPossession::None));
    let mut entries = StreamReader::streams(shop.dir()).unwrap().remove(0).map(Result::unwrap);
    let decision = entries.find(|entry| entry.receipt().statement().event.caller().is_some()).unwrap();
    let (head, body) =
        std::str::from_utf8(decision.receipt().signing_input()).unwrap().split_once('.').unwrap();
    let text = String::from_utf8(Base64UrlUnpadded::decode_vec(body).unwrap()).unwrap();
    let Proof::Signed(signature) = decision.proof() else { panic!("it is signed by itself") };
    let key = AgentCertificate::decode(&shop.house.agent).unwrap();
    let verify = |text: &str| {
        let input = format!("{head}.{}", Base64UrlUnpadded::encode_string(text.as_bytes()));
        let receipt = UnverifiedReceipt::from_signing_input(input.as_bytes()).unwrap();
        let name = *receipt.certificate();
        receipt.verify(&name, key.decoded().key(), &signature).is_ok()
    };
    assert!(verify(&text));
    let (start, rest) = text.split_once(r#""cal":{"#).unwrap();
    let (caller, end) = rest.split_once("},").unwrap();
    let other = AgentId::from_random([0x78; 16]).to_urn();
    let agent = caller.split_once(r#""s":""#).unwrap().1.trim_end_matches('"');
    for wrong in [
        format!("{start}{end}"),
        text.replace(r#""p":"none""#, r#""p":"signature""#),
        text.replace(agent, &other),
    ] {
        assert_ne!(wrong, text);
        assert!(!verify(&wrong), "{wrong}");
    }
    assert!(matches!(decision.receipt().statement().event, Event::Decision { mode: Mode::Enforce, .. }));
}
