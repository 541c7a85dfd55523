//! Writes `vectors/cases.json`, `deltas.json` and `host.json`: the same answers for every language, made from fixed seeds.
//!
//! Keys are Ed25519 from fixed bytes, so signatures repeat and the file changes only when its content does.
//! `--check` makes everything again and compares. `vectors/README.md` describes the file.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a tool for developers: it stops at the first surprise"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use kakunin_core::certificate::oids;
use kakunin_core::scope::{Condition, DraftScope, NameList, Scope, ScopeParts};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, KeyUsagePurpose,
    RevocationReason, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

#[expect(dead_code, reason = "the tests use what is not used here")]
#[path = "../tests/it/authority.rs"]
mod authority;

#[path = "vectors/deltas.rs"]
mod deltas;

#[path = "vectors/host.rs"]
mod host;

#[path = "vectors/risk.rs"]
mod risk;

use authority::{Authority, By, Der, ISSUING_SERIAL, NOW, SERIAL, agent_id, entry, seeded_key, usage};

fn main() -> ExitCode {
    let check = std::env::args().skip(1).any(|argument| argument == "--check");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    let mut answer = ExitCode::SUCCESS;
    let scratch = tempfile::tempdir().unwrap();
    let risk = risk::files(scratch.path()).into_iter().map(|(name, made)| (format!("risk/{name}"), made));
    let own = [
        ("cases.json".to_owned(), vectors().to_json()),
        ("deltas.json".to_owned(), deltas::vectors()),
        ("host.json".to_owned(), host::vectors()),
    ];
    for (name, made) in own.into_iter().chain(risk) {
        let path = folder.join(&name);
        if !check {
            std::fs::write(&path, made).unwrap();
            continue;
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        if stored != made {
            let line = 1 + stored.lines().zip(made.lines()).take_while(|(old, new)| old == new).count();
            eprintln!("vectors/{name} differs from its generator in line {line}; run scripts/vectors.sh");
            answer = ExitCode::FAILURE;
        }
    }
    answer
}

/// What the file holds: fixtures by key, and the cases that refer to them.
#[derive(Default)]
struct Vectors {
    certificates: Vec<(String, Value)>,
    lists: Vec<(String, Value)>,
    names: Vec<(String, Value)>,
    setups: Vec<(String, Value)>,
    cases: Vec<Value>,
}

/// What stands around a request: the keys of an agent's certificate, its issuer, the anchors, lists and names.
#[derive(Clone)]
struct Setup<'a> {
    agent: &'a str,
    chain: Vec<&'a str>,
    roots: Vec<&'a str>,
    lists: Vec<&'a str>,
    kept: Vec<&'a str>,
    names: Vec<String>,
}

impl<'a> Setup<'a> {
    fn of(agent: &'a str) -> Self {
        Self {
            agent,
            chain: vec!["issuing"],
            roots: vec!["root"],
            lists: vec!["issuing.good", "root.good"],
            kept: Vec::new(),
            names: Vec::new(),
        }
    }

    fn lists(&self, lists: &[&'a str]) -> Self {
        Self { lists: lists.to_vec(), ..self.clone() }
    }
}

impl Vectors {
    fn certificate(&mut self, key: &str, der: &[u8]) {
        self.certificates.push((key.to_owned(), pem("CERTIFICATE", der)));
    }

    fn list(&mut self, key: &str, der: &[u8]) {
        self.lists.push((key.to_owned(), pem("X509 CRL", der)));
    }

    fn names(&mut self, text: &str) -> String {
        let root = NameList::parse(text).unwrap().root().to_hex();
        self.names.push((root.clone(), Value::from(text)));
        root
    }

    fn setup(&mut self, key: &str, setup: &Setup<'_>) {
        let Setup { agent, chain, roots, lists, kept, names } = setup;
        let value = json!({
            "agent": agent, "chain": chain, "roots": roots, "lists": lists, "kept": kept, "names": names,
        });
        self.setups.push((key.to_owned(), value));
    }

    fn case(&mut self, name: &str, row: u8, setup: &str, at: &str, request: Value, expect: &str) {
        assert!(self.setups.iter().any(|(key, _)| key == setup), "no setup {setup}");
        assert!(self.cases.iter().all(|case| case["name"] != name), "{name} twice");
        let row = if row == 0 { Value::Null } else { Value::from(row) };
        self.cases.push(json!({
            "name": name, "row": row, "setup": setup, "at": at, "request": request, "expect": expect,
        }));
    }

    /// A setup of its own with a case of the same name that asks for an allowed payment.
    fn judged(&mut self, name: &str, row: u8, setup: &Setup<'_>, expect: &str) {
        self.setup(name, setup);
        self.case(name, row, name, NOW, payment("10.00"), expect);
    }

    fn to_json(&self) -> String {
        let mut text = String::from("{\n  \"format\": 1");
        let fixtures = [
            ("certificates", &self.certificates),
            ("lists", &self.lists),
            ("names", &self.names),
            ("setups", &self.setups),
        ];
        for (name, entries) in fixtures {
            let lines =
                entries.iter().map(|(key, value)| format!("    {}: {value}", Value::from(key.as_str())));
            write!(text, ",\n  \"{name}\": {{\n{}\n  }}", lines.collect::<Vec<_>>().join(",\n")).unwrap();
        }
        let lines = self.cases.iter().map(|case| format!("    {case}"));
        write!(text, ",\n  \"cases\": [\n{}\n  ]\n}}\n", lines.collect::<Vec<_>>().join(",\n")).unwrap();
        text
    }
}

fn pem(label: &str, der: &[u8]) -> Value {
    Value::from(der::pem::encode_string(label, der::pem::LineEnding::LF, der).unwrap())
}

fn scope(text: &str) -> Scope {
    let read = |file: &str| match file {
        "parties.txt" => Ok(parties()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    DraftScope::parse(text, &read).unwrap_or_else(|error| panic!("{error}")).for_agent(agent_id()).unwrap()
}

/// The 1,000 known parties of the attack table.
fn parties() -> String {
    (0..1000).map(|number| format!("party-{number:03}\n")).collect()
}

fn payment(amount: &str) -> Value {
    json!({ "action": "payments:send", "amount": amount, "currency": "EUR", "counterparty": "party-007" })
}

/// `request` with one field changed; null takes it away.
fn with(mut request: Value, field: &str, value: Value) -> Value {
    let fields = request.as_object_mut().unwrap();
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value);
    }
    request
}

/// The function of the attack table: 10,000.00 EUR to 1,000 known parties, weekdays 09:00 to 17:00.
const PAYMENTS: &str = r#"
actions = ["payments:send", "read:*", "write:*"]
deny = ["read:secrets:*", "write:x"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
per_day = "50000.00"
[[counterparties]]
for = ["payments:send"]
allow_file = "parties.txt"
[hours]
zone = "Europe/Berlin"
slots = ["Mon-Fri 09:00-17:00"]
"#;

/// Every other rule, always open.
const LEDGER: &str = r#"
actions = ["a:*", "book:entry", "book:note", "mail:send", "pay:small", "pay:token", "pay:yen", "tick:never", "pay:two"]
[[limit]]
for = ["book:entry"]
currency = "EUR"
per_action = "100.00"
approve_above = "50.00"
[[limit]]
for = ["book:entry"]
currency = "USD"
per_action = "200.00"
[[limit]]
for = ["book:note"]
currency = "EUR"
per_action = "1.00"
optional = true
[[limit]]
for = ["pay:small"]
currency = "EUR"
per_day = "5.00"
[[limit]]
for = ["pay:yen"]
currency = "JPY"
per_action = "1000"
[[limit]]
for = ["pay:token"]
currency = "TOKEN9"
scale = 18
per_action = "9"
[[limit]]
for = ["pay:*"]
currency = "CHF"
scale = 2
per_action = "9"
[[limit]]
for = ["pay:two"]
currency = "CHF"
scale = 3
per_action = "5"
[[rate]]
for = ["tick:never"]
max = 0
seconds = 60
[[resources]]
for = ["book:entry"]
allow = ["ledger:*", "Müller"]
deny = ["ledger:closed"]
[[resources]]
for = ["book:note"]
allow = ["note"]
optional = true
[[counterparties]]
for = ["mail:send"]
allow = ["acme:*", "Ｚoë", "a b", "ac*me"]
"#;

const ANYTHING: &str = "actions = [\"*\"]\n";

fn vectors() -> Vectors {
    let mut v = Vectors::default();
    let ours = Authority::new();
    fixtures(&mut v, &ours);
    let roots = vec![v.names(&parties())];
    let payments = Setup { names: roots, ..Setup::of("payments") };
    v.setup("payments", &payments);
    v.setup("payments.early", &payments.lists(&["issuing.early", "root.early"]));
    v.setup("payments.without_names", &Setup::of("payments"));
    v.setup("ledger", &Setup::of("ledger"));
    v.setup("anything", &Setup::of("anything"));
    amounts(&mut v);
    currencies(&mut v);
    counterparties(&mut v);
    actions(&mut v);
    hours(&mut v);
    rules(&mut v);
    lists(&mut v, &ours, &payments);
    certificates(&mut v, &ours, &payments);
    v
}

fn fixtures(v: &mut Vectors, ours: &Authority) {
    v.certificate("root", &ours.root);
    v.certificate("issuing", &ours.issuing);
    for (key, text) in [("payments", PAYMENTS), ("ledger", LEDGER), ("anything", ANYTHING)] {
        v.certificate(key, &ours.agent(&scope(text)));
    }
    v.list("issuing.good", &ours.list(By::Issuing, |_| {}));
    v.list("root.good", &ours.list(By::Root, |_| {}));
    let early = |list: &mut CertificateRevocationListParams| list.this_update = date_time_ymd(2026, 11, 20);
    v.list("issuing.early", &ours.list(By::Issuing, early));
    v.list("root.early", &ours.list(By::Root, early));
}

fn amounts(v: &mut Vectors) {
    let mut pay = |name: &str, row, amount: Value, expect: &str| {
        v.case(name, row, "payments", NOW, with(payment("0"), "amount", amount), expect);
    };
    for (name, amount) in [
        ("zero", "0"),
        ("cents", "0.01"),
        ("one_decimal", "12.5"),
        ("whole", "125"),
        ("the_limit", "10000.00"),
        ("the_limit_whole", "10000"),
    ] {
        pay(&format!("amount.allowed.{name}"), 0, json!(amount), "allow");
    }
    for (name, amount) in
        [("by_a_cent", "10000.01"), ("by_one", "10001"), ("by_much", "92233720368547758.07")]
    {
        pay(&format!("amount.over.{name}"), 1, json!(amount), "scope.amount");
    }
    for (name, amount) in [
        ("thousands", "999,999"),
        ("exponent", "1e9"),
        ("arabic_digit", "٣"),
        ("fullwidth_digit", "１"),
        ("space_before", " 5"),
        ("space_after", "5 "),
        ("with_currency", "5 EUR"),
        ("empty", ""),
        ("plus", "+5"),
        ("leading_zero", "05"),
        ("no_whole", ".5"),
        ("no_decimals", "5."),
        ("hexadecimal", "0x5"),
        ("underscore", "1_000"),
        ("two_points", "1.0.0"),
    ] {
        pay(&format!("amount.text.{name}"), 2, json!(amount), "request.amount_invalid");
    }
    for (name, amount) in [
        ("negative", "-1"),
        ("negative_zero", "-0"),
        ("nan", "NaN"),
        ("infinity", "Infinity"),
        ("huge_exponent", "1e400"),
        ("sixty_three_bits", "9223372036854775808"),
        ("cents_beyond_sixty_three_bits", "92233720368547758.08"),
        ("twenty_digits", "10000000000000000000"),
    ] {
        pay(&format!("amount.number.{name}"), 3, json!(amount), "request.amount_invalid");
    }
    pay("amount.unreadable", 3, json!({ "unreadable": true }), "request.amount_invalid");
    pay("amount.missing", 3, Value::Null, "request.amount_missing");
    for (name, amount) in [("half_cent", "1.005"), ("zeros", "1.000"), ("over_as_well", "10000.001")] {
        pay(&format!("amount.decimals.{name}"), 4, json!(amount), "request.amount_invalid");
    }
    let none = with(payment("0"), "amount", Value::Null);
    for (name, minor, expect) in [
        ("zero", 0, "allow"),
        ("the_limit", 1_000_000, "allow"),
        ("over", 1_000_001, "scope.amount"),
        ("most", i64::MAX, "scope.amount"),
        ("negative", -1, "request.amount_invalid"),
    ] {
        let request = with(none.clone(), "amount_minor", json!(minor.to_string()));
        let row = u8::from(expect == "scope.amount") + 3 * u8::from(minor < 0);
        v.case(&format!("amount.minor.{name}"), row, "payments", NOW, request, expect);
    }
    for (name, written, expect) in [
        ("whole", "125", "allow"),
        ("decimal", "12.5", "allow"),
        ("over", "10000.5", "scope.amount"),
        ("decimals", "0.005", "request.amount_invalid"),
    ] {
        let request = with(none.clone(), "as_written", json!(written));
        v.case(&format!("amount.as_written.{name}"), 0, "payments", NOW, request, expect);
    }
    let mut at = |name: &str, action: &str, amount: &str, currency: &str, expect: &str| {
        let request = json!({ "action": action, "amount": amount, "currency": currency });
        v.case(&format!("amount.scale.{name}"), 0, "ledger", NOW, request, expect);
    };
    at("yen", "pay:yen", "1000", "JPY", "allow");
    at("yen_with_decimals", "pay:yen", "1.0", "JPY", "request.amount_invalid");
    at("eighteen_decimals", "pay:token", "8.999999999999999999", "TOKEN9", "allow");
    at("eighteen_decimals_over", "pay:token", "9.000000000000000001", "TOKEN9", "scope.amount");
    at("eighteen_decimals_beyond", "pay:token", "10", "TOKEN9", "request.amount_invalid");
    at("of_two_limits_the_coarser_counts", "pay:two", "4.999", "CHF", "request.amount_invalid");
    at("of_two_limits_the_lower_counts", "pay:two", "5.01", "CHF", "scope.amount");
    at("two_limits_pass", "pay:two", "5.00", "CHF", "allow");
    let two = json!({ "action": "pay:two", "amount_minor": "1", "currency": "CHF" });
    v.case("amount.minor.of_two_scales", 3, "ledger", NOW, two, "request.amount_invalid");
}

fn currencies(v: &mut Vectors) {
    let mut pay = |name: &str, currency: Value, expect: &str| {
        let request = with(payment("1.00"), "currency", currency);
        v.case(&format!("currency.{name}"), 5, "payments", NOW, request, expect);
    };
    pay("missing", Value::Null, "request.currency_missing");
    for (name, code) in [
        ("lower_case", "eur"),
        ("space_after", "EUR "),
        ("cyrillic", "ЕUR"),
        ("short", "EU"),
        ("empty", ""),
        ("digit_first", "1EU"),
        ("long", "ABCDEFGHIJKLM"),
    ] {
        pay(name, json!(code), "request.currency_invalid");
    }
    for (name, code) in [("other", "USD"), ("longer", "EURO"), ("token", "XBT")] {
        pay(name, json!(code), "scope.currency");
    }
    let unlimited = json!({ "action": "read:x", "amount": "1.00", "currency": "EUR" });
    v.case("currency.on_an_action_without_limit", 0, "payments", NOW, unlimited, "scope.amount");
    let idle = json!({ "action": "read:x", "currency": "eur" });
    v.case("currency.without_an_amount_is_not_looked_at", 0, "payments", NOW, idle, "allow");
    let second =
        json!({ "action": "book:entry", "amount": "200.00", "currency": "USD", "resource": "ledger:a" });
    v.case("currency.each_has_its_limit", 0, "ledger", NOW, second.clone(), "allow");
    let euro = with(second, "currency", json!("EUR"));
    v.case("currency.limits_are_not_exchanged", 0, "ledger", NOW, euro, "scope.amount");
}

fn counterparties(v: &mut Vectors) {
    let mut pay = |name: &str, party: Value, expect: &str| {
        let request = with(payment("1.00"), "counterparty", party);
        v.case(&format!("counterparty.{name}"), 6, "payments", NOW, request, expect);
    };
    pay("missing", Value::Null, "request.counterparty_missing");
    pay("empty_list", json!([]), "request.counterparty_missing");
    pay("empty", json!(""), "request.counterparty_invalid");
    pay("unreadable", json!({ "unreadable": true }), "request.counterparty_invalid");
    pay("hash_spelled_out", json!(format!("sha256:{}", "00".repeat(32))), "request.counterparty_invalid");
    pay("list_with_an_empty_name", json!(["party-007", ""]), "request.counterparty_invalid");
    pay("list_of_known", json!(["party-000", "party-999"]), "allow");
    pay("list_with_a_stranger", json!(["party-000", "stranger", "party-999"]), "scope.counterparty");
    for (name, party) in [
        ("stranger", "party-1000"),
        ("other_case", "Party-007"),
        ("space_after", "party-007 "),
        ("space_before", " party-007"),
        ("zero_width", "party-007\u{200b}"),
        ("homoglyph", "pаrty-007"),
        ("prefix_of_a_known_one", "party-00"),
        ("star", "*"),
        ("newline", "party-007\n"),
        ("nul", "party-007\0"),
    ] {
        pay(name, json!(party), "scope.counterparty");
    }
    let missing_list = payment("1.00");
    v.case(
        "counterparty.list_missing",
        0,
        "payments.without_names",
        NOW,
        missing_list,
        "scope.names_missing",
    );
    for (name, party, expect) in [
        ("prefix", "acme:eu", "allow"),
        ("prefix_deep", "acme:eu:x", "allow"),
        ("prefix_alone", "acme:", "scope.counterparty"),
        ("prefix_without_colon", "acme", "scope.counterparty"),
        ("hashed", "Ｚoë", "allow"),
        ("hashed_other_form", "Zoë", "scope.counterparty"),
        ("inner_space", "a b", "allow"),
        ("literal_star", "ac*me", "allow"),
        ("literal_star_is_no_pattern", "acXme", "scope.counterparty"),
        ("long", &"x".repeat(129), "scope.counterparty"),
    ] {
        let request = json!({ "action": "mail:send", "counterparty": party });
        v.case(&format!("counterparty.inline.{name}"), 0, "ledger", NOW, request, expect);
    }
    let nobody = json!({ "action": "a:b", "counterparty": "" });
    v.case("counterparty.empty_without_a_rule", 6, "ledger", NOW, nobody, "request.counterparty_invalid");
    let anybody = json!({ "action": "a:b", "counterparty": "anybody" });
    v.case("counterparty.any_without_a_rule", 0, "ledger", NOW, anybody, "allow");
}

fn actions(v: &mut Vectors) {
    for (name, action) in [
        ("empty", ""),
        ("cyrillic", "wrіte:a"),
        ("fullwidth_colon", "write：a"),
        ("zero_width", "write:a\u{200b}"),
        ("upper_case", "Write:a"),
        ("parent_folder", "write:../a"),
        ("empty_segment", "write::a"),
        ("colon_last", "write:"),
        ("pattern", "write:*"),
        ("star", "*"),
        ("space", "write:a "),
        ("newline", "write:a\n"),
        ("nul", "write:a\0"),
        ("decomposed", "write:e\u{301}"),
        ("hyphen_first", "write:-a"),
        ("long_segment", &format!("write:{}", "a".repeat(65))),
        ("long", &format!("write:{}", "a:".repeat(62) + "a")),
        ("very_long", &"a".repeat(4096)),
    ] {
        let request = json!({ "action": action });
        v.case(&format!("action.invalid.{name}"), 7, "payments", NOW, request, "request.action_invalid");
    }
    for (name, action, expect) in [
        ("under_a_pattern", "write:a", "allow"),
        ("deep_under_a_pattern", "write:a:b:c", "allow"),
        ("longest", &format!("write:{}:{}", "a".repeat(64), "b".repeat(57)), "allow"),
        ("pattern_itself", "write", "scope.action"),
        ("longer_word", "writes:a", "scope.action"),
        ("unknown", "delete:all", "scope.action"),
        ("denied", "write:x", "scope.action"),
        ("beside_denied", "write:xy", "allow"),
        ("under_denied", "write:x:y", "allow"),
        ("denied_pattern", "read:secrets:a", "scope.action"),
        ("beside_denied_pattern", "read:secrets", "allow"),
    ] {
        v.case(&format!("action.{name}"), 0, "payments", NOW, json!({ "action": action }), expect);
    }
    let stranger = json!({ "action": "delete:all", "amount": "x", "currency": "EUR" });
    v.case("action.requests_are_read_before_scopes", 0, "payments", NOW, stranger, "request.amount_invalid");
    v.case("action.star_allows_everything", 0, "anything", NOW, json!({ "action": "what:ever" }), "allow");
    v.case(
        "action.star_allows_no_nonsense",
        7,
        "anything",
        NOW,
        json!({ "action": "What" }),
        "request.action_invalid",
    );
}

fn hours(v: &mut Vectors) {
    for (name, at, expect) in [
        ("first_second", "2026-11-23T08:00:00Z", "allow"),
        ("before_the_first", "2026-11-23T07:59:59Z", "scope.hours"),
        ("last_second", "2026-11-23T15:59:59Z", "allow"),
        ("the_end_is_excluded", "2026-11-23T16:00:00Z", "scope.hours"),
        ("sunday", "2026-11-22T12:00:00Z", "scope.hours"),
        ("saturday", "2026-11-21T12:00:00Z", "scope.hours"),
        ("offset_of_the_caller_means_nothing", "2026-11-23T20:59:59+05:00", "allow"),
    ] {
        v.case(&format!("hours.{name}"), 0, "payments.early", at, payment("1.00"), expect);
    }
}

fn rules(v: &mut Vectors) {
    let entry = |amount: &str| json!({ "action": "book:entry", "amount": amount, "currency": "EUR", "resource": "ledger:a" });
    let mut book = |name: &str, request: Value, expect: &str| v.case(name, 0, "ledger", NOW, request, expect);
    book("approval.at_the_threshold", entry("50.00"), "allow");
    book("approval.above", entry("50.01"), "approval.required");
    book("approval.above_the_limit_is_no_matter_of_approval", entry("100.01"), "scope.amount");
    let resource = |value: Value| with(entry("1.00"), "resource", value);
    book("resource.missing", resource(Value::Null), "request.resource_missing");
    book("resource.empty_list", resource(json!([])), "request.resource_missing");
    book("resource.empty", resource(json!("")), "request.resource_invalid");
    book("resource.unreadable", resource(json!({ "unreadable": true })), "request.resource_invalid");
    book("resource.other", resource(json!("accounts")), "scope.resource");
    book("resource.denied", resource(json!("ledger:closed")), "scope.resource");
    book("resource.list_with_a_denied_one", resource(json!(["ledger:a", "ledger:closed"])), "scope.resource");
    book("resource.list", resource(json!(["ledger:a", "Müller"])), "allow");
    let note = json!({ "action": "book:note" });
    book("optional.nothing", note.clone(), "allow");
    book("optional.empty_list", with(note.clone(), "resource", json!([])), "allow");
    book("optional.name_given_is_judged", with(note.clone(), "resource", json!("other")), "scope.resource");
    let noted = with(with(note, "amount", json!("1.01")), "currency", json!("EUR"));
    book("optional.amount_given_is_judged", noted, "scope.amount");
    let small = |amount: &str| json!({ "action": "pay:small", "amount": amount, "currency": "EUR" });
    book("budget.within_the_window", small("5.00"), "allow");
    book("budget.beyond_the_window", small("5.01"), "budget.window");
    book("budget.beyond_any_window", small("92233720368547758.07"), "budget.window");
    book("budget.a_rate_of_none", json!({ "action": "tick:never" }), "budget.rate");

    let ours = Authority::new();
    let id = der::asn1::ObjectIdentifier::new_unwrap("1.2.3");
    let conditions = vec![Condition { id, value: vec![5, 0] }];
    let parts = ScopeParts { conditions, ..scope(ANYTHING).parts().clone() };
    v.certificate("conditional", &ours.agent(&Scope::build(parts).unwrap()));
    v.setup("conditional", &Setup::of("conditional"));
    let request = json!({ "action": "a" });
    v.case("condition.unknown", 0, "conditional", NOW, request, "scope.condition_unknown");
}

fn lists(v: &mut Vectors, ours: &Authority, payments: &Setup<'_>) {
    let hold = Some(RevocationReason::CertificateHold);
    let second = |seconds: u64| date_time_ymd(2026, 11, 23) + Duration::from_secs(seconds);
    let noon = 12 * 3600;
    type Change = Box<dyn FnOnce(&mut CertificateRevocationListParams)>;
    let made: [(&str, Change); 11] = [
        ("issuing.revoked", Box::new(|l| l.revoked_certs = vec![entry(&SERIAL, None)])),
        ("issuing.held", Box::new(move |l| l.revoked_certs = vec![entry(&SERIAL, hold)])),
        (
            "issuing.held_and_revoked",
            Box::new(move |l| {
                let revoked = entry(&SERIAL, Some(RevocationReason::KeyCompromise));
                l.revoked_certs = vec![revoked, entry(&SERIAL, hold)];
            }),
        ),
        ("issuing.others", Box::new(|l| l.revoked_certs = vec![entry(&ISSUING_SERIAL, None)])),
        ("issuing.tolerated", Box::new(move |l| l.this_update = second(noon + 120))),
        ("issuing.future", Box::new(move |l| l.this_update = second(noon + 600))),
        ("issuing.stale", Box::new(move |l| l.next_update = second(noon))),
        ("issuing.last_second", Box::new(move |l| l.next_update = second(noon + 1))),
        (
            "issuing.stale_and_revoked",
            Box::new(move |l| {
                l.next_update = second(noon);
                l.revoked_certs = vec![entry(&SERIAL, None)];
            }),
        ),
        (
            "issuing.number_9_held",
            Box::new(move |l| {
                l.crl_number = SerialNumber::from(vec![9]);
                l.revoked_certs = vec![entry(&SERIAL, hold)];
            }),
        ),
        ("issuing.number_9", Box::new(|l| l.crl_number = SerialNumber::from(vec![9]))),
    ];
    for (key, change) in made {
        v.list(key, &ours.list(By::Issuing, change));
    }
    v.list("root.revoked", &ours.list(By::Root, |l| l.revoked_certs = vec![entry(&ISSUING_SERIAL, None)]));
    v.list("root.held", &ours.list(By::Root, |l| l.revoked_certs = vec![entry(&ISSUING_SERIAL, hold)]));
    v.list("root.agents_serial", &ours.list(By::Root, |l| l.revoked_certs = vec![entry(&SERIAL, None)]));
    v.list("root.stale", &ours.list(By::Root, |l| l.next_update = second(noon)));

    let edited = |change: &dyn Fn(&mut Der)| {
        let mut der = Der::parse(&ours.list(By::Issuing, |l| l.revoked_certs = vec![entry(&[9], None)]));
        change(&mut der);
        ours.resign(der, By::Issuing)
    };
    v.list("issuing.no_number", &edited(&|der| der.drop_extension("2.5.29.20")));
    v.list("issuing.no_key_id", &edited(&|der| der.drop_extension("2.5.29.35")));
    v.list("issuing.no_next_update", &edited(&|der| drop(der.child(0).children().remove(4))));
    v.list("issuing.empty_entries", &edited(&|der| der.path(&[0, 5]).children().clear()));
    v.list(
        "issuing.delta",
        &edited(&|der| {
            let value = Der::leaf(4, Der::integer(1).encode());
            let oid = Der::leaf(6, vec![0x55, 0x1d, 27]);
            der.extensions().push(Der::list(0x30, vec![oid, Der::leaf(1, vec![0xff]), value]));
        }),
    );
    let asking = |change: &dyn Fn(&mut Der), serial: &[u8]| {
        let mut der = Der::parse(&ours.list(By::Issuing, |l| l.revoked_certs = vec![entry(serial, None)]));
        let digest = if serial == SERIAL { vec![0x5c; 32] } else { vec![0; 32] };
        let epoch = u8::from(serial == SERIAL);
        let fields = vec![Der::integer(1), Der::integer(60), Der::integer(epoch), Der::leaf(4, digest)];
        let mut policy = Der::list(0x30, fields);
        change(&mut policy);
        let oid = Der::leaf(6, oids::LIST_POLICY.as_bytes().to_vec());
        der.extensions().push(Der::list(0x30, vec![oid, Der::leaf(4, policy.encode())]));
        ours.resign(der, By::Issuing)
    };
    v.list("issuing.feed", &asking(&|_| {}, &[9]));
    v.list("issuing.feed_revoked", &asking(&|_| {}, &SERIAL));
    v.list("issuing.feed_version_2", &asking(&|policy| *policy.child(0) = Der::integer(2), &[9]));
    v.list("issuing.feed_without_age", &asking(&|policy| *policy.child(1) = Der::integer(0), &[9]));
    v.list("issuing.feed_epoch_without_digest", &asking(&|policy| *policy.child(2) = Der::integer(1), &[9]));
    let mut roots = Der::parse(&ours.list(By::Root, |_| {}));
    roots.extensions().push(Der::parse(&asking(&|_| {}, &[9])).extension("1.3.6.1.4.1.32473.1.6").clone());
    v.list("root.feed", &ours.resign(roots, By::Root));
    let mut badly = ours.list(By::Issuing, |_| {});
    *badly.last_mut().unwrap() ^= 1;
    v.list("issuing.badly_signed", &badly);
    let other = Authority::of([seeded_key(1), seeded_key(9), seeded_key(3)], |_| {}, |_| {});
    v.list("other.good", &other.list(By::Issuing, |_| {}));
    let mut disguised = Der::parse(&other.list(By::Issuing, |_| {}));
    let key_id = Der::parse(&ours.list(By::Issuing, |_| {})).extension("2.5.29.35").clone();
    *disguised.extension("2.5.29.35") = key_id;
    v.list("other.disguised", &other.resign(disguised, By::Issuing));
    v.lists.push(("unreadable".to_owned(), Value::from("no revocation list\n")));

    for (name, lists, expect) in [
        ("none", &[][..], "revocation.missing"),
        ("unreadable", &["unreadable"], "revocation.missing"),
        ("only_the_roots", &["root.good"], "revocation.missing"),
        ("only_the_issuing_authoritys", &["issuing.good"], "revocation.missing"),
        ("other_issuer", &["other.good", "root.good"], "revocation.invalid"),
        ("other_issuer_disguised", &["other.disguised", "root.good"], "revocation.invalid"),
        ("badly_signed", &["issuing.badly_signed", "root.good"], "revocation.invalid"),
        ("future", &["issuing.future", "root.good"], "revocation.invalid"),
        ("stale", &["issuing.stale", "root.good"], "revocation.stale"),
        ("roots_stale", &["issuing.good", "root.stale"], "revocation.stale"),
        ("equivocation", &["issuing.number_9", "issuing.number_9_held", "root.good"], "revocation.rollback"),
    ] {
        v.judged(&format!("list.{name}"), 9, &payments.lists(lists), expect);
    }
    for (name, lists, expect) in [
        ("tolerated", &["issuing.tolerated", "root.good"][..], "allow"),
        ("last_second", &["issuing.last_second", "root.good"], "allow"),
        ("beside_a_foreign_one", &["other.good", "root.good", "issuing.good"], "allow"),
        ("no_number", &["issuing.no_number", "root.good"], "revocation.invalid"),
        ("no_key_id", &["issuing.no_key_id", "root.good"], "revocation.invalid"),
        ("no_next_update", &["issuing.no_next_update", "root.good"], "revocation.invalid"),
        ("empty_entries", &["issuing.empty_entries", "root.good"], "revocation.invalid"),
        ("delta_as_full", &["issuing.delta", "root.good"], "revocation.invalid"),
        ("old_then_new", &["issuing.good", "issuing.number_9_held", "root.good"], "certificate.held"),
        ("new_then_old", &["issuing.number_9_held", "issuing.good", "root.good"], "certificate.held"),
        ("revoked", &["issuing.revoked", "root.good"], "certificate.revoked"),
        ("held", &["issuing.held", "root.good"], "certificate.held"),
        ("held_and_revoked", &["issuing.held_and_revoked", "root.good"], "certificate.revoked"),
        ("stale_still_revokes", &["issuing.stale_and_revoked", "root.good"], "certificate.revoked"),
        ("others_revoked", &["issuing.others", "root.good"], "allow"),
        ("feed_without_the_feed", &["issuing.feed", "root.good"], "revocation.stale"),
        ("feed_revoked", &["issuing.feed_revoked", "root.good"], "certificate.revoked"),
        ("feed_version_2", &["issuing.feed_version_2", "root.good"], "revocation.invalid"),
        ("feed_without_age", &["issuing.feed_without_age", "root.good"], "revocation.invalid"),
        (
            "feed_epoch_without_digest",
            &["issuing.feed_epoch_without_digest", "root.good"],
            "revocation.invalid",
        ),
        ("feed_of_the_root", &["issuing.good", "root.feed"], "revocation.invalid"),
        ("serial_on_the_roots_list", &["issuing.good", "root.agents_serial"], "allow"),
        ("issuing_authority_revoked", &["issuing.good", "root.revoked"], "certificate.revoked"),
        ("issuing_authority_held", &["issuing.good", "root.held"], "certificate.held"),
    ] {
        v.judged(&format!("list.{name}"), 0, &payments.lists(lists), expect);
    }
    for (name, kept, offered, expect) in [
        ("same_again", "issuing.good", "issuing.good", "allow"),
        ("newer", "issuing.good", "issuing.number_9", "allow"),
        ("rolled_back", "issuing.number_9", "issuing.good", "revocation.rollback"),
        ("rewritten", "issuing.number_9_held", "issuing.number_9", "revocation.rollback"),
        ("revocation_forgotten", "issuing.revoked", "issuing.number_9", "revocation.rollback"),
        ("hold_released", "issuing.held", "issuing.number_9", "allow"),
    ] {
        let kept = vec![kept, "root.good"];
        let setup = Setup { kept, ..payments.lists(&[offered, "root.good"]) };
        v.judged(&format!("list.kept.{name}"), 9, &setup, expect);
    }
}

fn certificates(v: &mut Vectors, ours: &Authority, payments: &Setup<'_>) {
    let right = scope(PAYMENTS).to_der();
    let made = |change: &dyn Fn(&mut CertificateParams)| ours.agent_with(&right, change);
    let dated = |from: (u8, u8), to: (u8, u8)| {
        made(&|params| {
            params.not_before = date_time_ymd(2026, from.0, from.1);
            params.not_after = date_time_ymd(2026, to.0, to.1);
        })
    };
    v.certificate("agent.short", &dated((11, 23), (11, 24)));
    let setup = Setup { agent: "agent.short", ..payments.clone() };
    v.setup("agent.short", &setup);
    for (name, row, at, expect) in [
        ("in_its_last_second", 0, "2026-11-24T00:00:00Z", "scope.hours"),
        ("a_second_late", 11, "2026-11-24T00:00:01Z", "certificate.expired"),
        ("two_minutes_early", 0, "2026-11-22T23:58:00Z", "scope.hours"),
        ("two_minutes_and_a_second_early", 0, "2026-11-22T23:57:59Z", "certificate.not_yet_valid"),
        ("created_in_time", 11, NOW, "allow"),
    ] {
        v.case(&format!("certificate.{name}"), row, "agent.short", at, payment("1.00"), expect);
    }
    let setup = setup.lists(&["issuing.revoked", "root.good"]);
    v.judged("certificate.revoked_before_the_await", 11, &setup, "certificate.revoked");

    let edited = |change: &dyn Fn(&mut Der)| {
        let mut der = Der::parse(&ours.agent(&scope(PAYMENTS)));
        change(&mut der);
        ours.resign(der, By::Issuing)
    };
    let scope_oid = oids::AGENT_SCOPE.to_string();
    let mut other_agent = scope(PAYMENTS).parts().clone();
    other_agent.agent = kakunin_core::id::AgentId::from_random([9; 16]);
    let other_agent = Scope::build(other_agent).unwrap();
    let raised = {
        let mut der = Der::parse(&ours.agent(&scope(PAYMENTS)));
        let wide = scope(&PAYMENTS.replace("10000.00", "99999.00").replace("50000.00", "99999.00")).to_der();
        *der.extension(&scope_oid).children().last_mut().unwrap().content() = wide;
        der.encode()
    };
    let twice = made(&|params| {
        params.custom_extensions.push(authority::extension(
            oids::AGENT_SCOPE,
            false,
            scope(ANYTHING).to_der(),
        ));
    });
    let broken = [
        ("for_another_agent", 8, ours.agent(&other_agent), "certificate.malformed"),
        ("scope_edited_after_issue", 19, raised, "certificate.untrusted"),
        ("without_a_scope", 0, edited(&|der| der.drop_extension(&scope_oid)), "certificate.malformed"),
        ("with_two_scopes", 0, twice, "certificate.malformed"),
        (
            "scope_of_version_2",
            0,
            edited(&|der| der.edit_extension(&scope_oid, |scope| *scope.child(0) = Der::integer(2))),
            "certificate.malformed",
        ),
        (
            "scope_with_a_trailing_field",
            0,
            edited(&|der| {
                der.edit_extension(&scope_oid, |scope| scope.children().push(Der::leaf(0x88, Vec::new())));
            }),
            "certificate.malformed",
        ),
        (
            "scope_out_of_order",
            0,
            edited(&|der| der.edit_extension(&scope_oid, |scope| scope.child(2).children().swap(0, 1))),
            "certificate.malformed",
        ),
        (
            "without_agent_usage",
            0,
            made(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            "certificate.malformed",
        ),
        (
            "session_used_as_agent",
            0,
            made(&|params| params.extended_key_usages = vec![usage(oids::EKU_SESSION)]),
            "certificate.malformed",
        ),
        (
            "that_may_certify",
            0,
            made(&|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign)),
            "certificate.malformed",
        ),
        ("with_serial_zero", 0, edited(&|der| *der.path(&[0, 1]) = Der::integer(0)), "certificate.malformed"),
        (
            "with_a_negative_serial",
            0,
            edited(&|der| *der.path(&[0, 1]) = Der::integer(0x80)),
            "certificate.malformed",
        ),
        (
            "with_trailing_bytes",
            0,
            [ours.agent(&scope(PAYMENTS)).as_slice(), &[0]].concat(),
            "certificate.malformed",
        ),
        (
            "that_outlives_its_issuer",
            0,
            made(&|params| params.not_after = date_time_ymd(2031, 1, 2)),
            "certificate.untrusted",
        ),
        (
            "badly_signed",
            0,
            {
                let mut der = ours.agent(&scope(PAYMENTS));
                *der.last_mut().unwrap() ^= 1;
                der
            },
            "certificate.untrusted",
        ),
    ];
    for (name, row, der, expect) in broken {
        let key = format!("agent.{name}");
        v.certificate(&key, &der);
        v.judged(&format!("certificate.{name}"), row, &Setup { agent: &key, ..payments.clone() }, expect);
    }

    let other = Authority::of([seeded_key(11), seeded_key(12), seeded_key(3)], |_| {}, |_| {});
    v.certificate("other.root", &other.root);
    v.certificate("other.issuing", &other.issuing);
    let setup = |chain: &[&'static str], roots: &[&'static str]| Setup {
        chain: chain.to_vec(),
        roots: roots.to_vec(),
        ..payments.clone()
    };
    v.judged("path.other_root", 0, &setup(&["issuing"], &["other.root"]), "certificate.untrusted");
    v.judged("path.other_issuer", 0, &setup(&["other.issuing"], &["root"]), "certificate.untrusted");
    v.judged("path.no_issuer", 0, &setup(&[], &["root"]), "certificate.untrusted");
    v.judged("path.no_root", 0, &setup(&["issuing"], &[]), "certificate.untrusted");
    v.judged("path.two_roots_of_one_name", 0, &setup(&["issuing"], &["other.root", "root"]), "allow");
    v.judged("path.two_issuers_of_one_name", 0, &setup(&["other.issuing", "issuing"], &["root"]), "allow");

    let critical = |params: &mut CertificateParams| {
        params.custom_extensions.push(authority::extension(oids::EKU_FEED, true, vec![5, 0]));
    };
    let anchor = Authority::with(critical, |_| {});
    v.certificate("root.unknown_critical", &anchor.root);
    let roots = setup(&["issuing"], &["root.unknown_critical"]);
    v.judged("path.root_with_an_unknown_critical_extension", 0, &roots, "certificate.malformed");
    let expired = Authority::with(|params| params.not_after = date_time_ymd(2026, 11, 22), |_| {});
    v.certificate("root.expired", &expired.root);
    let roots = setup(&["issuing"], &["root.expired"]);
    v.judged("path.expired_root", 0, &roots, "certificate.untrusted");
}
