//! What was published and ordered last, remembered outside the store.
//!
//! A store that was restored from a backup does not know what it lost: it would take list numbers and epochs a second
//! time, for lists without the revocations that are gone, and sign them; and it would let in keys that were revoked.
//! The file `H/marks` has the number of the newest list of each authority, the newest change of each feed and the end
//! of the audit log, and is on the disk before any of them is told. Whoever opens the authority compares, and a node
//! that stands by follows what the others publish, so that it knows as much when its turn comes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;

use kakunin_core::digest::Digest;

use crate::authority::AuthorityError;
use crate::files::{self, FileError, Readers};
use crate::home::Home;
use crate::store::{AuditHead, FeedPosition, IssuerId, Store};

/// How far each authority had published, by its number, and how far the log of orders went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    lists: BTreeMap<u32, u64>,
    feeds: BTreeMap<u32, (u64, Digest)>,
    /// `None` in a home of before: it has them from its next list on.
    orders: Option<AuditHead>,
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
        let mut marks = Self { orders: store.audit_head()?, ..Self::default() };
        for issuer in store.issuers()? {
            let number = issuer.id.number();
            if let Some(list) = store.newest_list_head(issuer.id)? {
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
    /// [`AuthorityError::RolledBack`] with the first such place, or [`AuthorityError::OrdersLost`].
    pub(crate) fn check(&self, store: &dyn Store) -> Result<(), AuthorityError> {
        for (&issuer, &published) in &self.lists {
            let newest = store.newest_list_head(IssuerId::from_number(issuer))?;
            let found = newest.map_or(0, |list| list.number);
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
        self.check_orders(store)
    }

    /// The same for the log of orders alone, which is one look at one row.
    ///
    /// # Errors
    /// [`AuthorityError::OrdersLost`].
    pub(crate) fn check_orders(&self, store: &dyn Store) -> Result<(), AuthorityError> {
        let Some(AuditHead { rows, hash }) = self.orders else { return Ok(()) };
        if store.audit_hash(rows)? == Some(hash) {
            return Ok(());
        }
        let found = store.audit_head()?.map_or(0, |head| head.rows);
        Err(AuthorityError::OrdersLost { found, known: rows })
    }

    /// Whatever of these and of `seen` is further.
    fn furthest(mut self, seen: &Self) -> Self {
        for (&issuer, &number) in &seen.lists {
            let known = self.lists.entry(issuer).or_default();
            *known = (*known).max(number);
        }
        for (&issuer, &position) in &seen.feeds {
            let known = self.feeds.entry(issuer).or_insert(position);
            if position.0 > known.0 {
                *known = position;
            }
        }
        let rows = |orders: Option<AuditHead>| orders.map_or(0, |head| head.rows);
        if rows(seen.orders) > rows(self.orders) {
            self.orders = seen.orders;
        }
        self
    }

    /// The number of the newest published list of an authority.
    pub(crate) fn list(&self, issuer: IssuerId) -> u64 {
        self.lists.get(&issuer.number()).copied().unwrap_or(0)
    }

    /// A list is about to be published.
    ///
    /// # Errors
    /// [`AuthorityError::RolledBack`] when a newer one was: the records went back while they were in use.
    pub(crate) fn set_list(&mut self, issuer: IssuerId, number: u64) -> Result<(), AuthorityError> {
        let known = self.list(issuer);
        // The root's is carried as it is.
        if number < known || (number == known && issuer != IssuerId::ROOT) {
            return Err(behind("revocation list", issuer.number(), number, known));
        }
        self.lists.insert(issuer.number(), number);
        Ok(())
    }

    /// A feed has come so far.
    ///
    /// # Errors
    /// [`AuthorityError::RolledBack`] as for a list.
    pub(crate) fn set_feed(
        &mut self,
        issuer: IssuerId,
        position: FeedPosition,
    ) -> Result<(), AuthorityError> {
        let FeedPosition { epoch, head } = position;
        match self.feeds.get(&issuer.number()) {
            Some(&(known, _)) if epoch < known => {
                Err(behind("change of the feed", issuer.number(), epoch, known))
            }
            Some(&(known, other)) if epoch == known && head != other => {
                Err(behind("other change of the feed", issuer.number(), epoch, known))
            }
            _ => {
                if epoch > 0 {
                    self.feeds.insert(issuer.number(), (epoch, head));
                }
                Ok(())
            }
        }
    }

    /// How far the log of orders went.
    pub(crate) const fn orders(&self) -> Option<AuditHead> {
        self.orders
    }

    /// How far the log of orders goes.
    pub(crate) fn set_orders(&mut self, orders: Option<AuditHead>) {
        self.orders = orders.or(self.orders);
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
        if let Some(AuditHead { rows, hash }) = &self.orders {
            let _ = writeln!(text, "orders {rows} {}", hash.to_hex());
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
            match [(); 5].map(|()| words.next()) {
                [Some("list"), Some(issuer), Some(number), None, _] => {
                    marks.lists.insert(issuer.parse().ok()?, number.parse().ok()?);
                }
                [Some("feed"), Some(issuer), Some(epoch), Some(head), None] => {
                    let position = (epoch.parse().ok()?, Digest::from_hex(head)?);
                    marks.feeds.insert(issuer.parse().ok()?, position);
                }
                [Some("orders"), Some(rows), Some(hash), None, _] => {
                    let (rows, hash) = (rows.parse().ok()?, Digest::from_hex(hash)?);
                    marks.orders = Some(AuditHead { rows, hash });
                }
                _ => return None,
            }
        }
        (marks.to_text() == text).then_some(marks)
    }
}

impl Home {
    /// Holds records that others write against what this home has seen published and ordered, and remembers what they
    /// say now. A node does that as long as it stands by: its copy of the home is of the day it was made.
    ///
    /// # Errors
    /// [`AuthorityError::RolledBack`] and [`AuthorityError::OrdersLost`] when the records went back; otherwise what
    /// cannot be read or written.
    pub fn follow(&self, records: &dyn Store) -> Result<(), AuthorityError> {
        let known = Marks::read(self)?;
        known.check(records)?;
        let seen = known.clone().furthest(&Marks::of(records)?);
        if seen == known {
            return Ok(());
        }
        // A command that changes this home at this moment knows more.
        let Some(_lock) = self.try_lock()? else { return Ok(()) };
        Marks::read(self)?.furthest(&seen).keep(self)
    }
}

fn behind(what: &'static str, issuer: u32, found: u64, published: u64) -> AuthorityError {
    AuthorityError::RolledBack { what, issuer: IssuerId::from_number(issuer), found, published }
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
        marks.orders = Some(AuditHead { rows: 9, hash: Digest::of(b"orders") });
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
            "kakunin marks 1\norders 1\n",
            "kakunin marks 1\norders 1 zz\n",
            "kakunin marks 1\nlist 1 2 \n",
            "kakunin marks 1\nlist 1 2\nlist 1 3\n",
        ] {
            assert_eq!(Marks::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Marks::parse("kakunin marks 1\n"), Some(Marks::default()));
        assert_eq!(Marks::parse(text.trim_end()), None);
    }
    #[test]
    fn what_was_published_is_never_lowered() {
        let mut marks = Marks::default();
        let issuer = IssuerId::ROOT.next();
        marks.set_list(issuer, 4).unwrap();
        for old in [3, 4] {
            assert!(matches!(marks.set_list(issuer, old), Err(AuthorityError::RolledBack { .. })), "{old}");
        }
        marks.set_list(IssuerId::ROOT, 1).unwrap();
        marks.set_list(IssuerId::ROOT, 1).unwrap();
        let at = |epoch, head: &[u8]| FeedPosition { epoch, head: Digest::of(head) };
        marks.set_feed(issuer, at(2, b"two")).unwrap();
        marks.set_feed(issuer, at(2, b"two")).unwrap();
        for old in [at(1, b"one"), at(2, b"another"), FeedPosition::START] {
            assert!(matches!(marks.set_feed(issuer, old), Err(AuthorityError::RolledBack { .. })), "{old:?}");
        }
        let orders = |rows| Some(AuditHead { rows, hash: Digest::of(b"orders") });
        marks.set_orders(orders(5));
        marks.set_orders(None);
        assert_eq!(marks.orders, orders(5));
        let mut older = Marks::default();
        older.set_list(issuer, 3).unwrap();
        older.set_feed(issuer, at(1, b"one")).unwrap();
        older.set_orders(orders(4));
        assert_eq!(marks.clone().furthest(&older), marks);
        assert_eq!(older.furthest(&marks), marks);
    }
}
