//! What came and is not believed: told once, and kept if it contradicts what the authority said before.

use std::time::Duration;

use kakunin_core::feed::{Refusal, UnverifiedItem};
use kakunin_core::revocation::Contradiction;
use kakunin_core::time::UnixMillis;
use tokio::time::Instant;

use super::run::Follow;
use crate::alarm::AlarmKind;
use crate::evidence::Evidence;
use crate::status::Trouble;

/// What was offered, as it came.
#[derive(Clone, Copy)]
pub(super) enum Offered<'a> {
    /// Lists in PEM.
    Lists(&'a [u8]),
    /// A line of the feed.
    Item(&'a str),
}

impl Follow<'_> {
    pub(super) async fn refused(&mut self, refusal: &Refusal, offered: Offered<'_>) -> Trouble {
        match refusal {
            // The clock of the authority was set; a new connection is all it takes.
            Refusal::Clock => Trouble::now(refusal.code(), refusal.to_string()),
            Refusal::Contradiction(error) => {
                if matches!(offered, Offered::Item(_)) {
                    self.ask_lists_soon();
                }
                self.contradicted(refusal.code(), error, offered).await
            }
            _ => self.refuse(refusal.code(), refusal),
        }
    }

    /// A feed that contradicts itself may be one whose key was stolen. Only a list says so, and until then the guard denies.
    fn ask_lists_soon(&mut self) {
        let soon = self.lists_asked.map_or_else(Instant::now, |asked| asked + AGAIN);
        self.lists_due = self.lists_due.min(soon);
    }

    /// Something that came is not believed: an alarm once, until something else is.
    pub(super) fn refuse(&mut self, code: &str, what: &dyn std::fmt::Display) -> Trouble {
        let trouble = Trouble::now(code, what.to_string());
        if self.alarmed.as_deref() != Some(code) {
            self.alarmed = Some(code.to_owned());
            self.shared.board.alarm(AlarmKind::Refused, trouble.to_string());
        }
        trouble
    }

    /// Two words of one authority that cannot both be true: both are kept, and told once.
    pub(super) async fn contradicted(
        &mut self,
        code: &str,
        error: &Contradiction,
        offered: Offered<'_>,
    ) -> Trouble {
        if !proves(error, offered, self.known_since()) {
            return self.refuse(code, error);
        }
        let trouble = Trouble::now(code, error.to_string());
        let mut evidence = Evidence::of(&trouble.to_string());
        match offered {
            Offered::Lists(pem) => evidence.add("offered.pem", pem),
            Offered::Item(line) => evidence.add("offered.jws", format!("{line}\n").as_bytes()),
        }
        if let Some(lists) = &self.lists {
            evidence.add_lists("known.pem", [lists.issuing(), lists.root()]);
        }
        if let Some(follower) = &self.follower {
            // Or the heartbeat that announced a change which never came.
            let last = self.last_item.as_deref();
            let last = last.filter(|last| follower.changes().all(|item| item.token() != *last));
            let lines = follower.changes().map(|item| item.token()).chain(last);
            evidence.add("known.jws", lines.flat_map(|line| [line, "\n"]).collect::<String>().as_bytes());
            evidence
                .add_certificates("feed-keys.pem", follower.certificates().map(|key| key.decoded().der()));
        }
        let path = self.place.path();
        let above = [path.issuing().decoded().der(), path.root().decoded().der()];
        evidence.add_certificates("issuers.pem", above.into_iter());
        // By what was said, not only by its kind: whoever shows a second history is told of each of them.
        let name = format!("{code} {}", evidence.name());
        if self.alarmed.as_ref() != Some(&name) {
            self.alarmed = Some(name);
            let kept = self.place.keep_evidence(evidence).await;
            let kept = match kept {
                Ok(Some(place)) => format!("both are kept in {}", place.display()),
                Ok(None) => "the folder evidence is full, so it is not kept".to_owned(),
                Err(error) => format!("it could not be kept: {error}"),
            };
            let text =
                format!("the authority contradicts itself, or somebody else has its key: {trouble}; {kept}");
            self.shared.board.alarm(AlarmKind::Contradiction, text);
        }
        trouble
    }

    /// When the last word was signed that was taken up from the feed.
    fn known_since(&self) -> Option<UnixMillis> {
        let last = self.last_item.as_deref().and_then(signed_at);
        last.max(self.follower.as_ref()?.changes().last().map(|item| item.item().at))
    }
}

/// How often lists are asked for at most because of what the feed says.
const AGAIN: Duration = Duration::from_secs(10);

/// Whether `offered`, which is genuine, proves that its authority says two things. What is older was true once, and proves
/// nothing: whoever kept it can show it again. `known` is when the last word was signed that was taken up.
fn proves(error: &Contradiction, offered: Offered<'_>, known: Option<UnixMillis>) -> bool {
    match (error, offered) {
        (Contradiction::Rollback { .. }, _) => false,
        // A feed that went back says so after it was further.
        (Contradiction::FeedRollback { .. }, Offered::Item(line)) => signed_at(line) > known,
        _ => true,
    }
}

fn signed_at(line: &str) -> Option<UnixMillis> {
    UnverifiedItem::parse(line).ok().map(|item| item.item().at)
}

#[cfg(test)]
mod tests {
    use kakunin_core::digest::Digest;
    use kakunin_core::feed::{Content, Item};
    use kakunin_core::key::{Algorithm, Signer, SoftKey};
    use kakunin_core::revocation::FeedHead;

    use super::*;
    use crate::tested::now;

    /// C204
    #[test]
    fn a_word_of_the_feed_that_was_kept_and_shown_again_is_no_second_history() {
        let key = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
        let known = now().to_millis();
        let word = |later: i64| {
            let at = known.plus_millis(later);
            let (head, content) = (FeedHead::START, Content::Heartbeat { nonce: None });
            let item = Item { issuer: Digest::of(b"x"), head, at, due: at.plus_millis(5_000), content };
            item.sign(&key).unwrap()
        };
        let back = Contradiction::FeedRollback { offered: 0, seen: 1 };
        for (later, expected) in [(-60_000, false), (0, false), (1, true)] {
            assert_eq!(proves(&back, Offered::Item(&word(later)), Some(known)), expected, "{later}");
        }
        // Of lists and of two words under one number both are kept, however old they are.
        assert!(proves(&back, Offered::Lists(b""), Some(known)));
        let other = Contradiction::FeedEquivocation { epoch: 1 };
        assert!(proves(&other, Offered::Item(&word(-60_000)), Some(known)));
    }
}
