//! Reports by the service: what receipts that were sent show, and nothing that was only declared.

use kakunin_core::journal::Sealing;
use serde_json::{Value, json};

use super::ingest::{counts, request, work};
use super::office::Office;
use super::web::Reply;
use crate::desk::Desk;

fn data(reply: &Reply) -> Value {
    reply.json().get("data").cloned().unwrap_or_default()
}

fn refusal(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn order(office: &Office<'_>, more: &Value) -> Reply {
    let mut body = json!({ "agentId": "billing" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    office.post("/v1/reports/compliance", &body)
}

fn counted(report: &Value, status: &str) -> u64 {
    let frameworks = report.get("frameworks").and_then(Value::as_array).unwrap();
    let count = |one: &Value| one.pointer(&format!("/counts/{status}")).and_then(Value::as_u64).unwrap();
    frameworks.iter().map(count).sum()
}

#[test]
fn a_report_says_what_receipts_show_and_can_be_had_again_in_every_form() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 8, Sealing::Groups);
    let office = Office::open(&desk);
    // What anybody can declare is no evidence.
    office.post("/v1/events", &json!({ "agent_id": "billing", "action_type": "api_call" }));
    let ordered = order(&office, &json!({}));
    assert_eq!(ordered.status, 202, "{}", ordered.text());
    let empty = data(&ordered);
    assert_eq!((&empty["status"], &empty["evidence"]["same_as_ordered"]), (&"ready".into(), &true.into()));
    assert_eq!((counted(&empty, "evidenced"), counted(&empty, "partial")), (0, 0), "{empty}");
    assert!(counted(&empty, "no_evidence") > 50);

    assert_eq!(counts(&office.send(&request(office.owner(), &lines))).0, 200);
    let asked = json!({ "standardsFrameworks": ["nist_csf", "soc2"], "windowDays": 7, "notes": "quarter" });
    let report = data(&order(&office, &asked));
    let frameworks = report["frameworks"].as_array().unwrap().iter().map(|one| &one["framework"]["id"]);
    assert!(frameworks.eq(["csf-2.0", "soc2"]) && report["notes"] == "quarter", "{report}");
    // Nobody else confirms the end of what was sent, so the log itself is partial; identities are not.
    let rows = report["frameworks"][0]["findings"].as_array().unwrap();
    let status = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap()["status"].clone();
    assert_eq!((status("PR.AA-01"), status("PR.PS-04")), ("evidenced".into(), "partial".into()));
    assert_eq!(counted(&report, "contradicted"), 0);
    for name in
        ["id", "agent_id", "title", "summary", "period_start", "period_end", "created_at", "updated_at"]
    {
        assert!(report[name].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }

    let id = report["id"].as_str().unwrap();
    let again = data(&office.get_as_owner(&format!("/v1/reports/{id}")));
    assert_eq!((&again["frameworks"], &again["evidence"]), (&report["frameworks"], &report["evidence"]));
    for (format, begins) in
        [("html", "<!doctype html>"), ("csv", "\"framework\""), ("oscal", "{"), ("json", "{")]
    {
        let reply = office.get_as_owner(&format!("/v1/reports/{id}?format={format}&framework=soc2"));
        assert!(reply.status == 200 && reply.text().starts_with(begins), "{format}: {}", reply.text());
    }
    // A report that was ordered before says that there is more by now.
    let old = data(&office.get_as_owner(&format!("/v1/reports/{}", empty["id"].as_str().unwrap())));
    assert_eq!(
        (&old["evidence"]["same_as_ordered"], &old["evidence"]["digest"]),
        (&false.into(), &report["evidence"]["digest"])
    );

    // And so does every form of it that is handed on; one of the evidence of its day says nothing.
    for format in ["html", "csv", "oscal", "json"] {
        let form = |report: &Value, framework: &str| {
            let id = report["id"].as_str().unwrap();
            office.get_as_owner(&format!("/v1/reports/{id}?format={format}&framework={framework}")).text()
        };
        let says = "The evidence is not the one of when this report was ordered";
        assert!(form(&empty, "csf-2.0").contains(says), "{format}");
        assert!(!form(&report, "csf-2.0").contains(says), "{format}");
    }

    let attested = data(&office.get_as_owner("/v1/agents/billing/compliance-report"));
    let controls = &attested["controls"];
    assert!(controls["pass"].as_u64() > Some(0) && controls["fail"] == 0, "{controls}");
    let sum = ["pass", "partial", "no_evidence", "fail"]
        .map(|name| controls[name].as_u64().unwrap())
        .iter()
        .sum::<u64>();
    assert_eq!(
        (controls["total"].as_u64(), controls["items"].as_array().unwrap().len() as u64),
        (Some(sum), sum)
    );
    assert_eq!(attested["regulatory"]["eu_ai_act"]["applies_from"], "2027-12-02");

    for (kind, many) in [("report.requested", 2), ("report.read", 15)] {
        let log = office.get_as_owner(&format!("/v1/audit-log?event_type={kind}"));
        assert_eq!(data(&log).as_array().unwrap().len(), many, "{kind}");
    }
}

#[test]
fn reports_are_about_agents_that_one_may_see_and_frameworks_that_there_are() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    for wrong in [
        json!({ "standardsFrameworks": ["nccoe"] }),
        json!({ "standardsFrameworks": [] }),
        json!({ "standardsFrameworks": "soc2" }),
        json!({ "windowDays": 0 }),
        json!({ "windowDays": 91 }),
        json!({ "notes": "n".repeat(1001) }),
        json!({ "unknown": 1 }),
    ] {
        assert_eq!(order(&office, &wrong).status, 400, "{wrong}");
    }
    assert_eq!(order(&office, &json!({ "agentId": "nobody" })).status, 404);
    let id = data(&order(&office, &json!({})))["id"].as_str().unwrap().to_owned();
    let pdf = office.get_as_owner(&format!("/v1/reports/{id}/pdf"));
    if cfg!(feature = "pdf") {
        assert_eq!((pdf.status, pdf.body.get(..5)), (200, Some(&b"%PDF-"[..])));
    } else {
        assert_eq!(refusal(&pdf), (501, "not_here".into()));
    }
    for query in ["?format=pdf&framework=mica", "?format=html", "?format=html&framework=soc2", "?unknown=1"] {
        assert_eq!(office.get_as_owner(&format!("/v1/reports/{id}{query}")).status, 400, "{query}");
    }
    // A name that somebody made up, or that of another agent, finds nothing.
    let other = id.replacen("rep-02", "rep-0200", 1);
    // A day before the incident, which nobody ordered: octets 17 to 25 of a name are when it was.
    let day = id.get(38..54).unwrap();
    let earlier = id.replace(day, &format!("{:016x}", u64::from_str_radix(day, 16).unwrap() - 86_400));
    let unmarked = id.get(..id.len() - 64).unwrap();
    let uuid = id.get(6..38).unwrap();
    for name in
        ["1", "rep-", "rep-02", &other, &earlier, unmarked, &id.replace(uuid, &"0".repeat(32)), "rep-%00"]
    {
        assert_eq!(office.get_as_owner(&format!("/v1/reports/{name}")).status, 404, "{name}");
    }
}
