//! The scope language: authoring, canonical DER, nesting.

use kakunin_core::id::AgentId;
use kakunin_core::scope::{DraftScope, NameLists, Scope};

const EXAMPLE: &str = r#"
actions = ["read:*", "payments:send"]
deny    = ["read:secrets:*"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
per_day = "50000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
[[rate]]
for = ["payments:send"]
max = 10
seconds = 60
[hours]
zone = "Europe/Berlin"
slots = ["Mon-Fri 09:00-17:00", "Sat 22:00-02:00"]
[delegation]
depth = 1
"#;

fn agent() -> AgentId {
    AgentId::from_random([7; 16])
}

fn draft(text: &str) -> Result<DraftScope, String> {
    DraftScope::parse(text, &|_| Err(std::io::ErrorKind::NotFound.into())).map_err(|error| error.to_string())
}

fn scope(text: &str) -> Scope {
    draft(text).unwrap().for_agent(agent()).unwrap()
}

#[test]
fn a_scope_survives_its_own_encoding_byte_for_byte() {
    let scope = scope(EXAMPLE);
    let der = scope.to_der();
    assert_eq!(Scope::from_der(&der).unwrap(), scope);
    assert_eq!(Scope::from_der(&der).unwrap().to_der(), der);
}

#[test]
fn toml_and_json_say_the_same() {
    let json = r#"{"actions": ["payments:send"], "limit": [{"for": ["payments:send"], "currency": "EUR", "per_action": "5.00"}]}"#;
    let toml = "actions = [\"payments:send\"]\n[[limit]]\nfor = [\"payments:send\"]\ncurrency = \"EUR\"\nper_action = \"5\"\n";
    assert_eq!(scope(json), scope(toml));
}

#[test]
fn a_scope_is_printed_in_plain_words() {
    let words = scope(EXAMPLE).to_words().join("\n");
    for fact in [
        "payments:send: at most 10000.00 EUR per action, 50000.00 EUR in any 24 h",
        "at most 10 times in any 1 min",
        "note: read:* carries no amount and no name rule",
        "Mon,Tue,Wed,Thu,Fri 09:00-17:00",
        "Sun 00:00-02:00",
    ] {
        assert!(words.contains(fact), "{fact}\n{words}");
    }
}

#[test]
fn a_scope_encompasses_itself_and_refuses_a_wider_child() {
    let parent = scope(EXAMPLE);
    parent.encompasses(&parent, &NameLists::default()).unwrap();
    for (from, to, field) in [
        ("10000.00", "10000.01", "limit"),
        ("\"globex\"", "\"initech\"", "counterparties"),
        ("max = 10\n", "max = 11\n", "rate"),
        ("09:00", "08:59", "hours"),
        ("read:secrets:*", "read:secrets:x", "deny"),
        ("\"read:*\"", "\"reads:*\"", "actions"),
        ("depth = 1", "depth = 2", "delegation"),
    ] {
        let wide = EXAMPLE.replacen(from, to, 1);
        let wide = if field == "actions" { wide.replace("read:secrets:*", "reads:secrets:*") } else { wide };
        assert_eq!(
            parent.encompasses(&scope(&wide), &NameLists::default()).unwrap_err().field,
            field,
            "{to}"
        );
    }
}

#[test]
fn errors_name_the_line_and_the_fix() {
    let error = |text: &str| draft(text).unwrap_err();
    assert_eq!(
        error("actions = [\"a\"]\n[[limit]]\nfor = [\"a\"]\ncurrency = \"eur\"\n"),
        "line 4: `eur` is no currency; write its code in capitals, for example EUR"
    );
    assert!(error("actions = [\"a\"]\nacton = 1\n").starts_with("line 2: unknown key `acton`"));
    assert!(
        error("actions = [\"a\"]\n[[limit]]\nfor = [\"a\"]\ncurrency = \"EUR\"\nper_action = 12.5\n")
            .contains("line 5: a fraction")
    );
    assert!(
        error("actions = [\"a\"]\n[[rate]]\nfor = [\"b\"]\nmax = 1\nseconds = 1\n")
            .starts_with("line 3: a rule is for `b`")
    );
    assert!(error("{\"actions\": [\"a\"],\n \"actions\": [\"b\"]}").starts_with("line 2"));
    assert!(error("actions = [\"A\"]").starts_with("line 1"));
    assert!(error("").contains("allows no action"));
}
