//! What an owner decides about risk: how many false alarms are bearable, what leads to which level, what is a write.
//!
//! People write TOML; an unknown key is an error with its line, because a misspelt threshold would be no threshold. What
//! is hashed is the canonical text, which has every value in it, so that two files that mean the same have one digest.

use super::feature::{Feature, HardFact};
use super::level::RiskLevel;
use crate::digest::Digest;
use crate::json::ObjectWriter;
use crate::scope::{AuthorError, DocumentNode, DocumentValue, Pattern, document_from_toml};

/// The terms by which behaviour is judged. [`RiskPolicy::default`] is what holds without a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskPolicy {
    run_length: u64,
    half_life: u64,
    window: u64,
    repeat_within: u64,
    reads: Vec<Pattern>,
    writes: Vec<Pattern>,
    canaries: Vec<Pattern>,
    off: Vec<Feature>,
    highest: RiskLevel,
    step_up: u16,
    suspend: u16,
    suspend_calls: u64,
    revoke: u16,
    revoke_calls: u64,
    held_hours: u64,
    facts: Vec<(HardFact, RiskLevel)>,
    baseline_calls: u64,
    baseline_days: u64,
    baseline_least: u64,
}

impl Default for RiskPolicy {
    fn default() -> Self {
        Self {
            run_length: 4_000,
            half_life: 24 * HOUR,
            window: 50,
            repeat_within: 100,
            reads: Vec::new(),
            writes: Vec::new(),
            canaries: Vec::new(),
            off: Vec::new(),
            highest: RiskLevel::Revoke,
            step_up: 500,
            suspend: 750,
            suspend_calls: 30,
            revoke: 900,
            revoke_calls: 100,
            held_hours: 0,
            facts: HardFact::ALL.into_iter().map(|fact| (fact, RiskLevel::Revoke)).collect(),
            baseline_calls: 500,
            baseline_days: 14,
            baseline_least: 100,
        }
    }
}

impl RiskPolicy {
    /// Reads a policy file. What it does not say is as in [`RiskPolicy::default`].
    ///
    /// # Errors
    /// [`AuthorError`] with the line of the first thing that is wrong, and what to write instead.
    pub fn from_toml(text: &str) -> Result<Self, AuthorError> {
        let mut policy = Self::default();
        for (line, key, node) in table(document_from_toml(text)?)? {
            match key.as_str() {
                "average_run_length" => policy.run_length = whole(&node, 100, 10_000_000)?,
                "half_life_hours" => policy.half_life = whole(&node, 1, 8_784)? * HOUR,
                "window" => policy.window = whole(&node, 10, 10_000)?,
                "repeat_within" => policy.repeat_within = whole(&node, 1, 100_000)?,
                "reads" => policy.reads = patterns(node)?,
                "writes" => policy.writes = patterns(node)?,
                "canaries" => policy.canaries = patterns(node)?,
                "off" => policy.off = features(node)?,
                "highest" => policy.highest = level(&node)?,
                "step_up" => {
                    for (line, key, node) in table(node)? {
                        match key.as_str() {
                            "score" => policy.step_up = score(&node)?,
                            _ => return Err(unknown(line, &key, "score")),
                        }
                    }
                }
                "suspend" => {
                    for (line, key, node) in table(node)? {
                        match key.as_str() {
                            "score" => policy.suspend = score(&node)?,
                            "calls" => policy.suspend_calls = whole(&node, 1, 1_000_000)?,
                            _ => return Err(unknown(line, &key, "score, calls")),
                        }
                    }
                }
                "revoke" => {
                    for (line, key, node) in table(node)? {
                        match key.as_str() {
                            "score" => policy.revoke = score(&node)?,
                            "calls" => policy.revoke_calls = whole(&node, 1, 1_000_000)?,
                            "held_hours" => policy.held_hours = whole(&node, 0, 8_784)?,
                            _ => return Err(unknown(line, &key, "score, calls, held_hours")),
                        }
                    }
                }
                "facts" => policy.read_facts(node)?,
                "baseline" => {
                    for (line, key, node) in table(node)? {
                        match key.as_str() {
                            "calls" => policy.baseline_calls = whole(&node, 30, 1_000_000)?,
                            "days" => policy.baseline_days = whole(&node, 0, 366)?,
                            "least" => policy.baseline_least = whole(&node, 30, 1_000_000)?,
                            _ => return Err(unknown(line, &key, "calls, days, least")),
                        }
                    }
                }
                _ => return Err(unknown(line, &key, KEYS)),
            }
        }
        if policy.step_up > policy.suspend || policy.suspend > policy.revoke {
            let line = text.lines().count().max(1);
            let fix = "write scores that do not fall: step_up, then suspend, then revoke";
            return Err(AuthorError::new(line, "a higher level is reached by a lower score", fix));
        }
        Ok(policy)
    }

    fn read_facts(&mut self, node: DocumentNode) -> Result<(), AuthorError> {
        for (line, key, node) in table(node)? {
            let known = HardFact::ALL.map(HardFact::word).join(", ");
            let fact = HardFact::from_word(&key).ok_or_else(|| unknown(line, &key, &known))?;
            let level = level(&node)?;
            if level < RiskLevel::Suspend {
                let fix = "write \"suspend\" or \"revoke\": a hard fact is no hint";
                return Err(AuthorError::new(node.line, &format!("`{key}` leads to {level}"), fix));
            }
            for (its, leads_to) in &mut self.facts {
                if *its == fact {
                    *leads_to = level;
                }
            }
        }
        Ok(())
    }

    /// Every value in one spelling: exact JSON, keys ascending.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        object.number("average_run_length", self.run_length);
        object.object("baseline", |object| {
            object.number("calls", self.baseline_calls);
            object.number("days", self.baseline_days);
            object.number("least", self.baseline_least);
        });
        object.text("canaries", &words(&self.canaries, Pattern::as_str));
        object.object("facts", |object| {
            let mut facts: Vec<(&str, &str)> =
                self.facts.iter().map(|(fact, level)| (fact.word(), level.word())).collect();
            facts.sort_unstable();
            for (fact, level) in facts {
                object.text(fact, level);
            }
        });
        object.number("half_life_ms", self.half_life);
        object.text("highest", self.highest.word());
        object.text("off", &words(&self.off, |feature| feature.word()));
        object.text("reads", &words(&self.reads, Pattern::as_str));
        object.number("repeat_within", self.repeat_within);
        object.object("revoke", |object| {
            object.number("calls", self.revoke_calls);
            object.number("held_hours", self.held_hours);
            object.number("score", u64::from(self.revoke));
        });
        object.number("step_up", u64::from(self.step_up));
        object.object("suspend", |object| {
            object.number("calls", self.suspend_calls);
            object.number("score", u64::from(self.suspend));
        });
        object.number("version", VERSION);
        object.number("window", self.window);
        object.text("writes", &words(&self.writes, Pattern::as_str));
        object.close();
        // INVARIANT: patterns and words are ASCII.
        String::from_utf8(out).unwrap_or_default()
    }

    /// SHA-256 of [`RiskPolicy::to_text`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_text().as_bytes())
    }

    /// Whether an action changes something. `writes` of the policy comes first, then `reads`; what neither names is a read
    /// if its first segment, or the first word of its last one, says so (`read:mail`, `bank:get_balance`), else a write.
    #[must_use]
    pub fn is_write(&self, action: &str) -> bool {
        let names = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.covers_name(action));
        if names(&self.writes) {
            return true;
        }
        !names(&self.reads) && !reads_by_its_name(action)
    }

    /// Whether so much was seen that a baseline may be frozen: `calls` allowed calls and `days` days, whichever is later.
    #[must_use]
    pub const fn is_ripe(&self, allowed: u64, millis: u64) -> bool {
        allowed >= self.baseline_calls && millis / DAY >= self.baseline_days
    }

    /// The highest level that statistics may lead to. Hard facts have levels of their own.
    #[must_use]
    pub const fn highest(&self) -> RiskLevel {
        self.highest
    }

    /// Where a hard fact leads.
    #[must_use]
    pub fn level_of(&self, fact: HardFact) -> RiskLevel {
        let its = self.facts.iter().find(|(its, _)| *its == fact);
        its.map_or(RiskLevel::Revoke, |(_, level)| *level)
    }

    pub(super) fn is_canary(&self, action: &str) -> bool {
        self.canaries.iter().any(|pattern| pattern.covers_name(action))
    }

    pub(super) fn looks_at(&self, feature: Feature) -> bool {
        !self.off.contains(&feature)
    }

    pub(super) const fn run_length(&self) -> u64 {
        self.run_length
    }

    /// Milliseconds.
    pub(super) const fn half_life(&self) -> u64 {
        self.half_life
    }

    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    pub(super) const fn repeat_within(&self) -> u64 {
        self.repeat_within
    }

    /// The score from which on a level is reached.
    #[must_use]
    pub const fn score_of(&self, level: RiskLevel) -> u16 {
        match level {
            RiskLevel::Clear => 0,
            RiskLevel::Watch => ALARM,
            RiskLevel::StepUp => self.step_up,
            RiskLevel::Suspend => self.suspend,
            RiskLevel::Revoke => self.revoke,
        }
    }

    /// The calls before which a level is not reached by statistics.
    pub(super) const fn calls_of(&self, level: RiskLevel) -> u64 {
        match level {
            RiskLevel::Suspend => self.suspend_calls,
            RiskLevel::Revoke => self.revoke_calls,
            _ => 0,
        }
    }

    /// Hours after which whoever is held and not released is revoked; 0 is never.
    pub(super) const fn held_hours(&self) -> u64 {
        self.held_hours
    }

    /// The allowed calls without which nothing is learned.
    #[must_use]
    pub const fn least_calls(&self) -> u64 {
        self.baseline_least
    }
}

fn reads_by_its_name(action: &str) -> bool {
    let is_read = |word: &str| READS.contains(&word);
    let (first, last) = (action.split(':').next(), action.rsplit(':').next());
    let opening = last.and_then(|segment| segment.split(['_', '-', '.']).next());
    action.contains(':') && first.is_some_and(is_read) || opening.is_some_and(is_read)
}

fn words<T>(items: &[T], word: impl Fn(&T) -> &str) -> String {
    let mut words: Vec<&str> = items.iter().map(word).collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

fn table(node: DocumentNode) -> Result<Vec<(usize, String, DocumentNode)>, AuthorError> {
    match node.value {
        DocumentValue::Table(entries) => {
            Ok(entries.into_iter().map(|(key, node)| (key.line, key.name, node)).collect())
        }
        other => Err(AuthorError::new(
            node.line,
            &format!("{other} stands here"),
            "write a table of keys and values",
        )),
    }
}

fn unknown(line: usize, key: &str, known: &str) -> AuthorError {
    AuthorError::new(line, &format!("unknown key `{key}`"), &format!("known here: {known}"))
}

fn whole(node: &DocumentNode, least: u64, most: u64) -> Result<u64, AuthorError> {
    let fix = format!("write a whole number from {least} to {most}");
    match node.value {
        DocumentValue::Whole(number) => u64::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| AuthorError::new(node.line, &format!("{number} is out of range"), &fix)),
        ref other => Err(AuthorError::new(node.line, &format!("{other} stands here"), &fix)),
    }
}

/// A score is out of 1000, and one alarm alone is [`ALARM`].
fn score(node: &DocumentNode) -> Result<u16, AuthorError> {
    Ok(u16::try_from(whole(node, u64::from(ALARM), 1000)?).unwrap_or(1000))
}

fn text(node: &DocumentNode) -> Result<&str, AuthorError> {
    match &node.value {
        DocumentValue::Text(text) => Ok(text),
        other => Err(AuthorError::new(node.line, &format!("{other} stands here"), "write a quoted string")),
    }
}

fn level(node: &DocumentNode) -> Result<RiskLevel, AuthorError> {
    let word = text(node)?;
    let known = RiskLevel::ALL.map(RiskLevel::word).join(", ");
    RiskLevel::from_word(word).ok_or_else(|| {
        AuthorError::new(node.line, &format!("`{word}` is no level"), &format!("write one of {known}"))
    })
}

fn list(node: DocumentNode) -> Result<Vec<DocumentNode>, AuthorError> {
    match node.value {
        DocumentValue::List(items) => Ok(items),
        other => {
            Err(AuthorError::new(node.line, &format!("{other} stands here"), "write a list in brackets"))
        }
    }
}

fn patterns(node: DocumentNode) -> Result<Vec<Pattern>, AuthorError> {
    let read = |node: DocumentNode| {
        let word = text(&node)?;
        Pattern::parse(word).ok_or_else(|| {
            let fix =
                "write lower-case segments joined by colons, with at most a final `:*`, for example read:*";
            AuthorError::new(node.line, &format!("`{word}` is no action pattern"), fix)
        })
    };
    list(node)?.into_iter().map(read).collect()
}

fn features(node: DocumentNode) -> Result<Vec<Feature>, AuthorError> {
    let known: Vec<&str> =
        Feature::ALL.into_iter().map(Feature::word).filter(|it| *it != "hard-fact").collect();
    let read = |node: DocumentNode| {
        let word = text(&node)?;
        Feature::from_word(word).filter(|feature| *feature != Feature::HardFact).ok_or_else(|| {
            let fix = format!("write one of {}", known.join(", "));
            AuthorError::new(node.line, &format!("`{word}` is no feature that can be off"), &fix)
        })
    };
    list(node)?.into_iter().map(read).collect()
}

/// The score of one chart that is at its threshold: an alarm.
pub(super) const ALARM: u16 = 400;

/// First words of names that change nothing.
const READS: [&str; 10] =
    ["read", "get", "list", "search", "view", "query", "fetch", "find", "check", "lookup"];

const KEYS: &str = "average_run_length, half_life_hours, window, repeat_within, reads, writes, canaries, off, highest, step_up, suspend, revoke, facts, baseline";

const HOUR: u64 = 3_600_000;
pub(super) const DAY: u64 = 24 * HOUR;

/// The meaning of the values; another engine is another version.
const VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(RiskPolicy::from_toml("").unwrap(), RiskPolicy::default());
        assert_eq!(RiskPolicy::from_toml("window = 50\n").unwrap().digest(), RiskPolicy::default().digest());
        assert_ne!(RiskPolicy::from_toml("window = 51\n").unwrap().digest(), RiskPolicy::default().digest());
    }

    #[test]
    fn two_files_that_mean_the_same_have_one_digest() {
        let one = RiskPolicy::from_toml("reads = [\"a:b\", \"c:*\"]\n[suspend]\nscore = 800\n").unwrap();
        let other = RiskPolicy::from_toml("[suspend]\nscore = 800 # later\n").unwrap();
        assert_ne!(one.digest(), other.digest());
        let again =
            RiskPolicy::from_toml("reads = [\"c:*\", \"a:b\", \"a:b\"]\n\n[suspend]\nscore = 800\n").unwrap();
        assert_eq!(one.digest(), again.digest());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, part) in [
            ("window = 50\nwindows = 2\n", 2, "unknown key `windows`"),
            ("\n[suspend]\nscore = 800\nfeatures = 3\n", 4, "unknown key `features`"),
            ("window = 5\n", 1, "out of range"),
            ("window = -1\n", 1, "out of range"),
            ("window = 1.5\n", 1, "whole number"),
            ("window = \"50\"\n", 1, "a string stands here"),
            ("reads = [\"Read:*\"]\n", 1, "no action pattern"),
            ("reads = \"read:*\"\n", 1, "list in brackets"),
            ("highest = \"kill\"\n", 1, "no level"),
            ("off = [\"hard-fact\"]\n", 1, "no feature that can be off"),
            ("\n[facts]\nback-dated = \"watch\"\n", 3, "leads to watch"),
            ("\n[facts]\nbackdated = \"revoke\"\n", 3, "unknown key"),
            ("[step_up]\nscore = 900\n[suspend]\nscore = 800\n", 4, "lower score"),
            ("[step_up]\nscore = 100\n", 2, "out of range"),
            ("step_up = 500\n", 1, "a table of keys"),
            ("window = \n", 1, ""),
        ] {
            let error = RiskPolicy::from_toml(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_not_known_to_read_writes() {
        let policy = RiskPolicy::default();
        for read in [
            "read:mail",
            "bank:get_balance",
            "get",
            "slack:list-channels",
            "files:search.all",
            "read:x:delete",
        ] {
            assert!(!policy.is_write(read), "{read}");
        }
        for write in
            ["payments:send", "bank:transfer", "readers:add", "getaway", "bank:forget_get", "-", "reading:x"]
        {
            assert!(policy.is_write(write), "{write}");
        }
        let own =
            RiskPolicy::from_toml("reads = [\"payments:*\"]\nwrites = [\"payments:send\", \"read:*\"]\n")
                .unwrap();
        assert!(own.is_write("payments:send") && own.is_write("read:mail") && !own.is_write("payments:plan"));
    }

    #[test]
    fn hard_facts_revoke_unless_the_policy_only_suspends() {
        let policy = RiskPolicy::from_toml("[facts]\nback-dated = \"suspend\"\n").unwrap();
        assert_eq!(policy.level_of(HardFact::BackDated), RiskLevel::Suspend);
        assert_eq!(policy.level_of(HardFact::CanaryTouched), RiskLevel::Revoke);
        assert_eq!(RiskPolicy::default().highest(), RiskLevel::Revoke);
    }

    #[test]
    fn a_baseline_is_ripe_after_calls_and_days_whichever_is_later() {
        let policy = RiskPolicy::default();
        assert!(policy.is_ripe(500, 14 * DAY));
        assert!(!policy.is_ripe(499, 400 * DAY) && !policy.is_ripe(u64::MAX, 14 * DAY - 1));
    }
}
