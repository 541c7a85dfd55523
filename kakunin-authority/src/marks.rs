//! What was published last, remembered outside the store.
//!
//! A store that was restored from a backup does not know what it lost: it would take list numbers and epochs a second
//! time, for lists without the revocations that are gone, and sign them. The file `H/marks` has the number of the newest
//! list of each authority and the newest change of each feed, and is on the disk before any of them leaves. Whoever
//! opens the authority compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;

use kakunin_core::digest::Digest;

use crate::authority::AuthorityError;
use crate::files::{self, FileError, Readers};
use crate::home::Home;
use crate::store::{FeedPosition, IssuerId, Store};

/// How far each authority had published, by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    lists: BTreeMap<u32, u64>,
    feeds: BTreeMap<u32, (u64, Digest)>,
}

impl Marks {
    /// What the home remembers; nothing, before anything was published.
    ///
    /// # Errors
    /// [`AuthorityError::Marks`] when the file is there and is none.
    pub(crate) fn read(home: &Home) -> Result<Self, AuthorityError> {
        let path = home.marks();
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).ok_or(AuthorityError::Marks { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(FileError::new("read", &path, error).into()),
        }
    }

    /// How far the store has published.
    ///
    /// # Errors
    /// [`AuthorityError::Store`] when it cannot be read.
    pub(crate) fn of(store: &dyn Store) -> Result<Self, AuthorityError> {
        let mut marks = Self::default();
        for issuer in store.issuers()? {
            let number = issuer.id.number();
            if let Some(list) = store.newest_list(issuer.id)? {
                marks.lists.insert(number, list.number);
            }
            let position = store.feed_position(issuer.id)?;
            if position.epoch > 0 {
                marks.feeds.insert(number, (position.epoch, position.head));
            }
        }
        Ok(marks)
    }

    /// Puts these in the place of what the home remembers, durably.
    ///
    /// # Errors
    /// [`AuthorityError::File`] when it cannot be written: then nothing may be published.
    pub(crate) fn keep(&self, home: &Home) -> Result<(), AuthorityError> {
        Ok(files::replace(&home.marks(), self.to_text().as_bytes(), Readers::Everyone)?)
    }

    /// Says where the store is behind what was published, or goes another way.
    ///
    /// # Errors
    /// [`AuthorityError::RolledBack`] with the first such place.
    pub(crate) fn check(&self, store: &dyn Store) -> Result<(), AuthorityError> {
        let behind = |what, issuer: u32, found, published| AuthorityError::RolledBack {
            what,
            issuer: IssuerId::from_number(issuer),
            found,
            published,
        };
        for (&issuer, &published) in &self.lists {
            let found = store.newest_list(IssuerId::from_number(issuer))?.map_or(0, |list| list.number);
            if found < published {
                return Err(behind("revocation list", issuer, found, published));
            }
        }
        for (&issuer, &(published, head)) in &self.feeds {
            let id = IssuerId::from_number(issuer);
            let found = store.feed_position(id)?.epoch;
            if found < published {
                return Err(behind("change of the feed", issuer, found, published));
            }
            let there = store.changes_since(id, published.saturating_sub(1), 1)?;
            if there.first().map(|item| (item.epoch, item.head)) != Some((published, head)) {
                return Err(behind("other change of the feed", issuer, published, published));
            }
        }
        Ok(())
    }

    /// The number of the newest published list of an authority.
    pub(crate) fn list(&self, issuer: IssuerId) -> u64 {
        self.lists.get(&issuer.number()).copied().unwrap_or(0)
    }

    pub(crate) fn set_list(&mut self, issuer: IssuerId, number: u64) {
        self.lists.insert(issuer.number(), number);
    }

    pub(crate) fn set_feed(&mut self, issuer: IssuerId, position: FeedPosition) {
        if position.epoch > 0 {
            self.feeds.insert(issuer.number(), (position.epoch, position.head));
        }
    }

    /// Every authority that had published something.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = u32> {
        self.lists.keys().copied()
    }

    fn to_text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (issuer, number) in &self.lists {
            let _ = writeln!(text, "list {issuer} {number}");
        }
        for (issuer, (epoch, head)) in &self.feeds {
            let _ = writeln!(text, "feed {issuer} {epoch} {}", head.to_hex());
        }
        text
    }

    /// Reads exactly what is written: a file that somebody shortened must not pass for an older one.
    fn parse(text: &str) -> Option<Self> {
        let mut marks = Self::default();
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return None;
        }
        for line in lines {
            let mut words = line.split(' ');
            let kind = words.next()?;
            let (issuer, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            match (kind, words.next(), words.next()) {
                ("list", None, None) => drop(marks.lists.insert(issuer, number)),
                ("feed", Some(head), None) => {
                    marks.feeds.insert(issuer, (number, Digest::from_hex(head)?));
                }
                _ => return None,
            }
        }
        (marks.to_text() == text).then_some(marks)
    }
}

const HEAD: &str = "kakunin marks 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_are_written_and_nothing_else_is() {
        let mut marks = Marks::default();
        marks.lists.insert(0, 1);
        marks.lists.insert(1, 12);
        marks.feeds.insert(1, (7, Digest::of(b"head")));
        let text = marks.to_text();
        assert_eq!(Marks::parse(&text), Some(marks));
        for wrong in [
            "",
            "kakunin marks 2\n",
            "kakunin marks 1\nlist 1\n",
            "kakunin marks 1\nlist 1 2 3\n",
            "kakunin marks 1\nlist 1 -2\n",
            "kakunin marks 1\nlist 1 2",
            "kakunin marks 1\nfeed 1 2 zz\n",
            "kakunin marks 1\nlist 1 2\nlist 1 3\n",
        ] {
            assert_eq!(Marks::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Marks::parse("kakunin marks 1\n"), Some(Marks::default()));
        assert_eq!(Marks::parse(text.trim_end()), None);
    }
}
