//! The judge of this machine: patterns and sums, the same answer for the same text.

use std::sync::OnceLock;

use regex_lite::Regex;

use super::table::{Asks, Entry, TABLE};
use super::{Finding, Judge, Judgement, Judging};

/// The table.
pub(crate) struct Local;

impl Local {
    /// What the table finds.
    pub(crate) fn look(text: &str) -> Judgement {
        let found = patterns().iter().filter_map(|(entry, pattern)| {
            let matches = pattern.find_iter(text).filter(|found| holds(entry.asks, found.as_str()));
            let count = u32::try_from(matches.take(MOST_COUNTED).count()).unwrap_or(u32::MAX);
            (count > 0).then(|| Finding { kind: entry.kind, what: entry.what.to_owned(), count })
        });
        Judgement::new(found.collect())
    }
}

impl Judge for Local {
    fn name(&self) -> &str {
        LOCAL
    }

    fn judge<'a>(&'a self, text: &'a str) -> Judging<'a> {
        let judged = Self::look(text);
        Box::pin(std::future::ready(Ok(judged)))
    }
}

/// The patterns, compiled once.
fn patterns() -> &'static [(&'static Entry, Regex)] {
    static PATTERNS: OnceLock<Vec<(&'static Entry, Regex)>> = OnceLock::new();
    // A pattern that does not compile would find nothing; `every_pattern_compiles` sees to it that none does.
    PATTERNS.get_or_init(|| {
        TABLE.iter().filter_map(|entry| Some((entry, Regex::new(entry.pattern).ok()?))).collect()
    })
}

fn holds(asks: Asks, text: &str) -> bool {
    match asks {
        Asks::Nothing => true,
        Asks::Iban => is_iban(text),
        Asks::Luhn => is_card(text),
    }
}

/// The first four characters behind the others, letters as 10 to 35: the number leaves 1 when divided by 97.
fn is_iban(text: &str) -> bool {
    let letters: Vec<u32> = text.chars().filter_map(|letter| letter.to_digit(36)).collect();
    let (head, rest) = letters.split_at(letters.len().min(4));
    let left = rest.iter().chain(head).fold(0_u32, |left, digit| match digit {
        0..10 => (left * 10 + digit) % 97,
        _ => (left * 100 + digit) % 97,
    });
    (15..=34).contains(&letters.len()) && left == 1
}

/// Every second digit from the right doubled, and 9 taken off what has two digits: the sum ends in 0.
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|letter| letter.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    // A row of one digit is a placeholder.
    (13..=19).contains(&digits.len())
        && sum.is_multiple_of(10)
        && digits.windows(2).any(|two| two.first() != two.last())
}

pub(super) const LOCAL: &str = "local";
/// Beyond that it does not matter how many more there are.
const MOST_COUNTED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let Judgement(findings) = Local::look(text);
        findings.into_iter().map(|finding| format!("{} {}", finding.what, finding.count)).collect()
    }

    #[test]
    fn every_pattern_compiles() {
        for entry in &TABLE {
            assert!(Regex::new(entry.pattern).is_ok(), "{}", entry.what);
        }
        assert_eq!(patterns().len(), TABLE.len());
    }

    #[test]
    fn what_the_table_knows_is_found_and_counted() {
        for (text, what) in [
            ("-----BEGIN EC PRIVATE KEY-----\nMHc", "private-key 1"),
            ("key AKIAIOSFODNN7EXAMPLE.", "aws-access-key 1"),
            ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "github-token 1"),
            ("xoxb-123456789012-abc", "slack-token 1"),
            ("sk_live_0123456789abcdef", "payment-key 1"),
            ("sk-proj-0123456789abcdefghijklmn", "model-key 1"),
            ("kak_live_abcdefghijkl", "kakunin-key 1"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "json-web-token 1"),
            ("password: hunter2hunter2", "password 1"),
            ("pay DE89 3704 0044 0532 0130 00 and GB82WEST12345698765432", "iban 2"),
            ("card 4111 1111 1111 1111", "card-number 1"),
            ("ssn 078-05-1120", "us-social-security-number 1"),
            ("a@b.example, c.d+e@f.example", "email-address 2"),
            ("call +49 30 901820", "phone-number 1"),
            ("We guarantee delivery", "guarantee 1"),
            ("you have my word", "promise 1"),
            ("This is legally binding.", "contract 1"),
        ] {
            assert_eq!(found(text), [what], "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not_found() {
        for text in [
            "",
            "DE88 3704 0044 0532 0130 00",
            "4111 1111 1111 1112",
            "0000 0000 0000 0000",
            "order 2026-11-26, invoice 1234567890",
            "078-00-1120",
            "the warranty is a guarantee of the maker",
            "our password policy: change it",
            "AKIA",
        ] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_text_made_to_be_slow_is_not() {
        // What backtracks takes minutes here; this takes time in proportion to the text.
        let start = std::time::Instant::now();
        for piece in ["a.", "4 ", "DE12 ", "password:", "+1(", "eyJ"] {
            let _ = Local::look(&piece.repeat(20_000 / piece.len()));
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(60));
    }
}
