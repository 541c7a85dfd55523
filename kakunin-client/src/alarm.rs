//! Alarms: what an operator should hear before decisions begin to be denied.
//!
//! A watch looks every half second how old the last signed word is. It says so when half of its time is over, at four fifths, at
//! the end, and when a newer word has come. What was refused and what was not renewed is told by those rooms.

use std::sync::Arc;
use std::time::Duration;

use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::time::UnixTime;

use crate::status::Board;

/// Whom alarms are told, on the client's thread: it must not wait for anything.
pub type AlarmFn = Arc<dyn Fn(&Alarm) + Send + Sync>;

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alarm {
    /// When.
    pub at: UnixTime,
    /// What kind.
    pub kind: AlarmKind,
    /// What happened, and what to do.
    pub text: String,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlarmKind {
    /// Half of the time that a signed word counts is over without another one.
    HalfSilent,
    /// Four fifths of it are over.
    NearlyStale,
    /// All of it: the guard denies.
    Stale,
    /// A signed word came after one of these.
    Recovered,
    /// What came was refused: not genuine, taken back, or another history.
    Refused,
    /// The authority said two things that cannot both be true, or took something back: lists of one number, changes of one epoch.
    /// What was known counts on; both are kept in the folder `evidence` of the directory.
    Contradiction,
    /// The certificate was not renewed in time.
    Renewal,
    /// The certificate was renewed with another scope, which allows nothing more.
    Scope,
    /// The certificate was renewed with a scope that allows more than the one before.
    Wider,
    /// The agent moved to the next issuing authority of its root.
    Moved,
    /// Receipts do not reach the authority.
    Uploads,
    /// The owner's log showed this agent what cannot be true beside what it showed before, or to others. The authority has both.
    Log,
}

impl AlarmKind {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::HalfSilent => "feed.silent_50",
            Self::NearlyStale => "feed.silent_80",
            Self::Stale => "feed.stale",
            Self::Recovered => "feed.recovered",
            Self::Refused => "feed.refused",
            Self::Contradiction => "feed.contradiction",
            Self::Renewal => "renewal.failed",
            Self::Scope => "renewal.scope",
            Self::Wider => "renewal.wider",
            Self::Moved => "renewal.moved",
            Self::Uploads => "uploads.failed",
            Self::Log => "log.contradiction",
        }
    }
}

/// Watches the age of the last word until it is dropped.
pub(crate) async fn watch(board: &Board) {
    let mut told = None;
    loop {
        told = look(board, told);
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks once; `told` is what was said last.
fn look(board: &Board, told: Option<AlarmKind>) -> Option<AlarmKind> {
    let state = board.state();
    let Some(most) = state.status.max_age else { return told };
    let most = i64::try_from(most.as_millis()).unwrap_or(i64::MAX);
    let age = SystemClock.boot_millis().saturating_sub(state.proven.unwrap_or(state.since));
    let due = due(age, most);
    let seconds = age / 1000;
    match (told, due) {
        (told, due) if told == due => {}
        (_, Some(kind)) if rank(due) > rank(told) => {
            let rest = (most - age).max(0) / 1000;
            let text = match kind {
                AlarmKind::Stale => format!(
                    "no signed word from the authority for {seconds} s: every decision is denied revocation.stale until one comes"
                ),
                _ => format!(
                    "no signed word from the authority for {seconds} s; in {rest} s every decision is denied"
                ),
            };
            let cause = state.status.last_error.as_ref().map(|error| format!(" (last error: {error})"));
            board.alarm(kind, text + &cause.unwrap_or_default());
        }
        (_, None) => board.alarm(AlarmKind::Recovered, "the authority is heard again".to_owned()),
        // Younger than it was, and not young: the next step is told when it comes.
        _ => {}
    }
    due
}

fn due(age: i64, most: i64) -> Option<AlarmKind> {
    let share = i128::from(age) * 100;
    let reached = |percent: i128| share >= i128::from(most) * percent;
    match () {
        () if reached(100) => Some(AlarmKind::Stale),
        () if reached(80) => Some(AlarmKind::NearlyStale),
        () if reached(50) => Some(AlarmKind::HalfSilent),
        () => None,
    }
}

const fn rank(kind: Option<AlarmKind>) -> u8 {
    match kind {
        Some(AlarmKind::Stale) => 3,
        Some(AlarmKind::NearlyStale) => 2,
        Some(AlarmKind::HalfSilent) => 1,
        _ => 0,
    }
}

const LOOK: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use kakunin_core::id::AgentId;

    use super::*;

    #[test]
    fn half_and_four_fifths_are_told_once_and_so_is_the_end() {
        assert_eq!(due(29_999, 60_000), None);
        assert_eq!(due(30_000, 60_000), Some(AlarmKind::HalfSilent));
        assert_eq!(due(48_000, 60_000), Some(AlarmKind::NearlyStale));
        assert_eq!(due(60_000, 60_000), Some(AlarmKind::Stale));
        assert_eq!(due(i64::MAX, i64::MAX), Some(AlarmKind::Stale));
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        let tell: AlarmFn = Arc::new(move |alarm: &Alarm| {
            ears.lock().unwrap().push(alarm.kind);
            panic!("whoever listens has a fault");
        });
        let board = Board::new(AgentId::from_bytes([1; 16]), Some(tell));
        board.write(|status| status.max_age = Some(Duration::from_secs(60)));
        let mut told = None;
        // No word was ever heard: silence is counted from the start.
        for age in [0, 31, 32, 49, 61, 70] {
            board.pretend(SystemClock.boot_millis() - age * 1000);
            told = look(&board, told);
        }
        board.pretend(SystemClock.boot_millis());
        told = look(&board, told);
        assert_eq!(told, None);
        let expected =
            [AlarmKind::HalfSilent, AlarmKind::NearlyStale, AlarmKind::Stale, AlarmKind::Recovered];
        assert_eq!(*heard.lock().unwrap(), expected);
        assert_eq!(board.take_alarms().iter().map(|alarm| alarm.kind).collect::<Vec<_>>(), expected);
        assert!(board.take_alarms().is_empty());
    }
}
