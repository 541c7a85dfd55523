//! The page of an incident: everything is there, everything of strangers is text, and what is not drawn is said.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding as _};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::journal::JournalOptions;
use kakunin_core::receipt::Outcome;
use kakunin_core::report::{Account, Inquiry, InquiryError, Told};
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::NameLists;

use crate::bundle::{CHAIN, World};
use crate::bundle_faults::Pieces;
use crate::house::{House, decide, entry, request, stamp};

fn inquiry(world: &World) -> Inquiry {
    Inquiry::by(world.anchors.clone())
        .log_keys(world.keys.clone())
        .witnesses(vec![world.policy()])
        .replay(NameLists::default())
}

fn account(inquiry: &Inquiry, path: &Path) -> Account {
    inquiry.of(path, &[], &mut ()).unwrap()
}

/// Every tag of a page with its attributes, values taken out: what a browser would make of it.
fn tags(page: &str) -> BTreeSet<String> {
    let body = page.split("</style>").nth(1).unwrap();
    let pieces = body.split('<').skip(1).map(|piece| piece.split('>').next().unwrap());
    let shape = |tag: &str| {
        let mut quoted = tag.split('"');
        let mut shape = quoted.next().unwrap_or("").to_owned();
        while let (Some(value), Some(rest)) = (quoted.next(), quoted.next()) {
            assert!(!value.contains(['<', '>', '\'']), "{tag}");
            shape.push_str(rest);
        }
        shape
    };
    pieces.map(shape).collect()
}

/// How often `what` stands in `page`.
fn count(page: &str, what: &str) -> usize {
    page.matches(what).count()
}

#[test]
fn every_receipt_is_drawn_with_its_proof_under_the_verdict() {
    let world = World::incident();
    world.see(&world.support, 60);
    world.see(&world.bank, 70);
    world.export(Some(CHAIN), "incident.zip").unwrap();
    let account = account(
        &inquiry(&world).root_file(Digest::of(&world.bank.house.root), "keys/bank.pem"),
        &world.path("incident.zip"),
    );
    assert_eq!(account.to_record(Told::OneChain)["verdict"], "COMPLETE");
    let page = account.to_page();
    assert_eq!(account.to_page(), page, "the same account gives the same octets");
    assert!(page.contains("<h1>COMPLETE</h1>") && page.contains(&CHAIN.to_string()));
    assert_eq!((count(&page, "<li class=\"row "), count(&page, "<div class=\"agent ")), (10, 2));
    assert_eq!(count(&page, "<details>"), 10);
    // Both parents lie in the other lane.
    assert_eq!((count(&page, "class=\"edge right "), count(&page, "class=\"edge left ")), (1, 1));
    for step in account.steps() {
        assert!(page.contains(&step.token) && page.contains(&step.hash.to_string()), "{step:?}");
        for place in &step.places {
            for hash in place.path.as_ref().unwrap() {
                assert!(page.contains(&Base64::encode_string(hash.as_bytes())));
            }
        }
    }
    for text in [
        "leaf <b>",
        "by witnesses",
        "not before 2026-11-20T00:00:00Z",
        "witness.example/w",
        ">125.00<",
        "owner",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("<b><bdi>bank</bdi> <small><bdi>test root</bdi></small></b>"));

    // Without keys the same, without the same verdict; erased values are said to be so.
    let erased =
        Pieces::of(&world.path("incident.zip")).lines("disclosures.jsonl", |lines| lines.clear()).listed();
    fs::write(world.path("erased.zip"), erased.zip()).unwrap();
    let page = self::account(&Inquiry::by(world.anchors.clone()), &world.path("erased.zip")).to_page();
    assert!(page.contains("<h1>AUTHENTIC-NOT-COMPLETE</h1>") && page.contains("tail.not_witnessed"));
    assert!(page.contains("class=\"redacted\"") && !page.contains(">125.00<"));
    assert!(page.contains("no log whose key was given holds it"));
}

#[test]
fn a_page_needs_nothing_else_and_asks_nobody() {
    let world = World::incident();
    world.export(None, "whole.zip").unwrap();
    let page = account(&inquiry(&world), &world.path("whole.zip")).to_page();
    let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
    let hash = Base64::encode_string(Digest::of(style.as_bytes()).as_bytes());
    let policy = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">"
    );
    assert!(page.contains(&policy), "the policy allows this sheet and nothing else");
    // The policy comes before anything that it is about.
    assert!(page.find("Content-Security-Policy").unwrap() < page.find("<style>").unwrap());
    for forbidden in [
        "<script",
        "<img",
        "<link",
        "<iframe",
        " src=",
        " style=",
        "http://",
        "https://",
        "url(",
        "@import",
        "javascript:",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    // Links go to places of the page itself, and every one of them is there.
    for link in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let id = link.strip_prefix('#').unwrap();
        assert_eq!(count(&page, &format!("id=\"{id}\"")), 1, "{link}");
    }
}

#[test]
fn names_of_strangers_are_text_on_a_page() {
    let hostile = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'onmouseover='alert(1)",
        "</summary></details></style><svg onload=alert(1)>",
        "<!--",
        "&lt;b&gt;",
        "\u{202e}gnp.exe",
        "\u{2066}\u{200b}",
    ];
    let dir = tempfile::tempdir().unwrap();
    let pages: Vec<String> = [false, true]
        .into_iter()
        .map(|strange| {
            let text = |hostile: &'static str, plain: &'static str| if strange { hostile } else { plain };
            let name = text("\"><img src=x onerror=alert(1)>", "billing");
            let root = text("<script>alert(1)</script>\u{202e}", "test root");
            let house = House::named(AgentId::from_random([7; 16]), name, root);
            let folder = dir.path().join(text("<script>alert(2)<\u{2044}script>\u{202e}", "journal"));
            let journal = house.journal_as(house.identity(), &folder, JournalOptions::default());
            let names: Vec<&str> = hostile.iter().map(|name| text(name, "acme")).collect();
            for (place, name) in names.iter().enumerate() {
                let asked = ActionRequest::new("payments:send")
                    .amount("1.00", "EUR")
                    .counterparties(&names)
                    .resource(name);
                let odd = ActionRequest::new("payments:send").amount(name, name).counterparty(name);
                for asked in [asked, odd] {
                    let decision = decide(&house.leash(), &asked);
                    let at = stamp(i64::try_from(place).unwrap() + 1);
                    let mut entry = entry(&decision, &asked, house.list_use(), at);
                    entry.trace =
                        strange.then_some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
                    drop(journal.decision(&entry).unwrap());
                }
            }
            journal.close(stamp(99)).unwrap();
            let inquiry = Inquiry::by(house.anchors()).root_file(Digest::of(&house.root), name);
            account(&inquiry, &folder).to_page()
        })
        .collect();
    let [plain, strange] = pages.as_slice() else { panic!("two pages") };
    let new: Vec<String> = tags(strange).difference(&tags(plain)).cloned().collect();
    assert!(new.is_empty(), "no name made a tag or an attribute: {new:?}");
    assert!(
        strange.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && strange.contains("&amp;lt;b&amp;gt;")
    );
    assert!(strange.contains("\\u{202e}gnp.exe") && strange.contains("\\u{2066}\\u{200b}"));
    for hidden in ['\u{202e}', '\u{2066}', '\u{200b}'] {
        assert!(!strange.contains(hidden), "{hidden:?}");
    }
}

#[test]
fn what_is_invalid_is_drawn_up_to_its_fault_and_marked() {
    let world = World::incident();
    world.export(Some(CHAIN), "incident.zip").unwrap();
    // A signature that is another: the receipt was read, and is not what somebody signed.
    let forged = Pieces::of(&world.path("incident.zip")).lines("receipts.jws", |lines| {
        let signature = lines[1].rfind('.').unwrap() + 9;
        let other = if &lines[1][signature..=signature] == "A" { "B" } else { "A" };
        lines[1].replace_range(signature..=signature, other);
    });
    fs::write(world.path("forged.zip"), forged.listed().zip()).unwrap();
    let account = account(&Inquiry::by(world.anchors.clone()), &world.path("forged.zip"));
    let page = account.to_page();
    assert!(page.contains("<h1>INVALID</h1>") && page.contains("<body class=\"invalid\">"));
    assert!(page.contains("nothing in it may be relied on"));
    assert_eq!(count(&page, "<span class=\"mark wrong\">INVALID: receipt.signature</span>"), 1);
    assert_eq!(count(&page, " see row <a href=\"#r"), 1);
    assert!(page.contains("the signature does not match"));

    // One of two roots: what leads to the other is not drawn, and that is said.
    let one = kakunin_core::certificate::TrustAnchors::new([world.support.house.root.as_slice()]).unwrap();
    let account = self::account(&Inquiry::by(one), &world.path("incident.zip"));
    let page = account.to_page();
    assert_eq!(count(&page, "<div class=\"agent "), 1);
    assert!(page.contains("it was not accepted, and neither it nor what follows in its stream is shown"));

    // A ZIP, and none of ours.
    fs::write(world.path("other.zip"), [&b"PK\x05\x06"[..], &[0; 18]].concat()).unwrap();
    let page = self::account(&inquiry(&world), &world.path("other.zip")).to_page();
    assert!(page.contains("<h1>INVALID</h1>") && page.contains("No receipt can be shown"));
    // What is none at all accuses nobody, and has no page.
    fs::write(world.path("text.zip"), "<script>alert(1)</script>").unwrap();
    let error = inquiry(&world).of(&world.path("text.zip"), &[], &mut ()).unwrap_err();
    assert!(matches!(error, InquiryError::Unreadable { .. }), "{error}");
    fs::create_dir(world.path("empty")).unwrap();
    let page = self::account(&inquiry(&world), &world.path("empty")).to_page();
    assert!(page.contains("<h1>EMPTY</h1>") && page.contains("nothing is shown"));
}

#[test]
fn ten_thousand_receipts_are_cut_and_the_page_says_where() {
    let world = World::new();
    for (owner, calls) in [(&world.support, 4_000), (&world.bank, 998)] {
        let (journal, asked, leash) = (owner.open(), request("1.00"), owner.house.leash());
        for call in 0..calls {
            let decision = decide(&leash, &asked);
            let mut entry = entry(&decision, &asked, owner.house.list_use(), stamp(call));
            entry.chain = Some(CHAIN);
            let recorded = journal.decision(&entry).unwrap();
            journal.outcome(recorded, Outcome::Returned, None, stamp(call)).unwrap();
        }
        journal.close(stamp(5_000)).unwrap();
    }
    world.export(None, "large.zip").unwrap();
    let account = account(&Inquiry::by(world.anchors.clone()), &world.path("large.zip"));
    let counts = account.to_record(Told::Always);
    assert_eq!(counts["counts"]["receipts"].as_u64(), Some(10_000));
    assert_eq!(counts["left_out"].as_u64(), Some(8_000));
    let page = account.to_page();
    assert_eq!(count(&page, "<li class=\"row "), 2_000);
    assert!(page.contains("<b>8000 receipts were verified and are not drawn:</b>"));
    // No stream is drawn at the expense of the other.
    assert_eq!(count(&page, ": 1000 of 8002 shown</li>") + count(&page, ": 1000 of 1998 shown</li>"), 2);
    assert!(page.len() < 12 << 20, "{} bytes", page.len());
}
