//! Agents of one name: whoever has a root that is believed can sign a certificate for any UUID. None of it is taken for
//! the other's, in the verdict, in the answer for programs and on the page.

use std::collections::BTreeSet;
use std::path::Path;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::id::AgentId;
use kakunin_core::report::{Account, Inquiry, Told};
use kakunin_core::verify::{Report, Verification};

use crate::bundle::{World, invalid, reasons, verify, verify_journals};
use crate::house::{House, key, stamp};
use crate::journal::{append, copy};

const NAME: [u8; 16] = [0x77; 16];

/// A journal with two decisions in it.
fn journal(house: &House, dir: &Path) {
    let journal = house.journal(dir);
    append(house, &journal, 1);
    journal.close(stamp(9)).unwrap();
}

fn judge(houses: &[&House], journals: &[&Path]) -> Report {
    let anchors = TrustAnchors::new(houses.iter().map(|house| house.root.as_slice())).unwrap();
    Verification::by(&anchors).journals(journals, Vec::new(), &mut ()).unwrap()
}

fn column(record: &serde_json::Value, table: &str, name: &str) -> BTreeSet<String> {
    let rows = record[table].as_array().unwrap().iter();
    rows.map(|row| row[name].as_str().unwrap().to_owned()).collect()
}

#[test]
fn receipts_of_a_namesake_under_another_root_are_never_the_agents_own() {
    let world = World::incident_of([5, 5]);
    world.export(None, "both.zip").unwrap();
    let report = verify(&world.path("both.zip"), &world.terms());
    assert_eq!(reasons(&report), ["agent.ambiguous"]);
    assert_eq!(reasons(&verify_journals(&world, &world.owners(), &world.terms())), ["agent.ambiguous"]);
    // Each alone is what it was.
    let alone = verify_journals(&world, &[&world.support], &world.terms());
    assert_eq!(reasons(&alone), ["parent.missing"]);

    let inquiry = Inquiry::by(world.anchors.clone()).log_keys(world.keys.clone());
    let account: Account = inquiry.of(&world.path("both.zip"), &[], &mut ()).unwrap();
    let record = account.to_record(Told::Always);
    for table in ["streams", "timeline"] {
        assert_eq!(column(&record, table, "agent").len(), 1, "{table}");
        assert_eq!(column(&record, table, "root").len(), 2, "{table}");
        assert_eq!(column(&record, table, "certificate").len(), 2, "{table}");
        assert_eq!(column(&record, table, "root"), column(&record, "streams", "root"));
    }
    let page = account.to_page();
    assert_eq!(page.matches("<div class=\"agent ").count(), 2, "a lane for each");
    assert_eq!(page.matches("<div class=\"owner ").count(), 2, "under its own owner");
    for root in column(&record, "streams", "root") {
        let digits = root.get(..16).unwrap();
        assert!(page.contains(&format!("key <code>{digits}</code>")), "{digits}");
        let digits = root.get(..8).unwrap();
        assert!(account.to_lines(Told::Always).iter().any(|line| line.contains(&format!("/{digits}"))));
    }
}

#[test]
fn a_stream_of_a_namesake_in_the_journal_is_anothers() {
    let [one, other] = [0; 2].map(|_| House::build(AgentId::from_random(NAME)));
    let (dir, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    journal(&one, dir.path());
    journal(&other, foreign.path());
    assert_eq!(
        reasons(&judge(&[&one, &other], &[dir.path(), foreign.path()])),
        ["tail.not_witnessed", "tail.not_witnessed", "agent.ambiguous"]
    );
    copy(foreign.path(), dir.path());
    assert_eq!(invalid(&judge(&[&one, &other], &[dir.path()])), "journal.merged");
}

#[test]
fn tenants_of_one_root_are_told_apart_unless_something_joins_them() {
    let judge_both = |[one, other]: [House; 2]| {
        let (dir, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        journal(&one, dir.path());
        journal(&other, second.path());
        reasons(&judge(&[&one], &[dir.path(), second.path()]))
    };
    let agents = [AgentId::from_random(NAME); 2];
    let strangers = House::tenants(agents, "billing", "test root", |_| key());
    assert_eq!(judge_both(strangers), ["tail.not_witnessed", "tail.not_witnessed", "agent.ambiguous"]);
    // After `kakunin rotate` another authority certifies the key that the agent had.
    let own = key().serialize_der();
    let renewed = House::tenants(agents, "billing", "test root", |_| own.as_slice().try_into().unwrap());
    assert_eq!(judge_both(renewed), ["tail.not_witnessed", "tail.not_witnessed"]);
}
