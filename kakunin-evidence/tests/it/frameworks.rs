//! The data files, and what a file may not be.

use kakunin_evidence::{Carries, EvidenceReport, Framework, FrameworkError};

const GOOD: &str = r#"
id = "x"
title = "X"
version = "1"
source = "nowhere"
applies_from = "2026-01-01"
licence = "none"
[[control]]
id = "A"
carries = "direct"
shown_by = [{ predicate = "log_contiguous" }, { predicate = "records_kept", days = 7 }]
claim = "It is so."
limit = "Not more."
[[not_covered]]
what = "B"
why = "No receipt shows it."
"#;

fn refused(from: &str, to: &str) -> FrameworkError {
    let text = GOOD.replace(from, to);
    assert_ne!(text, GOOD, "{from}");
    Framework::parse(&text).unwrap_err()
}

#[test]
fn every_framework_of_the_program_can_be_read_and_leaves_something_uncovered() {
    let names: Vec<&str> = Framework::names().collect();
    assert_eq!(names.len(), 10);
    assert!(names.is_sorted());
    for name in names {
        let framework = Framework::named(name).unwrap();
        assert_eq!(framework.id, name);
        assert!(framework.not_covered.len() > 1, "{name}");
        for control in &framework.controls {
            let sentence = |text: &str| text.ends_with('.') && text.starts_with(char::is_uppercase);
            assert!(sentence(&control.claim) && sentence(&control.limit), "{name} {}", control.id);
            assert!(
                !control.claim.to_lowercase().contains("compl"),
                "{name} {}: nobody complies",
                control.id
            );
        }
    }
}

#[test]
fn licensed_catalogs_are_named_by_ids_and_short_titles_only() {
    for name in ["iso-27001-2022", "iso-42001-2023"] {
        for control in Framework::named(name).unwrap().controls {
            assert!(control.title.unwrap().len() < 64);
        }
    }
    assert!(Framework::named("soc2").unwrap().controls.iter().all(|control| control.title.is_none()));
}

/// The Digital Omnibus of June 2026.
#[test]
fn duties_for_high_risk_systems_apply_from_december_2027() {
    let act = Framework::named("eu-ai-act").unwrap();
    assert!(act.controls.iter().all(|control| control.applies_from.is_none()));
    assert_eq!(act.applies_from, "2027-12-02");
    assert!(act.note.unwrap().contains("2 August 2028"));
}

#[test]
fn conflicts_of_interest_are_no_criteria_of_risk() {
    let mica = Framework::named("mica").unwrap();
    assert!(mica.controls.iter().all(|control| !control.id.contains("72") && !control.id.contains("70")));
    assert!(mica.not_covered.iter().any(|one| one.what == "Art. 72"));
}

#[test]
fn without_a_predicate_there_is_no_claim_and_no_expression_is_one() {
    assert_eq!(Framework::parse(GOOD).unwrap().controls[0].carries, Carries::Direct);
    let shown = "shown_by = [{ predicate = \"log_contiguous\" }, { predicate = \"records_kept\", days = 7 }]";
    assert!(matches!(refused(shown, "shown_by = []"), FrameworkError::NoPredicate { .. }));
    assert!(matches!(refused(shown, ""), FrameworkError::Form(_)));
    for made_up in ["looks_fine", "log_contiguous && denials_recorded", "true"] {
        let error = refused("\"log_contiguous\"", &format!("\"{made_up}\"")).to_string();
        assert!(error.contains("line 11") && error.contains("unknown variant"), "{error}");
    }
    assert!(refused(", days = 7", "").to_string().contains("days"));
    assert!(refused("days = 7", "days = -1").to_string().contains("line 11"));
    assert!(refused("days = 7", "days = 7, or = 1").to_string().contains("unknown field"));
}

#[test]
fn a_file_that_is_wrong_says_where() {
    assert!(matches!(refused("claim = \"It is so.\"", "claim = \" \""), FrameworkError::NoSentence { .. }));
    assert!(matches!(refused("limit = \"Not more.\"", "limit = \"\""), FrameworkError::NoSentence { .. }));
    assert!(matches!(refused("2026-01-01", "January"), FrameworkError::Date { .. }));
    assert!(refused("licence =", "license =").to_string().contains("unknown field `license`"));
    let (head, rest) = GOOD.split_once("[[control]]").unwrap();
    let (control, _) = rest.split_once("[[not_covered]]").unwrap();
    let all = format!("not_covered = []\n{head}[[control]]{control}");
    assert!(matches!(Framework::parse(&all), Err(FrameworkError::CoversAll)));
    let twice = format!("{GOOD}[[control]]{control}");
    assert!(matches!(Framework::parse(&twice), Err(FrameworkError::Twice { .. })));
    let unknown = Framework::named("iso-27001").unwrap_err().to_string();
    assert!(unknown.contains("iso-27001-2022"), "{unknown}");
}

#[test]
fn a_component_definition_is_the_same_for_everybody() {
    for name in Framework::names() {
        let framework = Framework::named(name).unwrap();
        let text = EvidenceReport::to_oscal_component(&framework);
        assert_eq!(text, EvidenceReport::to_oscal_component(&framework));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let parts = &value["component-definition"]["components"][0]["control-implementations"][0];
        let requirements = parts["implemented-requirements"].as_array().unwrap();
        assert_eq!(requirements.len(), framework.controls.len());
    }
}
