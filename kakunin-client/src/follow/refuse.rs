//! What came and is not believed: told once, and kept if it contradicts what the authority said before.

use kakunin_core::feed::Refusal;
use kakunin_core::revocation::Contradiction;

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
            Refusal::Contradiction(error) => self.contradicted(refusal.code(), error, offered).await,
            _ => self.refuse(refusal.code(), refusal),
        }
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
        // What is older was true once, and proves nothing.
        if matches!(error, Contradiction::Rollback { .. }) {
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
}
