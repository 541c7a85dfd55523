//! Detached lists of names at a gateway that has them not: what the caller proves of them counts, and nothing else.

use std::fs;
use std::sync::Arc;

use kakunin_authority::memory::Enrolled;
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::guard::{Clock, Guard, GuardOptions, MemorySource};
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::{DraftScope, NAMES_FIELD};
use kakunin_gateway::{Gateway, GatewayOptions};

use crate::world::{Agent, Answer, RAN, SHOP, World};

const SCOPE: &str = r#"
actions = ["orders:create"]
[[counterparties]]
for = ["orders:create"]
allow_file = "vendors"
deny_file = "banned"
"#;
const MISSING: Answer = (403, "scope.names_missing");
const OUTSIDE: Answer = (403, "scope.counterparty");

/// Those with an even number are vendors, and each twentieth of these is banned.
fn files(path: &str) -> std::io::Result<String> {
    let step = if path == "vendors" { 2 } else { 40 };
    let names: Vec<String> = (0..2000).step_by(step).map(|n| format!("vendor-{n:04}")).collect();
    Ok(names.join("\n"))
}

fn buyer(world: &World, scope: &str, files: &dyn Fn(&str) -> std::io::Result<String>) -> Agent {
    let draft = DraftScope::parse(scope, files).unwrap();
    let Enrolled { papers, key } = world.authority.certify("picky", &draft, world.now(), 7).unwrap();
    let lists = world.authority.lists(world.now(), 24).unwrap().into_bytes();
    let source = Arc::new(MemorySource::new(papers.clone(), lists, key));
    let options =
        GuardOptions { clock: Arc::clone(&world.clock) as Arc<dyn Clock>, ..GuardOptions::default() };
    let guard = Guard::in_memory(Arc::clone(&source), options).unwrap();
    let id = AgentCertificate::decode(&papers.agent).unwrap().agent();
    Agent { id, papers, guard, source }
}

fn proofs(agent: &Agent, names: &[&str]) -> String {
    agent.guard.prove_names("orders:create", names, &[]).unwrap().unwrap()
}

fn order(gateway: &Gateway, agent: &Agent, field: Option<&str>, names: &[&str]) -> Answer {
    let mut sent = agent.order();
    if let Some(field) = field {
        sent = sent.with("Kakunin-Names", field.as_bytes());
    }
    let request = ActionRequest::new("orders:create").counterparties(names);
    sent.answer_to(gateway, &request)
}

#[test]
fn a_name_is_allowed_where_it_is_proven_and_nothing_else_is() {
    let world = World::new();
    let gateway = world.gateway();
    let agent = buyer(&world, SCOPE, &files);
    let ask = |proven: &[&str], names: &[&str]| {
        let field = (!proven.is_empty()).then(|| proofs(&agent, proven));
        order(&gateway, &agent, field.as_deref(), names)
    };
    assert_eq!(ask(&[], &["vendor-0002"]), MISSING);
    assert_eq!(ask(&["vendor-0002"], &["vendor-0002"]), RAN);
    assert_eq!(ask(&["vendor-0002", "vendor-0806"], &["vendor-0806", "vendor-0002"]), RAN);
    // Proven to be no vendor; to be one that is banned.
    assert_eq!(ask(&["vendor-0003"], &["vendor-0003"]), OUTSIDE);
    assert_eq!(ask(&["a stranger"], &["a stranger"]), OUTSIDE);
    assert_eq!(ask(&["vendor-0040"], &["vendor-0040"]), OUTSIDE);
    // Of one name it says nothing about another, and each of several has to be proven.
    assert_eq!(ask(&["vendor-0002"], &["vendor-0100"]), MISSING);
    assert_eq!(ask(&["vendor-0002"], &["vendor-0002", "vendor-0100"]), MISSING);
}

#[test]
fn what_is_left_out_of_the_proofs_allows_nothing() {
    let world = World::new();
    let gateway = world.gateway();
    let agent = buyer(&world, SCOPE, &files);
    // A banned vendor that shows that it is a vendor, without the list of those that are banned, or with a gap beside it.
    let root_of = |item: &str| item.split(";root=:").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let all = proofs(&agent, &["vendor-0040", "vendor-0042"]);
    let items: Vec<&str> = all.split(", ").collect();
    let vendors = root_of(items.iter().find(|item| item.contains("count=1000")).unwrap());
    let of_vendors: Vec<&str> = items.iter().filter(|item| root_of(item) == vendors).copied().collect();
    assert_eq!(order(&gateway, &agent, Some(&of_vendors.join(", ")), &["vendor-0040"]), MISSING);
    let banned: Vec<&str> = items.iter().filter(|item| root_of(item) != vendors).copied().collect();
    assert_eq!(banned.len(), 2, "vendor-0040 itself, and vendor-0080 behind the gap");
    for kept in &banned {
        let field = [&of_vendors[..], &[*kept]].concat().join(", ");
        assert_ne!(order(&gateway, &agent, Some(&field), &["vendor-0040"]), RAN);
        // One neighbour proves no gap.
        assert_eq!(order(&gateway, &agent, Some(&field), &["vendor-0042"]), MISSING);
    }
    // The lists of somebody else's certificate.
    let other = buyer(&world, SCOPE, &|path| files(path).map(|text| format!("{text}\nzebra")));
    let field = proofs(&other, &["vendor-0002"]);
    assert_eq!(order(&gateway, &other, Some(&field), &["vendor-0002"]), RAN);
    assert_eq!(order(&gateway, &agent, Some(&field), &["vendor-0002"]), MISSING);
}

#[test]
fn proofs_that_are_none_and_fields_that_are_there_twice_are_refused() {
    let world = World::new();
    let gateway = world.gateway();
    let agent = buyer(&world, SCOPE, &files);
    let good = proofs(&agent, &["vendor-0002"]);
    let request = ActionRequest::new("orders:create").counterparty("vendor-0002");
    for wrong in ["", "nonsense", &format!("{good}, {good}"), &good.replacen("index=1", "index=2", 1)] {
        let answer = order(&gateway, &agent, Some(wrong), &["vendor-0002"]);
        assert_eq!(answer, (401, "possession.malformed"), "{wrong}");
    }
    let twice = agent.order().with(NAMES_FIELD, good.as_bytes()).with(NAMES_FIELD, good.as_bytes());
    assert_eq!(twice.answer_to(&gateway, &request), (401, "possession.malformed"));
}

#[test]
fn a_list_that_the_gateway_has_needs_no_proof() {
    let world = World::new();
    let agent = buyer(&world, SCOPE, &files);
    let folder = tempfile::tempdir().unwrap();
    for list in agent.papers.names.iter() {
        fs::write(folder.path().join(format!("{}.txt", list.root())), list.to_text()).unwrap();
    }
    let lists = Some(folder.path().to_owned());
    let gateway = world.gateway_with(GatewayOptions { lists, ..GatewayOptions::named([SHOP]) });
    assert_eq!(order(&gateway, &agent, None, &["vendor-0002"]), RAN);
    assert_eq!(order(&gateway, &agent, None, &["vendor-0040"]), OUTSIDE);
    // Proofs beside a list that is here decide nothing.
    let field = proofs(&agent, &["vendor-0002"]);
    assert_eq!(order(&gateway, &agent, Some(&field), &["vendor-0040"]), OUTSIDE);
}

#[test]
fn an_agent_proves_what_its_action_needs_and_only_that() {
    let world = World::new();
    let agent = buyer(&world, SCOPE, &files);
    assert_eq!(agent.guard.prove_names("orders:read", &["vendor-0002"], &[]).unwrap(), None);
    assert_eq!(agent.guard.prove_names("orders:create", &[], &["vendor-0002"]).unwrap(), None);
    let names: Vec<String> = (0..40).map(|n| format!("vendor-{:04}", n * 2)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = agent.guard.prove_names("orders:create", &names, &[]).unwrap_err();
    assert_eq!(error.code(), "scope.names_missing");
}
