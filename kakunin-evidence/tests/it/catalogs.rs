//! Every id of NIST's that is claimed stands in NIST's own catalog, is not withdrawn, and has the title it has there. The
//! extracts in `tests/data` say where they are from.

use std::collections::BTreeMap;

use kakunin_evidence::{Control, Framework};
use serde::Deserialize;

#[derive(Deserialize)]
struct Catalog {
    source: String,
    note: String,
    controls: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    title: Option<String>,
    #[serde(default)]
    withdrawn: bool,
}

/// What is wrong with `control`, by `catalogs`.
fn fault(control: &Control, catalogs: &[Catalog]) -> Option<String> {
    let entries: BTreeMap<&str, &Entry> = catalogs
        .iter()
        .flat_map(|catalog| &catalog.controls)
        .map(|entry| (entry.id.as_str(), entry))
        .collect();
    match entries.get(control.id.as_str()) {
        None => Some(format!("`{}` is in no catalog", control.id)),
        Some(entry) if entry.withdrawn => Some(format!("`{}` is withdrawn", control.id)),
        Some(entry) if entry.title != control.title => {
            Some(format!("`{}` is called {:?}, not {:?}", control.id, entry.title, control.title))
        }
        Some(_) => None,
    }
}

fn catalogs(texts: &[&str]) -> Vec<Catalog> {
    let catalogs: Vec<Catalog> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    for catalog in &catalogs {
        assert!(!catalog.source.is_empty() && catalog.note.contains("public domain"));
    }
    catalogs
}

const CSF: &str = include_str!("../data/csf-2.0.json");
const SP_800_53: &str = include_str!("../data/sp800-53-r5.json");
const AI_RMF: &str = include_str!("../data/ai-rmf-1.0.json");
const AI_600_1: &str = include_str!("../data/ai-600-1.json");

#[test]
fn every_id_of_nist_is_in_nists_own_catalog_under_its_own_title() {
    let files: [(&str, &[&str]); 3] =
        [("csf-2.0", &[CSF]), ("sp800-53-r5", &[SP_800_53]), ("ai-rmf-1.0", &[AI_RMF, AI_600_1])];
    for (name, texts) in files {
        let framework = Framework::named(name).unwrap();
        let catalogs = catalogs(texts);
        let faults: Vec<String> =
            framework.controls.iter().filter_map(|control| fault(control, &catalogs)).collect();
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

/// What the hosted service's map had: CSF 1.1's ids, and labels of other controls.
#[test]
fn withdrawn_unknown_and_mistitled_ids_are_found() {
    let catalogs = catalogs(&[CSF, SP_800_53]);
    let mut control = Framework::named("csf-2.0").unwrap().controls.remove(0);
    assert_eq!(fault(&control, &catalogs), None);
    for (id, title, says) in [
        ("PR.PT-01", None, "withdrawn"),
        ("RS.RP-01", None, "withdrawn"),
        ("PR.PS-07", None, "in no catalog"),
        ("RS.MA-01", Some("Incidents are contained"), "is called"),
        ("PR.AA-06", Some("Certificates are revoked"), "is called"),
        ("AC-3", Some("Access Enforcement"), ""),
        ("AC-3(1)", Some("Access Enforcement"), "in no catalog"),
    ] {
        control.id = id.to_owned();
        control.title = title.map(str::to_owned);
        let found = fault(&control, &catalogs).unwrap_or_default();
        assert!(found.contains(says) && found.is_empty() == says.is_empty(), "{id}: {found}");
    }
}
