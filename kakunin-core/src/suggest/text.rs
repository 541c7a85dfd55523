//! The scope file, with what it rests on in comments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::rules::{HOUR, Named, Rules};

/// The file for `rules`.
pub(super) fn toml(rules: &Rules, head: &[String]) -> String {
    let mut out = String::new();
    for line in head {
        let _ = writeln!(out, "# {}", plain(line));
    }
    let actions: Vec<&String> = rules.actions.keys().collect();
    let _ = writeln!(out, "\nactions = [");
    for (action, seen) in &rules.actions {
        let _ = writeln!(out, "  {}, # {} calls", quoted(action), seen.calls);
    }
    let _ = writeln!(out, "]");
    // A table of hours ends the part of plain keys, so it stands before the lists of tables.
    let _ = writeln!(out, "\n[hours]\nzone = \"UTC\"\nslots = [{}]", joined(slots(&rules.hours).iter()));
    let _ = writeln!(
        out,
        "\n[[rate]] # all of them together, the most within a sliding hour\nfor = [{}]\nmax = {}\nseconds = {HOUR}",
        joined(actions.into_iter()),
        rules.most.minor(),
    );
    for (action, seen) in &rules.actions {
        for (currency, sums) in &seen.money {
            let _ = writeln!(
                out,
                "\n[[limit]]\nfor = [{}]\ncurrency = {}\nscale = {}\nper_action = {}\nper_day = {}",
                quoted(action),
                quoted(currency),
                sums.scale,
                quoted(&sums.largest.to_decimal(sums.scale)),
                quoted(&sums.day.to_decimal(sums.scale)),
            );
            if seen.without_amount {
                let _ = writeln!(out, "optional = true # some calls carried no amount");
            }
        }
    }
    names(&mut out, "counterparties", rules.actions.iter().map(|(action, seen)| (action, &seen.parties)));
    names(&mut out, "resources", rules.actions.iter().map(|(action, seen)| (action, &seen.resources)));
    out
}

/// Actions with the same names share a rule: a scope has 32 of them.
fn names<'a>(out: &mut String, kind: &str, all: impl Iterator<Item = (&'a String, &'a Named)>) {
    let mut shared: BTreeMap<(&BTreeSet<String>, bool), Vec<&String>> = BTreeMap::new();
    for (action, named) in all.filter(|(_, named)| !named.names.is_empty()) {
        shared.entry((&named.names, named.without)).or_default().push(action);
    }
    for ((names, without), actions) in shared {
        let _ = writeln!(
            out,
            "\n[[{kind}]]\nfor = [{}]\nallow = [{}]",
            joined(actions.into_iter()),
            joined(names.iter())
        );
        if without {
            let _ = writeln!(out, "optional = true # some calls named none");
        }
    }
}

/// The hours of the week as slots, a day each, days with the same hours together.
fn slots(hours: &BTreeSet<u16>) -> Vec<String> {
    let mut days: Vec<Vec<(u16, u16)>> = Vec::new();
    for day in 0..7 {
        let mut spans: Vec<(u16, u16)> = Vec::new();
        for hour in (0..24).filter(|hour| hours.contains(&(day * 24 + hour))) {
            match spans.last_mut() {
                Some((_, end)) if *end == hour => *end = hour + 1,
                _ => spans.push((hour, hour + 1)),
            }
        }
        days.push(spans);
    }
    let span = |days: &[Vec<(u16, u16)>]| -> Vec<(String, u16, u16)> {
        let mut by_span: BTreeMap<(u16, u16), Vec<&str>> = BTreeMap::new();
        for (spans, name) in days.iter().zip(DAYS) {
            for span in spans {
                by_span.entry(*span).or_default().push(name);
            }
        }
        by_span.into_iter().map(|((from, to), days)| (days.join(","), from, to)).collect()
    };
    let mut found = span(&days);
    // A scope has 32 slots at most; where more would be needed, each day from its first hour to its last.
    if found.len() > MOST_SLOTS {
        let hull = |spans: Vec<(u16, u16)>| -> Vec<(u16, u16)> {
            let ends = spans.first().zip(spans.last());
            ends.map(|(first, last)| (first.0, last.1)).into_iter().collect()
        };
        found = span(&days.into_iter().map(hull).collect::<Vec<_>>());
    }
    found.into_iter().map(|(days, from, to)| format!("{days} {from:02}:00-{to:02}:00")).collect()
}

fn joined<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    texts.map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}

/// A basic string of TOML. Names are anybody's: what could end it or a line is written as an escape.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() || !letter.is_ascii() => {
                let _ = write!(out, "\\U{:08X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Text in a comment, which ends with its line.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MOST_SLOTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_string() {
        let name = "a\"]\nactions = [\"*\"\\ \u{7f}é";
        let read: toml::Table = toml::from_str(&format!("x = {}", quoted(name))).unwrap();
        assert_eq!(read.get("x").and_then(|value| value.as_str()), Some(name));
    }

    #[test]
    fn days_with_the_same_hours_share_a_slot() {
        let hours = |days: std::ops::Range<u16>| {
            days.flat_map(|day| (9..17).map(move |hour| day * 24 + hour)).collect()
        };
        assert_eq!(slots(&hours(0..5)), ["Mon,Tue,Wed,Thu,Fri 09:00-17:00"]);
        assert_eq!(slots(&(0..168).collect()), ["Mon,Tue,Wed,Thu,Fri,Sat,Sun 00:00-24:00"]);
        let every_other: BTreeSet<u16> = (0..168).filter(|hour| (hour + hour / 24) % 2 == 0).collect();
        assert!(slots(&every_other).len() <= MOST_SLOTS);
    }
}
