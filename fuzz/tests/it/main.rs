//! Every law, on its seeds, on what libFuzzer found worth keeping, and on a random campaign that is the same each time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kakunin_fuzz::{Campaign, LAWS, Law, ROOM, law};

#[test]
fn names_numbers_and_times_have_one_spelling() {
    tried("words");
}

#[test]
fn a_scope_has_one_encoding_and_is_no_wider_than_itself() {
    tried("scope");
}

#[test]
fn a_scope_document_is_refused_at_a_line_or_is_what_is_signed() {
    tried("scope_document");
}

#[test]
fn a_list_of_names_has_the_root_of_rfc_6962() {
    tried("names");
}

#[test]
fn a_revocation_list_is_full_or_delta_and_unsigned_nothing() {
    tried("list");
}

#[test]
fn a_signed_revocation_list_is_read_as_another_reader_reads_it_and_forgets_nobody() {
    tried("list_signed");
}

#[test]
fn a_certificate_is_the_same_for_every_reader() {
    tried("certificate");
}

#[test]
fn a_path_that_we_find_webpki_finds() {
    tried("path");
}

#[test]
fn whoever_is_enrolled_has_the_key() {
    tried("enrolment");
}

#[test]
fn an_item_of_a_feed_has_one_spelling() {
    tried("feed_item");
}

#[test]
fn the_leash_answers_as_the_slow_reference_on_any_input() {
    tried("leash");
}

#[test]
fn a_child_within_its_parent_is_allowed_no_more_on_any_input() {
    tried("nesting");
}

#[test]
fn a_receipt_is_believed_only_if_it_was_signed() {
    tried("receipt");
}

#[test]
fn a_payload_is_json_in_its_one_spelling() {
    tried("payload");
}

#[test]
fn a_disclosure_keeps_its_text() {
    tried("disclosure");
}

#[test]
fn a_link_of_a_chain_has_one_spelling() {
    tried("chain");
}

#[test]
fn nobody_proves_of_a_list_what_is_not_so() {
    tried("proven_names");
}

#[test]
fn a_proof_of_possession_covers_what_rfc_9421_has_it_cover() {
    tried("possession");
}

#[test]
fn a_segment_reads_the_same_twice_whatever_is_in_it() {
    tried("segment");
}

#[test]
fn a_journal_that_is_not_invalid_holds_what_was_signed() {
    tried("journal");
}

#[test]
fn a_note_has_one_spelling_and_opens_by_its_key_only() {
    tried("note");
}

#[test]
fn a_proof_of_a_log_proves_what_is_in_it() {
    tried("log_proof");
}

#[test]
fn tiles_that_were_changed_are_refused_or_say_what_was_logged() {
    tried("tiles");
}

#[test]
fn a_verifiers_key_has_one_spelling() {
    tried("verifier_key");
}

#[test]
fn any_other_file_is_no_bundle() {
    tried("bundle");
}

#[test]
fn a_bundle_that_was_put_together_again_holds_what_was_signed() {
    tried("bundle_pieces");
}

#[test]
fn a_gateway_identifies_nobody_who_proved_nothing() {
    tried("head");
}

#[test]
fn a_body_is_read_strictly_as_everybody_reads_it() {
    tried("body");
}

#[test]
fn of_an_upload_everything_is_kept_or_nothing() {
    tried("upload");
}

#[test]
fn a_policy_of_risk_is_refused_at_a_line_or_has_one_spelling() {
    tried("risk_policy");
}

#[test]
fn a_baseline_has_one_spelling_and_judges_within_bounds() {
    tried("baseline");
}

#[test]
fn a_monitor_that_goes_on_from_any_state_overflows_nothing() {
    tried("monitor");
}

#[test]
fn a_policy_of_the_gate_is_refused_at_a_line_or_asks_for_evidence() {
    tried("gate_policy");
}

#[test]
fn a_suggested_scope_is_read_as_it_is_written_and_names_nothing_unseen() {
    tried("suggestion");
}

#[test]
fn what_is_said_to_be_json_is_json_to_another_reader() {
    tried("content");
}

#[test]
fn an_audit_export_that_holds_was_exported() {
    tried("audit_export");
}

#[test]
fn each_law_is_tried_here_and_has_a_target_of_its_name() {
    let all: BTreeSet<&str> = LAWS.iter().map(|law| law.name).collect();
    assert_eq!(all.len(), LAWS.len());
    let quoted = |text: &'static str, before: &'static str| -> BTreeSet<&'static str> {
        text.lines().filter_map(|line| line.trim().strip_prefix(before)?.split('"').next()).collect()
    };
    assert_eq!(quoted(include_str!("main.rs"), "tried(\""), all);
    let targets = quoted(include_str!("../../guided/Cargo.toml"), "path = \"targets/");
    assert_eq!(targets.iter().filter_map(|file| file.strip_suffix(".rs")).collect::<BTreeSet<_>>(), all);
    for name in all {
        let target = fs::read_to_string(root().join(format!("guided/targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("law!(\"{name}\")")), "{target}");
    }
}

/// What could not fail would hold always.
#[test]
fn a_law_that_does_not_hold_and_a_decoder_that_takes_too_much_are_seen() {
    let words = *law("words").unwrap();
    let broken = Law { holds: |input| assert!(!input.starts_with(b"EUR")), ..words };
    assert!(catch_unwind(AssertUnwindSafe(|| tried_as(&broken))).is_err());
    let greedy =
        Law { holds: |input| drop(std::hint::black_box(vec![1_u8; ROOM + 100 * input.len()])), ..words };
    assert!(catch_unwind(AssertUnwindSafe(|| tried_as(&greedy))).is_err());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let Ok(folder) = fs::read_dir(root().join("corpus").join(name)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn tried(name: &str) {
    tried_as(law(name).unwrap());
}

fn tried_as(law: &Law) {
    let mut known = (law.seeds)();
    assert!(!known.is_empty());
    known.extend(corpus(law.name));
    // What a law makes once for all inputs is not one input's memory.
    known.iter().for_each(|input| (law.holds)(input));
    let more = if std::env::var_os("KAKUNIN_SOAK").is_some() { 50 } else { 1 };
    let rounds = usize::try_from(law.rounds * more).unwrap();
    let campaign = Campaign::new(law.name, known.clone()).take(rounds);
    known.into_iter().chain(campaign).for_each(|input| tried_on(law, &input));
    println!("{} held for {rounds} random inputs", law.name);
}

fn tried_on(law: &Law, input: &[u8]) {
    let held = catch_unwind(AssertUnwindSafe(|| allocation_counter::measure(|| (law.holds)(input))));
    let kept = || {
        let path = std::env::temp_dir().join(format!("kakunin-fuzz-{}", law.name));
        fs::write(&path, input).unwrap();
        path
    };
    let Ok(took) = held else { panic!("`{}` does not hold for {}", law.name, kept().display()) };
    if let Some(each) = law.memory {
        let most = u64::try_from(ROOM + each * input.len()).unwrap();
        assert!(
            took.bytes_max <= most,
            "{} octets, at most {most}, for {}",
            took.bytes_max,
            kept().display()
        );
    }
}
