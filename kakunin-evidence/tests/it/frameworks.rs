//! The data files, and what a file may not be.

use kakunin_evidence::{Carries, EvidenceReport, Facts, Framework, FrameworkError, Period, Predicate};

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

/// Row E12 of docs/attacks.md: what a sentence says of denials is shown by denials.
#[test]
fn a_claim_that_something_was_denied_or_stopped_stands_on_denials() {
    for name in Framework::names() {
        for control in Framework::named(name).unwrap().controls {
            let words = control.claim.to_lowercase();
            let says = ["denied", "denial", "stopped", "took effect"].iter().any(|word| words.contains(word));
            let shown = control.shown_by.iter().any(|it| {
                matches!(
                    it,
                    Predicate::Enforced {}
                        | Predicate::ScopeDenied {}
                        | Predicate::DenialsRecorded {}
                        | Predicate::StopEnforced {}
                )
            });
            assert!(!says || shown, "{name} {}: {}", control.id, control.claim);
            let outside = words.contains("outside");
            let scope = control.shown_by.iter().any(|it| matches!(it, Predicate::ScopeDenied {}));
            assert!(!outside || scope, "{name} {}: {}", control.id, control.claim);
        }
    }
}

/// What these say of people, devices and the least of privileges no receipt carries.
#[test]
fn controls_that_are_about_more_than_agents_are_carried_in_part() {
    for (name, ids) in [
        ("sp800-53-r5", &["AC-6", "AC-2(13)", "IA-3"][..]),
        ("iso-27001-2022", &["A.8.2"]),
        ("owasp-agentic-2026", &["ASI02"]),
        ("dora", &["Art. 9(4)(c)", "Art. 10"]),
        ("csf-2.0", &["RS.AN-06"]),
        ("ai-rmf-1.0", &["MANAGE 4.1"]),
        ("soc2", &["CC6.3"]),
    ] {
        let framework = Framework::named(name).unwrap();
        for id in ids {
            let control = framework.controls.iter().find(|control| control.id == *id).unwrap();
            assert_eq!(control.carries, Carries::Part, "{name} {id}");
        }
    }
}

/// Row E17: whoever hands a report on hands on what is to be known of it.
#[test]
fn a_remark_is_in_every_form() {
    let report = |remark: Option<&str>| {
        let framework = Framework::named("soc2").unwrap();
        let report = EvidenceReport::of(framework, Facts::none(Period::default()), None).unwrap();
        match remark {
            Some(remark) => report.remarking(remark),
            None => report,
        }
    };
    let forms = |report: &EvidenceReport| {
        [report.to_json(), report.to_csv(), report.to_html(), report.to_oscal_results()]
    };
    for (plain, said) in forms(&report(None)).iter().zip(&forms(&report(Some("Something changed <b>")))) {
        assert!(!plain.contains("Something changed"));
        assert!(said.contains("Something changed"), "{said}");
        assert!(!said.contains("<!doctype html>") || said.contains("Something changed &lt;b&gt;"), "{said}");
    }
}
