//! The policy of a verifier (C2SP tlog-policy): which logs it accepts and which witnesses make a quorum.
//!
//! ```text
//! log <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group <name> all|any|<k> <name>...
//! quorum <name>|none
//! ```
//!
//! Takes in such a file, gives out the time at which a checkpoint had enough witnesses, if ever. Each name is a member
//! of one group at most, so no witness counts twice and judging takes one step for each line.

use std::collections::HashMap;

use super::checkpoint::OpenedCheckpoint;
use super::vkey::{KeyKind, VerifierKey, VerifierKeyError};
use crate::time::UnixTime;

/// Who has to have seen a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessPolicy {
    logs: Vec<VerifierKey>,
    voters: Vec<Voter>,
    quorum: Quorum,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Voter {
    Witness(VerifierKey),
    Group { needed: usize, members: Vec<usize> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    Nobody,
    Voter(usize),
}

impl WitnessPolicy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`] with the line.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, PolicyError> {
        let mut reading = Reading::default();
        let text = text.as_ref();
        for (line, octets) in (1..).zip(text.split(|octet| *octet == b'\n')) {
            let at = |what| PolicyError { line, what };
            if line > MAX_LINES {
                return Err(at(Wrong::TooLong));
            }
            if octets.iter().any(|octet| matches!(octet, 0..=8 | 10..=31 | 127)) {
                return Err(at(Wrong::Control));
            }
            let words = octets.split(|octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty());
            reading.take(&words.collect::<Vec<_>>()).map_err(at)?;
        }
        let last = PolicyError { line: text.split(|octet| *octet == b'\n').count(), what: Wrong::NoQuorum };
        let quorum = reading.quorum.ok_or(last)?;
        Ok(Self { logs: reading.logs, voters: reading.voters, quorum })
    }

    /// The logs it accepts; none means that they are known from elsewhere.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Every witness it knows, in a quorum or not.
    pub fn witnesses(&self) -> impl Iterator<Item = &VerifierKey> {
        self.voters.iter().filter_map(|voter| match voter {
            Voter::Witness(key) => Some(key),
            Voter::Group { .. } => None,
        })
    }
}

impl OpenedCheckpoint {
    /// The time at which enough witnesses of `policy` had seen this checkpoint; `None` when they have not, when the
    /// policy accepts other logs only, and when it asks for nobody: then nobody says what time it was.
    #[must_use]
    pub fn witnessed(&self, policy: &WitnessPolicy) -> Option<UnixTime> {
        if !policy.logs.is_empty() && !policy.logs.contains(self.log()) {
            return None;
        }
        let Quorum::Voter(quorum) = policy.quorum else { return None };
        // Members stand before their group, so one pass from the top knows them all.
        let mut times: Vec<Option<UnixTime>> = Vec::with_capacity(policy.voters.len());
        for voter in &policy.voters {
            let time = match voter {
                Voter::Witness(key) => self.cosigned_by(key),
                Voter::Group { needed, members } => {
                    let seen = members.iter().filter_map(|member| times.get(*member).copied().flatten());
                    let mut seen: Vec<UnixTime> = seen.collect();
                    seen.sort_unstable();
                    needed.checked_sub(1).and_then(|last| seen.get(last).copied())
                }
            };
            times.push(time);
        }
        times.get(quorum).copied().flatten()
    }
}

/// What was understood so far.
#[derive(Default)]
struct Reading {
    logs: Vec<VerifierKey>,
    voters: Vec<Voter>,
    names: HashMap<Vec<u8>, usize>,
    members: Vec<usize>,
    quorum: Option<Quorum>,
}

impl Reading {
    fn take(&mut self, words: &[&[u8]]) -> Result<(), Wrong> {
        match words {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] | [b"log", key, _] => {
                let key = read_key(key, KeyKind::Log)?;
                if self.logs.iter().any(|log| log.public() == key.public()) {
                    return Err(Wrong::Twice);
                }
                self.logs.push(key);
                Ok(())
            }
            [b"witness", name, key] | [b"witness", name, key, _] => {
                let key = read_key(key, KeyKind::Witness)?;
                let same =
                    |voter: &Voter| matches!(voter, Voter::Witness(other) if other.public() == key.public());
                if self.voters.iter().any(same) {
                    return Err(Wrong::Twice);
                }
                self.define(name, Voter::Witness(key))
            }
            [b"group", name, needed, members @ ..] if !members.is_empty() => {
                let members =
                    members.iter().map(|member| self.member(member)).collect::<Result<Vec<_>, _>>()?;
                let needed = match *needed {
                    b"all" => members.len(),
                    b"any" => 1,
                    number => read_count(number).filter(|k| *k <= members.len()).ok_or(Wrong::Threshold)?,
                };
                self.define(name, Voter::Group { needed, members })
            }
            [b"quorum", name] => {
                let quorum = match *name {
                    NOBODY => Quorum::Nobody,
                    name => Quorum::Voter(*self.names.get(name).ok_or(Wrong::UnknownName)?),
                };
                if self.quorum.replace(quorum).is_some() { Err(Wrong::SecondQuorum) } else { Ok(()) }
            }
            _ => Err(Wrong::Line),
        }
    }

    fn define(&mut self, name: &[u8], voter: Voter) -> Result<(), Wrong> {
        if name == NOBODY || self.names.insert(name.to_vec(), self.voters.len()).is_some() {
            return Err(Wrong::NameTaken);
        }
        self.voters.push(voter);
        Ok(())
    }

    fn member(&mut self, name: &[u8]) -> Result<usize, Wrong> {
        let member = *self.names.get(name).ok_or(Wrong::UnknownName)?;
        if self.members.contains(&member) {
            return Err(Wrong::MemberTwice);
        }
        self.members.push(member);
        Ok(member)
    }
}

fn read_key(word: &[u8], kind: KeyKind) -> Result<VerifierKey, Wrong> {
    let text = std::str::from_utf8(word).map_err(|_| Wrong::Kind)?;
    let key = VerifierKey::parse(text).map_err(Wrong::Key)?;
    if key.kind() == kind { Ok(key) } else { Err(Wrong::Kind) }
}

fn read_count(word: &[u8]) -> Option<usize> {
    let digits = word.iter().all(u8::is_ascii_digit).then_some(word)?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|count| *count > 0)
}

/// A policy that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the witness policy: {what}")]
pub struct PolicyError {
    line: usize,
    what: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Wrong {
    #[error("not one of log, witness, group, quorum with what belongs to it")]
    Line,
    #[error("a control character")]
    Control,
    #[error("more lines than a policy may have")]
    TooLong,
    #[error("{0}")]
    Key(VerifierKeyError),
    #[error("a witness's key for a log, or a log's for a witness")]
    Kind,
    #[error("the same public key a second time")]
    Twice,
    #[error("the name is taken")]
    NameTaken,
    #[error("a name that no line before defines")]
    UnknownName,
    #[error("a name that is a member of a group already")]
    MemberTwice,
    #[error("the number of members that is needed must lie between 1 and all")]
    Threshold,
    #[error("a second quorum")]
    SecondQuorum,
    #[error("no quorum; add a line such as quorum NAME")]
    NoQuorum,
}

const NOBODY: &[u8] = b"none";

/// A hundred times what must be accepted (32 logs, 32 witnesses, 32 groups).
const MAX_LINES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::super::checkpoint::LogKey;
    use super::super::cosign::WitnessKey;
    use super::*;
    use crate::digest::Digest;
    use crate::key::{Algorithm, Signer, SoftKey};

    fn signer() -> Signer {
        Signer::soft(SoftKey::generate(Algorithm::Ed25519).unwrap().0)
    }

    struct World {
        log: LogKey,
        witnesses: Vec<WitnessKey>,
    }

    impl World {
        fn new() -> Self {
            let witness = |number| WitnessKey::new(&format!("w.example/{number}"), signer()).unwrap();
            Self {
                log: LogKey::new("log.example/a", signer()).unwrap(),
                witnesses: (0..5).map(witness).collect(),
            }
        }

        /// The head of the log, cosigned by the witness of each place at its time.
        fn seen(&self, times: &[(usize, i64)]) -> OpenedCheckpoint {
            let mut opened =
                self.log.sign(1, Digest::of(b"root")).unwrap().open(self.log.verifier()).unwrap();
            for (witness, time) in times {
                let note = self.witnesses[*witness].cosign(&opened, UnixTime::from_seconds(*time)).unwrap();
                opened = note.open(self.log.verifier()).unwrap();
            }
            opened
        }

        fn lines(&self) -> String {
            let mut text = format!("# who counts\n\tlog {} https://log.example\n", self.log.verifier());
            for (number, witness) in (0..).zip(&self.witnesses) {
                text.push_str(&format!("witness W{number}\t{}\n", witness.verifier()));
            }
            text
        }
    }

    #[test]
    fn the_quorum_is_complete_with_the_last_witness_it_needs() {
        let world = World::new();
        let text = "group X 2 W0 W1 W2\ngroup Y any W3 W4\ngroup both all X Y\nquorum both\n";
        let policy = WitnessPolicy::parse(world.lines() + text).unwrap();
        for (times, expected) in [
            (&[][..], None),
            (&[(0, 10), (1, 20)], None),
            (&[(0, 10), (3, 20)], None),
            (&[(0, 10), (1, 30), (3, 20)], Some(30)),
            (&[(0, 10), (1, 30), (2, 15), (3, 20)], Some(20)),
            (&[(0, 10), (1, 30), (2, 40), (3, 60), (4, 50)], Some(50)),
        ] {
            let expected = expected.map(UnixTime::from_seconds);
            assert_eq!(world.seen(times).witnessed(&policy), expected, "{times:?}");
        }
    }

    #[test]
    fn one_witness_is_a_quorum_and_none_proves_no_time() {
        let world = World::new();
        let one = WitnessPolicy::parse(world.lines() + "quorum W2").unwrap();
        assert_eq!(world.seen(&[(1, 5)]).witnessed(&one), None);
        assert_eq!(world.seen(&[(1, 5), (2, 7)]).witnessed(&one), Some(UnixTime::from_seconds(7)));
        let none = WitnessPolicy::parse(world.lines() + "quorum none").unwrap();
        assert_eq!(world.seen(&[(1, 5), (2, 7)]).witnessed(&none), None);
    }

    #[test]
    fn a_policy_of_other_logs_accepts_no_checkpoint_of_this_one() {
        let (world, other) = (World::new(), World::new());
        let witness = world.witnesses[0].verifier();
        let text = format!("log {}\nwitness W {witness}\nquorum W\n", other.log.verifier());
        assert_eq!(world.seen(&[(0, 5)]).witnessed(&WitnessPolicy::parse(text).unwrap()), None);
        let anyone = format!("witness W {witness}\nquorum W\n");
        let policy = WitnessPolicy::parse(anyone).unwrap();
        assert_eq!(world.seen(&[(0, 5)]).witnessed(&policy), Some(UnixTime::from_seconds(5)));
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_line() {
        let world = World::new();
        let log = world.log.verifier();
        let same = VerifierKey::new(
            "w.example/other",
            KeyKind::Witness,
            world.witnesses[0].verifier().public().clone(),
        );
        let lines = world.lines();
        for (text, what) in [
            (String::new(), Wrong::NoQuorum),
            ("quorum W9".into(), Wrong::UnknownName),
            ("quorum W0\nquorum W1".into(), Wrong::SecondQuorum),
            ("group G 3 W0 W1".into(), Wrong::Threshold),
            ("group G 0 W0 W1".into(), Wrong::Threshold),
            ("group G +1 W0 W1".into(), Wrong::Threshold),
            ("group G any".into(), Wrong::Line),
            ("group G any none".into(), Wrong::UnknownName),
            ("group G any H".into(), Wrong::UnknownName),
            ("group G any W0 W0".into(), Wrong::MemberTwice),
            ("group G any W0\ngroup H any W0".into(), Wrong::MemberTwice),
            ("group none any W0".into(), Wrong::NameTaken),
            ("group W1 any W0".into(), Wrong::NameTaken),
            (format!("witness W9 {}", same.unwrap()), Wrong::Twice),
            (format!("log {log}"), Wrong::Twice),
            (format!("witness W9 {log}"), Wrong::Kind),
            (format!("log {}", world.witnesses[0].verifier()), Wrong::Kind),
            ("quorum W0\r".into(), Wrong::Control),
            ("witnesses W0".into(), Wrong::Line),
        ] {
            let error = WitnessPolicy::parse(format!("{lines}{text}")).unwrap_err();
            assert_eq!(error.what, what, "{text}");
            assert_eq!(error.line, 8 + text.matches('\n').count(), "{text}");
        }
    }
}
