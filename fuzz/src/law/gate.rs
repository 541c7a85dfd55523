//! The gate: what an owner asks of an agent before it is promoted, and a scope that is suggested of what one did.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use kakunin_core::decision::Decision;
use kakunin_core::gate::{GatePolicy, Stricter};
use kakunin_core::id::ChainId;
use kakunin_core::journal::{DecisionEntry, Identity, Journal, JournalOptions};
use kakunin_core::leash::Leash;
use kakunin_core::receipt::{ListUse, Mode, Outcome, Stamp};
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::risk::RiskLevel;
use kakunin_core::scope::{CanonicalName, DraftScope, NameLists, NameRule, NameSet};
use kakunin_core::suggest::Observed;
use kakunin_core::verify::{Verdict, Verification};

use crate::authority::{agent_id, now};
use crate::world::{signer, world};

/// What is refused is refused at a line that there is, in one line. What is taken asks for some calls and a level that can
/// fail, an empty line in front changes nothing of it, and nobody asks for less beside it.
pub(super) fn policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let below = (!text.starts_with('\u{feff}')).then(|| GatePolicy::from_toml(&format!("\n{text}")));
    match GatePolicy::from_toml(text) {
        Err(error) => {
            assert!((1..=text.lines().count().max(1) + 1).contains(&error.line), "{error:?}");
            assert!(!error.what.is_empty() && !error.what.contains('\n'), "{error:?}");
            if let Some(below) = below {
                assert_eq!(below.unwrap_err().line, error.line + 1, "{error:?}");
            }
        }
        Ok(policy) => {
            assert!(policy.min_calls() >= 1);
            assert!((RiskLevel::Watch..=RiskLevel::Suspend).contains(&policy.fail_on()));
            if let Some(below) = below {
                assert_eq!(below.unwrap().digest(), policy.digest());
            }
            let asking = |calls| Stricter { min_calls: Some(calls), ..Stricter::default() };
            let (less, more) = (policy.min_calls() - 1, policy.min_calls().saturating_add(1));
            assert!(policy.clone().stricter(&asking(less)).is_err());
            assert_eq!(policy.clone().stricter(&asking(more)).unwrap().min_calls(), more);
            assert_eq!(policy.clone().stricter(&Stricter::default()).unwrap().digest(), policy.digest());
        }
    }
}

/// Calls that an agent makes in observe mode, one a line: minutes since the one before, action, amount, currency, counterparties
/// and resources, with `|` between them, and `&` between names. A `#` in front of an amount has it in minor units.
///
/// What is suggested is read as it is written, allows each call that it rests on, and names nothing that was not seen.
pub(super) fn suggestion(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let calls: Vec<Asked<'_>> = text.lines().take(MOST_CALLS).map(Asked::read).collect();
    let Some(observed) = observed(&calls) else { return };
    let Ok(suggestion) = observed.suggest() else { return };
    let draft = DraftScope::parse(suggestion.toml(), &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let scope = draft.for_agent(suggestion.agent()).unwrap();
    assert_eq!(&scope, suggestion.scope());
    let said: BTreeSet<&str> = scope.parts().actions.iter().map(|pattern| pattern.as_str()).collect();
    let seen: BTreeSet<&str> = calls.iter().map(|call| call.action).collect();
    assert!(said.is_subset(&seen), "{said:?} beyond {seen:?}");
    for (rules, names) in [
        (&scope.parts().parties, canonical(calls.iter().flat_map(|call| &call.parties))),
        (&scope.parts().resources, canonical(calls.iter().flat_map(|call| &call.resources))),
    ] {
        for rule in rules {
            for name in names_of(rule, draft.lists()) {
                assert!(names.contains(&name), "`{name}` was never seen");
            }
        }
    }
    if !suggestion.unseen().iter().any(|what| what.contains("no scope can allow")) {
        assert!(
            suggestion.denied_now().is_empty(),
            "{:?} by\n{}",
            suggestion.denied_now(),
            suggestion.toml()
        );
    }
}

/// A call, as a line says it.
struct Asked<'t> {
    minutes: i64,
    action: &'t str,
    amount: Option<&'t str>,
    currency: Option<&'t str>,
    parties: Vec<&'t str>,
    resources: Vec<&'t str>,
}

impl<'t> Asked<'t> {
    fn read(line: &'t str) -> Self {
        let mut parts = line.split('|');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        // So that all of them are within the life of the certificate.
        let minutes = next().and_then(|part| part.parse::<u8>().ok()).map_or(1, |part| i64::from(part % 76));
        let names = |part: Option<&'t str>| part.map(|part| part.split('&').collect()).unwrap_or_default();
        Self {
            minutes,
            action: next().unwrap_or_default(),
            amount: next(),
            currency: next(),
            parties: names(next()),
            resources: names(next()),
        }
    }

    fn request(&self) -> ActionRequest<'_> {
        ActionRequest {
            action: self.action,
            amount: match self.amount {
                None => Amount::Absent,
                Some(text) => match text.strip_prefix('#').and_then(|minor| minor.parse().ok()) {
                    Some(minor) => Amount::Minor(minor),
                    None => Amount::Decimal(text),
                },
            },
            currency: self.currency,
            counterparties: named(&self.parties),
            resources: named(&self.resources),
        }
    }
}

fn named<'a>(names: &'a [&'a str]) -> Names<'a> {
    match names {
        [] => Names::Absent,
        [one] => Names::One(one),
        many => Names::Many(many),
    }
}

/// Names as a certificate has them.
fn canonical<'c>(names: impl Iterator<Item = &'c &'c str>) -> BTreeSet<String> {
    names
        .filter_map(|name| {
            let name = CanonicalName::new(name).ok()?;
            Some(String::from_utf8(name.as_bytes().to_vec()).unwrap())
        })
        .collect()
}

fn names_of(rule: &NameRule, lists: &NameLists) -> Vec<String> {
    assert!(rule.deny.is_none());
    match &rule.allow {
        NameSet::Inline(entries) => entries.iter().map(|entry| entry.as_str().to_owned()).collect(),
        NameSet::Detached { root, .. } => lists.get(root).unwrap().names().to_vec(),
    }
}

/// What is observed of the calls, when they were journaled and verified.
fn observed(calls: &[Asked<'_>]) -> Option<Observed> {
    thread_local!(static LEASH: OnceCell<Leash> = const { OnceCell::new() });
    let (world, folder) = (world(), tempfile::tempdir().unwrap());
    let lists = world.authority.lists();
    let verified = world.authority.verify(&world.agent, &lists).unwrap();
    let identity = Identity {
        agent: agent_id(),
        certificate: world.agent.clone(),
        chain: vec![world.authority.issuing.clone()],
        signer: signer(3),
    };
    let journal = Journal::open_with(folder.path(), identity, stamp(0), JournalOptions::default()).unwrap();
    for list in [verified.lists().issuing(), verified.lists().root()] {
        journal.archive_list(list.der(), &list.digest()).unwrap();
    }
    let mut minutes = 0;
    for call in calls {
        minutes += call.minutes;
        let (request, at) = (call.request(), stamp(minutes));
        let decision = LEASH.with(|leash| {
            let leash = leash.get_or_init(|| Leash::compile(&verified, &NameLists::default()).unwrap());
            leash.decide(&request, now().to_millis())
        });
        let recorded = journal.decision(&DecisionEntry {
            caller: None,
            decision: &decision,
            request: &request,
            list: Some(ListUse::of(verified.lists().issuing())),
            mode: Mode::Observe,
            chain: Some(ChainId::from_bytes([0xc4; 16])),
            parents: &[],
            trace: None,
            stamp: at,
        });
        if matches!(decision, Decision::Allow(_)) {
            journal.outcome(recorded.unwrap(), Outcome::Returned, None, at).unwrap();
        } else {
            drop(recorded.unwrap());
        }
    }
    journal.close(stamp(minutes)).unwrap();
    let mut observed = Observed::default();
    let terms = Verification::by(&world.anchors);
    let report = terms.journals(&[folder.path()], Vec::new(), &mut observed).ok()?;
    assert!(!matches!(report.verdict(), Verdict::Invalid(_)), "{:?}", report.verdict());
    Some(observed)
}

fn stamp(minutes: i64) -> Stamp {
    Stamp {
        micros: (now().seconds() + minutes * 60) * 1_000_000,
        boot: [0xb0; 16],
        mono_nanos: 1_000_000_000_000 + u64::try_from(minutes).unwrap() * 60_000_000_000,
    }
}

pub(crate) fn policies() -> Vec<Vec<u8>> {
    [
        POLICY,
        "",
        "fail_on = \"suspend\"\ntolerate = []\n",
        "min_calls = 0\n",
        "observe = \"accept\"\nmax_age = \"90s\"\n",
        "[[allowed]]\naction = \"a\"\ncode = \"scope.action\"\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) fn weeks() -> Vec<Vec<u8>> {
    let many = (0..40).map(|name| format!("9|orders:create|1.0{}|EUR|party-{name}\n", name % 10)).collect();
    let night = (0..60).map(|hour| format!("1{}1|read:mail||||mail/{hour}\n", hour % 7)).collect();
    [
        "1|payments:send|12.50|EUR|acme\n2|payments:send|12500.00|EUR|acme&initech\n3|write:drafts||||draft/7\n4|read:mail\n".to_owned(),
        "1|payments:send|#1250|EUR|acme\n1|payments:send|3|EUR\n1|read:x|1.5|JPY\n1|read:x\n1|read:x|||Grüße \"] # x&acme\n".to_owned(),
        "1|a:b|1.005|EUR|a:*\n1|a:b|9223372036854775807|XBT|acme\n1|a:b|9223372036854775807|XBT|acme\n".to_owned(),
        "1|A|x|eur| \n\n1|orders:create|0|EUR|\n".to_owned(),
        many,
        night,
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// A journal takes its time, and a week of an agent in observe mode is no different with more.
const MOST_CALLS: usize = 64;

const POLICY: &str = r#"fail_on = "watch"
max_age = "14d"
min_calls = 30
max_list_age = "24h"
observe = "refuse"
tolerate = ["tail.not_witnessed", "stream.open"]
baseline = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
risk_policy = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
promoted = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
[[approve]]
from = "none"
to = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
by = "Ada, change 4711"
until = "2026-12-31T00:00:00Z"
[[explained]]
receipt = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
by = "Ada, incident 12"
until = "2026-12-31T00:00:00Z"
[[allowed]]
action = "payments:send"
amount = "12.50"
currency = "EUR"
counterparty = "acme"
[[denied]]
action = "payments:send"
amount = "12500.00"
currency = "EUR"
counterparty = ["acme", "globex"]
at = "2026-12-31T00:00:00Z"
code = "scope.amount"
"#;
