//! The scope language: authoring, canonical DER, nesting.

use kakunin_core::id::AgentId;
use kakunin_core::scope::{Condition, DecodeError, DraftScope, NameLists, Scope, ScopeError, ScopeParts};

use crate::authority::Der;

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

/// C341: each value of a document is asked for its line. Counted from the beginning, these would take days.
#[test]
fn a_document_of_a_million_values_is_read_once() {
    let names: String = (0..300_000).map(|name| format!("\"party-{name}\",\n")).collect();
    let names = names.trim_end_matches(",\n");
    let toml = format!("actions = [\"a\"]\n[[counterparties]]\nfor = [\"a\"]\nallow = [{names}]\n");
    let json = format!(r#"{{"actions": ["a"], "counterparties": [{{"for": ["a"], "allow": [{names}]}}]}}"#);
    for text in [toml, json] {
        assert_eq!(draft(&text).unwrap().lists().iter().next().unwrap().names().len(), 300_000);
        let error = draft(&text.replace("party-299999", "")).unwrap_err();
        assert!(error.starts_with("line 300"), "{error}");
    }
    let keys: String = (0..300_000).map(|key| format!("\"{key}\": 1,\n")).collect();
    let twice = draft(&format!("{{{keys}\"7\": 1}}")).unwrap_err();
    assert!(twice.starts_with("line 300001: the key `7` stands there twice"), "{twice}");
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

/// Every field of the module once; the base that the refused vectors below are cut from.
const WHOLE: &str = r#"
actions = ["a:*", "payments:send"]
deny    = ["a:x", "a:y"]
[[limit]]
for = ["a:b", "payments:send"]
currency = "EUR"
per_action = "10.00"
approve_above = "5.00"
windows = [{ seconds = 60, max = "20.00" }, { seconds = 61, max = "30.00" }]
optional = true
[[limit]]
for = ["payments:send"]
currency = "USD"
per_action = "10.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex:*"]
deny = ["globex:x"]
optional = true
[[counterparties]]
for = ["a:b"]
allow_file = "long.txt"
[[resources]]
for = ["a:*"]
allow = ["r"]
[[rate]]
for = ["payments:send"]
max = 10
seconds = 60
[[rate]]
for = ["a:b"]
max = 10
seconds = 60
[hours]
zone = "+01:00"
slots = ["Mon 09:00-17:00", "Tue 09:00-17:00"]
[delegation]
depth = 1
max_hours = 24
"#;

fn whole() -> Der {
    let read = |_: &str| Ok("one\ntwo\n".to_owned());
    let parts = DraftScope::parse(WHOLE, &read).unwrap().for_agent(agent()).unwrap().parts().clone();
    let condition = |last| Condition {
        id: der::asn1::ObjectIdentifier::new(&format!("1.2.3.{last}")).unwrap(),
        value: vec![5, 0],
    };
    let conditions = vec![condition(1), condition(2)];
    Der::parse(&Scope::build(ScopeParts { conditions, ..parts }).unwrap().to_der())
}

fn decoded(change: impl FnOnce(&mut Der)) -> Result<Scope, DecodeError> {
    let mut der = whole();
    change(&mut der);
    let bytes = der.encode();
    Scope::from_der(&bytes).inspect(|scope| assert_eq!(scope.to_der(), bytes, "accepted bytes are canonical"))
}

/// What a refused vector breaks: a name, then the change.
type Vector<'a> = (&'a str, &'a dyn Fn(&mut Der));

#[track_caller]
fn all_refused(vectors: &[Vector<'_>], right: impl Fn(&DecodeError) -> bool) {
    for (what, change) in vectors {
        match decoded(change) {
            Ok(_) => panic!("{what}: accepted"),
            Err(error) => assert!(right(&error), "{what}: {error:?}"),
        }
    }
}

#[test]
fn the_base_of_the_vectors_is_accepted() {
    decoded(|_| {}).unwrap();
}

/// C1: BER, and second spellings that DER decoders let through.
#[test]
fn second_spellings_of_a_scope_are_refused() {
    let bytes = whole().encode();
    let content = &bytes[4..];
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    for (what, header, tail) in [
        ("long form", &[0x30, 0x83, 0, length[0], length[1]][..], &[][..]),
        ("indefinite", &[0x30, 0x80], &[0, 0]),
        ("trailing", &bytes[..4], &[0]),
        ("a second scope", &bytes[..4], &bytes),
    ] {
        let spelled = [header, content, tail].concat();
        assert!(Scope::from_der(&spelled).is_err(), "{what}");
    }
    for end in 0..bytes.len() {
        assert!(Scope::from_der(&bytes[..end]).is_err(), "cut at {end}");
    }
    all_refused(
        &[
            ("padded integer", &|s| *s.path(&[LIMITS, 0, 2]).content() = vec![0, 2]),
            ("a NULL with content", &|s| *s.path(&[LIMITS, 1]).tagged(0x83).content() = vec![0]),
            ("patterns as PrintableString", &|s| s.path(&[ACTIONS, 0]).set_tag(0x13)),
            ("names as IA5String", &|s| s.path(&[PARTIES, 1, 1, 0]).set_tag(0x16)),
            ("currency as UTF8String", &|s| s.path(&[LIMITS, 0, 1]).set_tag(0x0c)),
            ("primitive for constructed", &|s| s.path(&[SCHEDULE]).set_tag(0x84)),
            ("constructed for primitive", &|s| {
                *s.path(&[LIMITS, 0]).tagged(0x80) = Der::list(0xa0, vec![Der::integer(1)]);
            }),
            ("deny without its explicit tag", &|s| {
                let deny = name_rule_with(s, 0xa0);
                let inner = deny.child(0).clone();
                *deny = inner;
            }),
        ],
        |_| true,
    );
}

/// C6: what this version does not know.
#[test]
fn unknown_versions_tags_and_trailing_fields_are_refused() {
    for version in [0, 2, 127] {
        assert_eq!(decoded(|s| *s.child(0) = Der::integer(version)), Err(DecodeError::Version(version)));
    }
    let unknown = || Der::leaf(0x88, vec![0]);
    all_refused(
        &[
            ("a tag after the last", &|s| s.children().push(unknown())),
            ("a universal field after the last", &|s| s.children().push(Der::integer(1))),
            ("a tag before the first", &|s| s.children().insert(ACTIONS + 1, Der::leaf(0x88, vec![0]))),
            ("a field in a limit", &|s| s.path(&[LIMITS, 0]).children().push(unknown())),
            ("a field in a window", &|s| window(s).children().push(Der::integer(1))),
            ("a field in a rate", &|s| s.path(&[RATES, 0]).children().push(unknown())),
            ("a field in a name rule", &|s| s.path(&[PARTIES, 0]).children().push(unknown())),
            ("a field in a list's root", &|s| detached(s).children().push(Der::integer(1))),
            ("a field in the schedule", &|s| s.child(SCHEDULE).children().push(unknown())),
            ("a field in a slot", &|s| s.path(&[SCHEDULE, 1, 0]).children().push(Der::integer(1))),
            ("a field in the delegation", &|s| s.child(DELEGATION).children().push(Der::integer(1))),
            ("a field in a condition", &|s| s.path(&[CONDITIONS, 0]).children().push(Der::integer(1))),
            ("another choice of zone", &|s| s.path(&[SCHEDULE, 0]).set_tag(0x82)),
            ("another choice of names", &|s| s.path(&[PARTIES, 0, 1]).set_tag(0xa1)),
            ("fields out of order", &|s| s.children().swap(LIMITS, PARTIES)),
            ("a field twice", &|s| {
                let again = s.child(DENIED).clone();
                s.children().insert(DENIED, again);
            }),
        ],
        |_| true,
    );
}

/// C5: sets ascend and nothing occurs twice.
#[test]
fn unsorted_and_repeated_elements_are_refused() {
    let sequences: [(&str, &[usize]); 10] = [
        ("actions", &[ACTIONS]),
        ("denied", &[DENIED]),
        ("limits", &[LIMITS]),
        ("for", &[LIMITS, 1, 0]),
        ("parties", &[PARTIES]),
        ("names", &[PARTIES, 1, 1]),
        ("slots", &[SCHEDULE, 1]),
        ("rates", &[RATES]),
        ("conditions", &[CONDITIONS]),
        ("windows", &[LIMITS, 1, 4]),
    ];
    let order = whole();
    for (what, path) in sequences {
        let mut base = order.clone();
        assert!(base.path(path).children().len() > 1, "{what} has two elements to swap");
        let swapped = decoded(|s| s.path(path).children().swap(0, 1));
        assert_eq!(swapped, Err(DecodeError::NotCanonical), "{what} out of order");
        let twice = decoded(|s| {
            let again = s.path(path).child(0).clone();
            s.path(path).children().insert(0, again);
        });
        assert!(matches!(twice, Err(DecodeError::Scope(ScopeError::Duplicate { .. }))), "{what}: {twice:?}");
    }
}

/// WIRE 1: one limit per (for, currency), one window per seconds, one rate per (for, seconds), one condition per id.
#[test]
fn rules_with_the_same_key_are_refused() {
    all_refused(
        &[
            ("limits", &|s| {
                let mut other = s.path(&[LIMITS, 0]).clone();
                *other.child(2) = Der::integer(3);
                s.child(LIMITS).children().insert(1, other);
            }),
            ("windows", &|s| {
                let windows = windows(s);
                let mut other = windows.child(0).clone();
                *other.child(1) = Der::leaf(2, vec![0x7f, 0xff]);
                windows.children().insert(1, other);
            }),
            ("rates", &|s| {
                let mut other = s.path(&[RATES, 0]).clone();
                *other.path(&[1, 1]) = Der::integer(11);
                s.child(RATES).children().insert(1, other);
            }),
            ("conditions", &|s| {
                let mut other = s.path(&[CONDITIONS, 0]).clone();
                *other.child(1).content() = vec![5, 0, 0];
                s.child(CONDITIONS).children().insert(1, other);
            }),
        ],
        |error| matches!(error, DecodeError::Scope(ScopeError::Duplicate { .. })),
    );
}

/// C5: empty where the module wants one at least, present but empty where it wants absence.
#[test]
fn empty_sequences_are_refused() {
    let sequences: [&[usize]; 11] = [
        &[ACTIONS],
        &[DENIED],
        &[LIMITS],
        &[LIMITS, 0, 0],
        &[PARTIES],
        &[RESOURCES],
        &[SCHEDULE, 1],
        &[RATES],
        &[CONDITIONS],
        &[LIMITS, 1, 4],
        &[PARTIES, 1, 1],
    ];
    for path in sequences {
        assert!(decoded(|s| s.path(path).children().clear()).is_err(), "{path:?}");
    }
}

/// WIRE 1: the sizes of sequences and strings, at the bound and one beyond.
#[test]
fn sizes_beyond_the_module_are_refused() {
    let texts = |count: usize| (0..count).map(|n| Der::text(0x0c, &format!("n{n:04}"))).collect::<Vec<_>>();
    let many = |count: usize| {
        decoded(|s| {
            *s.children() = s.children()[..ACTIONS].to_vec();
            s.children().push(Der::list(0x30, texts(count)));
        })
    };
    many(256).unwrap();
    is_size(many(257));
    let with = |tag: u8, elements: Vec<Der>| {
        decoded(|s| {
            *s.children() = s.children()[..=ACTIONS].to_vec();
            s.children().push(Der::list(tag, elements));
        })
    };
    is_size(with(0xa0, texts(257)));
    let action = || Der::list(0x30, vec![Der::text(0x0c, "a:b")]);
    let limits = |count: usize| {
        let one = |n: usize| {
            let currency = Der::text(0x13, &format!("X{n:02}"));
            Der::list(0x30, vec![action(), currency, Der::integer(0), Der::leaf(0x80, vec![1])])
        };
        (0..count).map(one).collect::<Vec<_>>()
    };
    with(0xa1, limits(64)).unwrap();
    is_size(with(0xa1, limits(65)));
    let rules = |count: usize| {
        let names = |n: usize| Der::list(0x30, vec![Der::text(0x0c, &format!("n{n:02}"))]);
        (0..count).map(|n| Der::list(0x30, vec![action(), names(n)])).collect::<Vec<_>>()
    };
    for tag in [0xa2, 0xa3] {
        with(tag, rules(32)).unwrap();
        is_size(with(tag, rules(33)));
    }
    let rates = |count: u8| {
        let window = |n| Der::list(0x30, vec![Der::integer(n), Der::integer(1)]);
        (1..=count).map(|n| Der::list(0x30, vec![action(), window(n)])).collect::<Vec<_>>()
    };
    with(0xa5, rates(16)).unwrap();
    is_size(with(0xa5, rates(17)));
    let conditions = |count: u8| {
        let one = |n| Der::list(0x30, vec![Der::leaf(6, vec![0x2a, n]), Der::leaf(4, Vec::new())]);
        (1..=count).map(one).collect::<Vec<_>>()
    };
    with(0xa7, conditions(16)).unwrap();
    is_size(with(0xa7, conditions(17)));
    let slots = |count: u8| {
        let slot = |n| Der::list(0x30, vec![Der::leaf(3, vec![1, 0x80]), Der::integer(n), Der::integer(100)]);
        vec![Der::leaf(0x80, vec![0]), Der::list(0x30, (0..count).map(slot).collect())]
    };
    with(0xa4, slots(32)).unwrap();
    is_size(with(0xa4, slots(33)));
    let sized = |count: u8, names: usize| {
        decoded(|s| {
            let some = (1..=count).map(|n| Der::list(0x30, vec![Der::integer(n), Der::integer(1)]));
            *windows(s).children() = some.collect();
            *s.path(&[PARTIES, 1, 1]).children() = texts(names);
        })
    };
    sized(8, 32).unwrap();
    is_size(sized(9, 32));
    is_size(sized(8, 33));

    let pattern = |text: &str| decoded(|s| *s.path(&[DENIED, 1]).content() = text.as_bytes().to_vec());
    let long = format!("b:{}:{}", "x".repeat(62), "y".repeat(63));
    assert_eq!(long.len(), 128);
    pattern(&long).unwrap();
    field(pattern(&format!("c{long}")), "denied");
    let name = |text: &str| decoded(|s| *s.path(&[PARTIES, 1, 1, 1]).content() = text.as_bytes().to_vec());
    name(&"x".repeat(128)).unwrap();
    field(name(&"x".repeat(129)), "names");
    field(name(""), "names");
    for octets in [15, 17] {
        field(decoded(|s| *s.child(1).content() = vec![1; octets]), "agentId");
    }
    for octets in [31, 33] {
        field(decoded(|s| *detached(s).child(0).content() = vec![1; octets]), "root");
    }
    let zone = |text: &str| decoded(|s| *s.path(&[SCHEDULE, 0]) = Der::text(0x81, text));
    zone("UT").unwrap();
    zone(&"Z".repeat(64)).unwrap();
    is_size(zone("U"));
    is_size(zone(&"Z".repeat(65)));
}

/// The whole extension has at most 16,384 bytes.
#[test]
fn an_extension_beyond_sixteen_kilobytes_is_refused() {
    let sized = |bytes: usize| {
        decoded(|s| {
            let conditions = s.child(CONDITIONS);
            *conditions.child(1).child(1).content() = vec![0; bytes];
        })
    };
    let length = |bytes| sized(bytes).map(|scope| scope.to_der().len());
    let most = (1..16_384).rev().find(|bytes| length(*bytes).is_ok()).unwrap();
    assert_eq!(length(most), Ok(16_384));
    assert_eq!(length(most + 1), Err(DecodeError::Scope(ScopeError::TooLarge { bytes: 16_385 })));
}

/// WIRE 1: the ranges of numbers, at the bound and one beyond.
#[test]
fn numbers_outside_their_ranges_are_refused() {
    type Place = fn(&mut Der) -> &mut Der;
    let places: [(&str, Place, &[i64], &[i64]); 12] = [
        ("scale", |s| s.path(&[LIMITS, 0, 2]), &[0, 18], &[19, -1, 255, 256]),
        ("perAction", |s| s.path(&[LIMITS, 0]).tagged(0x80), &[0, i64::MAX], &[-1, i64::MIN]),
        ("approveAbove", |s| s.path(&[LIMITS, 1]).tagged(0x82), &[0, i64::MAX], &[-1]),
        ("window max", |s| window(s).child(1), &[0], &[-1]),
        ("window seconds", |s| window(s).child(0), &[1], &[0, -1, 31_622_401, 1 << 40]),
        ("rate seconds", |s| s.path(&[RATES, 0, 1, 0]), &[1, 31_622_400], &[0, 31_622_401]),
        ("rate max", |s| s.path(&[RATES, 0, 1, 1]), &[0, i64::MAX], &[-1]),
        ("count", |s| detached(s).child(1), &[1, 1_000_000], &[0, 1_000_001, -1]),
        ("offset", |s| s.path(&[SCHEDULE, 0]), &[-840, 840], &[-841, 841, 40_000]),
        ("to", |s| s.path(&[SCHEDULE, 1, 1, 2]), &[541, 1440], &[0, 540, 539, 1441]),
        ("from", |s| s.path(&[SCHEDULE, 1, 1, 1]), &[1019], &[1020, 1021, -1, 1440]),
        ("maxSeconds", |s| s.child(DELEGATION).child(1), &[1, 31_622_400], &[0, 31_622_401, -1]),
    ];
    for (what, place, right, wrong) in places {
        let with = |number: i64| decoded(|s| *place(s).content() = integer(number));
        for number in right {
            with(*number).unwrap_or_else(|error| panic!("{what} {number}: {error}"));
        }
        for number in wrong {
            assert!(with(*number).is_err(), "{what} {number}");
        }
    }
    // 2^63, which no integer of ours holds.
    let beyond = [&[0, 0x80][..], &[0; 7]].concat();
    assert!(decoded(|s| *s.path(&[LIMITS, 0]).tagged(0x80).content() = beyond).is_err());
    let depth = |depth: u8, modes: u8| {
        decoded(|s| {
            *s.child(DELEGATION).child(0).content() = vec![depth];
            *s.child(DELEGATION).child(2).content() = vec![6, modes];
        })
    };
    for right in [(0, 0x80), (0, 0), (1, 0xc0), (7, 0x40)] {
        depth(right.0, right.1).unwrap();
    }
    for wrong in [(8, 0xc0), (0, 0xc0), (0, 0x40), (1, 0x80), (1, 0), (0xff, 0xc0)] {
        assert!(depth(wrong.0, wrong.1).is_err(), "{wrong:?}");
    }
}

/// WIRE 1: bit lists have their size and zero padding.
#[test]
fn bit_lists_of_another_size_or_with_padding_bits_are_refused() {
    for wrong in [
        vec![1, 0x81],
        vec![0, 0x80],
        vec![2, 0x80],
        vec![7, 0x80],
        vec![1, 0],
        vec![1, 0x80, 0],
        vec![0],
        vec![],
        vec![9, 0x80],
        vec![1],
    ] {
        assert!(
            decoded(|s| *s.path(&[SCHEDULE, 1, 0, 0]).content() = wrong.clone()).is_err(),
            "days {wrong:?}"
        );
    }
    for wrong in [vec![6, 0xe0], vec![6, 0xc1], vec![7, 0x80], vec![0, 0xc0], vec![5, 0xc0], vec![6, 0xc0, 0]]
    {
        assert!(decoded(|s| *s.path(&[DELEGATION, 2]).content() = wrong.clone()).is_err(), "modes {wrong:?}");
    }
}

/// WIRE 1: alphabets.
#[test]
fn texts_outside_their_alphabets_are_refused() {
    for wrong in ["eur", "EU", "1EU", "EUR ", "EU-R", "ABCDEFGHIJKLM", "", "EÜR"] {
        assert!(
            decoded(|s| *s.path(&[LIMITS, 0, 1]).content() = wrong.as_bytes().to_vec()).is_err(),
            "{wrong}"
        );
    }
    for wrong in
        ["A", "a b", "a:", ":a", "a::b", "a:*:b", "a*", "**", ":*", "", "а", "a\u{ff1a}b", "-a", "a:\0"]
    {
        field(decoded(|s| *s.path(&[DENIED, 0]).content() = wrong.as_bytes().to_vec()), "denied");
    }
    for wrong in ["*", "sha256:*", "sha256:abc", " a", "a ", "Müller", "a\tb", "\u{7f}"] {
        field(decoded(|s| *s.path(&[PARTIES, 1, 1, 0]).content() = wrong.as_bytes().to_vec()), "names");
    }
    let upper = format!("sha256:{}", "AB".repeat(32));
    field(decoded(|s| *s.path(&[PARTIES, 1, 1, 0]).content() = upper.into_bytes()), "names");
    for wrong in [vec![0xff, 0xfe], vec![0xc0, 0x80], vec![0x61, 0xcc]] {
        assert!(decoded(|s| *s.path(&[ACTIONS, 0]).content() = wrong.clone()).is_err(), "{wrong:?}");
        let zone = Der::leaf(0x81, wrong);
        assert!(decoded(|s| *s.path(&[SCHEDULE, 0]) = zone).is_err());
    }
}

/// WIRE 1: a rule that can never apply makes the scope invalid at decode too.
#[test]
fn a_rule_for_actions_that_cannot_happen_is_refused() {
    let unreachable = |text: &str| {
        let result = decoded(|s| *s.path(&[RESOURCES, 0, 0, 0]).content() = text.as_bytes().to_vec());
        assert!(
            matches!(result, Err(DecodeError::Scope(ScopeError::Unreachable { .. }))),
            "{text}: {result:?}"
        );
    };
    for wrong in ["b:*", "a", "a:x", "a:y", "payments", "payments:send:*"] {
        unreachable(wrong);
    }
    for right in ["*", "a:*", "a:x:*", "a:z", "payments:*"] {
        decoded(|s| *s.path(&[RESOURCES, 0, 0, 0]).content() = right.as_bytes().to_vec()).unwrap();
    }
}

/// C7 loads; that it denies stands with the leash.
#[test]
fn an_unknown_condition_loads() {
    assert_eq!(decoded(|_| {}).unwrap().parts().conditions.len(), 2);
}

#[test]
fn an_unknown_zone_loads_and_never_compiles() {
    // The last five are files that lie beside the zones on some machines and mean something else on each.
    for zone in [
        "Mars/Olympus",
        "europe/berlin",
        "Etc/Unknown",
        "../etc/passwd",
        "localtime",
        "posixrules",
        "Factory",
        "posix/Europe/Berlin",
        "right/Europe/Berlin",
    ] {
        let scope = decoded(|s| *s.path(&[SCHEDULE, 0]) = Der::text(0x81, zone)).unwrap();
        assert!(scope.parts().schedule.as_ref().unwrap().zone.load().is_err(), "{zone}");
    }
}

/// No byte that is flipped panics, and what is accepted encodes to itself.
#[test]
fn whatever_is_accepted_encodes_to_itself() {
    let bytes = whole().encode();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            if let Ok(scope) = Scope::from_der(&flipped) {
                assert_eq!(scope.to_der(), flipped);
            }
        }
    }
}

const ACTIONS: usize = 2;
const DENIED: usize = 3;
const LIMITS: usize = 4;
const PARTIES: usize = 5;
const RESOURCES: usize = 6;
const SCHEDULE: usize = 7;
const RATES: usize = 8;
const DELEGATION: usize = 9;
const CONDITIONS: usize = 10;

/// The windows of the limit that has some; the longer one comes last.
fn windows(scope: &mut Der) -> &mut Der {
    scope.path(&[LIMITS, 1]).tagged(0xa1)
}

fn window(scope: &mut Der) -> &mut Der {
    windows(scope).child(0)
}

fn detached(scope: &mut Der) -> &mut Der {
    scope.path(&[PARTIES, 0, 1])
}

fn name_rule_with(scope: &mut Der, tag: u8) -> &mut Der {
    scope.path(&[PARTIES, 1]).tagged(tag)
}

fn integer(number: i64) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let spare = |at: &usize| {
        let (this, next) = (octets[*at], octets[*at + 1]);
        (this == 0 && next < 0x80) || (this == 0xff && next >= 0x80)
    };
    let start = (0..7).take_while(spare).count();
    octets[start..].to_vec()
}

#[track_caller]
fn is_size(result: Result<Scope, DecodeError>) {
    assert!(matches!(result, Err(DecodeError::Scope(ScopeError::Size { .. }))), "{result:?}");
}

#[track_caller]
fn field(result: Result<Scope, DecodeError>, name: &'static str) {
    assert_eq!(result, Err(DecodeError::Field(name)));
}
