//! Several orders, one list: what waits together is published together.
//!
//! Each order is recorded by itself and answered by itself, and every answer is given after the list that includes it.
//! The number of that list is taken when the first of them needs it, so all of them name it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kakunin_core::time::UnixTime;

use crate::access::TenantId;
use crate::authority::{Authority, AuthorityError};
use crate::publish::{Publication, refuse_past};
use crate::store::IssuerId;
use crate::store::{AuditId, Outcome};
use crate::term::Hours;

/// What is not published yet.
#[derive(Debug, Default)]
pub(crate) struct Group {
    is_open: bool,
    /// Of which tenants a change is in the records and in no list.
    owed: BTreeSet<TenantId>,
    /// What the orders of an open group ask for, by tenant: until when their list may be used, and when the last of them
    /// was given.
    asked: BTreeMap<TenantId, (Hours, UnixTime)>,
    /// How many asked.
    asking: u64,
    numbers: HashMap<IssuerId, u64>,
    /// Orders that are recorded and done once their list is published, and when they were given.
    recorded: Vec<(TenantId, AuditId, UnixTime)>,
}

impl Group {
    /// Something of a tenant changed that its list has to say.
    pub(crate) fn owe(&mut self, tenant: &TenantId) {
        self.owed.insert(tenant.clone());
    }

    pub(crate) fn is_published(&mut self, tenant: &TenantId) {
        self.owed.remove(tenant);
        self.asked.remove(tenant);
    }

    pub(crate) fn take_number(&mut self, id: IssuerId) -> Option<u64> {
        self.numbers.remove(&id)
    }
}

impl Authority<'_> {
    /// From here on orders about standing are published together by [`Authority::end_group`]. Whoever begins a group gives
    /// no answer before that.
    pub(crate) const fn begin_group(&mut self) {
        self.group.is_open = true;
    }

    /// How many orders of the group wait to be published.
    #[cfg(feature = "http")]
    pub(crate) const fn asking(&self) -> u64 {
        self.group.asking
    }

    /// An order of the group is recorded. What came of it stands in the audit log when the group has ended: what is not
    /// published is not done.
    pub(crate) fn done_with_group(&mut self, id: AuditId, at: UnixTime) {
        self.group.recorded.push((self.tenant.clone(), id, at));
    }

    /// Whether something changed that no list says: publishing it failed.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.group.owed.is_empty()
    }

    /// Whether something of this tenant changed that no list says.
    #[cfg(feature = "http")]
    pub(crate) fn owes_of(&self, tenant: &TenantId) -> bool {
        self.group.owed.contains(tenant)
    }

    /// Publishes what the orders of the group changed, and says what could not be published, of which tenants: none of
    /// their orders may be answered as done.
    pub(crate) fn end_group(&mut self) -> BTreeMap<TenantId, AuthorityError> {
        self.group.is_open = false;
        self.group.asking = 0;
        let mut failed = BTreeMap::new();
        for (tenant, (hours, now)) in std::mem::take(&mut self.group.asked) {
            if let Err(error) = self.in_name_of(&tenant, |authority| authority.publish(hours, now)) {
                failed.insert(tenant, error);
            }
        }
        for (tenant, id, at) in std::mem::take(&mut self.group.recorded) {
            let outcome = match failed.get(&tenant) {
                None => Outcome::Done,
                Some(error) => Outcome::Failed(format!("recorded, and not published yet: {error}")),
            };
            if let Err(error) = self.store.audit_outcome(id, &outcome, at) {
                failed.entry(tenant).or_insert_with(|| error.into());
            }
        }
        failed
    }

    /// Publishes at once, or with the others of the group. What it answers is what will be published.
    pub(crate) fn publish_with_others(
        &mut self,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Publication, AuthorityError> {
        // Without a list of this process there is nothing to foretell by.
        let Some(last) = self.published().filter(|_| self.group.is_open) else {
            return self.publish(hours, now);
        };
        let last_update = last.list().this_update;
        refuse_past(now, last_update)?;
        let current = self.current()?.id;
        let number = match self.group.numbers.get(&current) {
            Some(number) => *number,
            None => {
                let number = self.store.next_list_number(current)?;
                self.group.numbers.insert(current, number);
                number
            }
        };
        let latest = self.group.asked.get(&self.tenant).map_or(now, |(_, latest)| now.max(*latest));
        self.group.asked.insert(self.tenant.clone(), (hours, latest));
        self.group.asking = self.group.asking.saturating_add(1);
        Ok(Publication {
            number,
            next_update: now.max(last_update).plus(i64::from(hours.0) * 3600),
            path: self.home.lists_of(&self.tenant)?,
            issuer: self.issuing()?.decoded().key().key_id(),
            feeds: self.feed_epochs(),
        })
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use kakunin_core::scope::DraftScope;

    use super::*;
    use crate::agent::{AgentName, Who};
    use crate::authority::{AnyAction, FeedMode};
    use crate::home::Home;
    use crate::signer::PassphraseSources;
    use crate::standing::{Order, Standing};

    #[test]
    fn orders_that_wait_together_share_a_list_and_each_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (home, now) = (Home::at(&folder.path().join("home")), UnixTime::from_seconds(1_800_000_000));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let mut authority = Authority::init(&home, sources, now, Hours::default()).unwrap().0;
        authority.set_feed(FeedMode::On);
        let before = authority.publish(Hours::default(), now).unwrap();
        let none = |_: &str| Err(std::io::Error::other("none"));
        let draft = DraftScope::parse("actions = [\"read:*\"]", &none).unwrap();
        let mut agents = Vec::new();
        for name in ["one", "two", "three"] {
            let name = AgentName::parse(name).unwrap();
            let agent = authority.create(&name, &draft, AnyAction::Refuse, now).unwrap();
            let key = kakunin_core::key::SoftKey::generate(kakunin_core::key::Algorithm::P256).unwrap().0;
            let scope = kakunin_core::scope::Scope::from_der(&agent.scope).unwrap();
            let _ = authority.issue(&agent.name, &scope, key.public(), crate::term::Days::WEEK, now).unwrap();
            agents.push(Who::Id(agent.id));
        }
        let order = |authority: &mut Authority<'_>, who: &Who, order| {
            authority.order(who, order, "drill", Hours::default(), now.plus(1)).unwrap()
        };
        authority.begin_group();
        let orders = [Order::Revoke, Order::Suspend, Order::Revoke];
        let told: Vec<_> =
            agents.iter().zip(orders).map(|(who, what)| order(&mut authority, who, what)).collect();
        // Nothing is published yet, and whoever would answer now would say what is not so.
        assert_eq!(authority.published().unwrap().list().number, before.number);
        assert_eq!((authority.asking(), authority.owes()), (3, true));
        assert!(authority.end_group().is_empty());
        assert_eq!((authority.asking(), authority.owes()), (0, false));
        let list = authority.published().unwrap().list().clone();
        assert_eq!(list.number, before.number + 1, "one list for all of them");
        for (ordered, epoch) in told.iter().zip(1..) {
            assert_eq!((ordered.publication.number, ordered.told.unwrap().epoch), (list.number, epoch));
            assert!(ordered.publication.next_update <= list.next_update);
            assert_ne!(ordered.agent.standing, Standing::Good);
        }
        let issuer = authority.current().unwrap().id;
        assert_eq!(authority.store.feed_position(issuer).unwrap().epoch, 3);
        assert_eq!(authority.store.waiting_changes(issuer).unwrap(), []);
        // A group of its own, and none: the numbers go on.
        authority.begin_group();
        assert!(authority.end_group().is_empty());
        assert_eq!(order(&mut authority, &agents[1], Order::Resume).publication.number, list.number + 1);
        // One whose list could not be written is owed, and the next one says it.
        authority.begin_group();
        let late = order(&mut authority, &agents[1], Order::Suspend);
        let public = home.public();
        std::fs::rename(&public, public.with_extension("gone")).unwrap();
        assert_eq!(authority.end_group().len(), 1);
        assert!(authority.owes());
        std::fs::rename(public.with_extension("gone"), &public).unwrap();
        let next = authority.publish(Hours::default(), now.plus(2)).unwrap();
        assert!(!authority.owes() && next.number > late.publication.number);
        assert_eq!(next.feeds[0].epoch, late.told.unwrap().epoch);
    }

    #[test]
    fn feed_keys_are_replaced_with_the_orders_that_wait_beside_it_and_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (home, now) = (Home::at(&folder.path().join("home")), UnixTime::from_seconds(1_800_000_000));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let mut authority = Authority::init(&home, sources, now, Hours::default()).unwrap().0;
        authority.set_feed(FeedMode::On);
        let before = authority.publish(Hours::default(), now).unwrap();
        authority.renew_feed_keys(now).unwrap();
        let replace = |authority: &mut Authority<'_>, after: i64| {
            authority.replace_feed_keys(Hours::default(), now.plus(after))
        };
        authority.begin_group();
        // Also the first moment of a key: it is never too early for the first order.
        let (first, revoked) = replace(&mut authority, 0).unwrap();
        let (second, none) = replace(&mut authority, 0).unwrap();
        assert_eq!((revoked, none), (1, 0), "what is not told yet is told once");
        assert_eq!((authority.asking(), authority.published().unwrap().list().number), (2, before.number));
        assert!(authority.end_group().is_empty());
        let number = authority.published().unwrap().list().number;
        assert_eq!((first.number, second.number, number), (before.number + 1, before.number + 1, number));
        assert_eq!(first.feeds[0].epoch, 1);
        let issuer = authority.current().unwrap().id;
        for after in [0, 1, 59] {
            let refused = replace(&mut authority, after).unwrap_err();
            let AuthorityError::FeedReplaced { left } = refused else { panic!("{refused:?}") };
            assert_eq!(i64::try_from(left).unwrap(), 60 - after);
            assert!(refused.is_refusal());
        }
        assert_eq!(authority.store.feed_position(issuer).unwrap().epoch, 1);
        assert_eq!(authority.published().unwrap().list().number, number);
        assert_eq!(replace(&mut authority, 60).unwrap().1, 1);
        assert_eq!(authority.store.feed_position(issuer).unwrap().epoch, 2);
    }

    #[test]
    fn what_cannot_be_published_for_one_tenant_fails_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (home, now) = (Home::at(&folder.path().join("home")), UnixTime::from_seconds(1_800_000_000));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let mut authority = Authority::init(&home, sources, now, Hours::default()).unwrap().0;
        let (ours, theirs) = (TenantId::default(), TenantId::parse("acme").unwrap());
        let _ = authority.create_tenant(&theirs, Hours::default(), now).unwrap();
        let none = |_: &str| Err(std::io::Error::other("none"));
        let draft = DraftScope::parse("actions = [\"read:*\"]", &none).unwrap();
        let name = AgentName::parse("billing").unwrap();
        let numbers = |authority: &mut Authority<'_>| {
            [&ours, &theirs].map(|tenant| authority.all_published().get(tenant).unwrap().list().number)
        };
        for tenant in [&ours, &theirs] {
            authority.act_for(tenant).unwrap();
            let _ = authority.create(&name, &draft, AnyAction::Refuse, now).unwrap();
        }
        let before = numbers(&mut authority);
        // The lists of one cannot be written: a file is where its folder should be.
        let folder = home.public_of(&theirs);
        std::fs::rename(&folder, folder.with_extension("gone")).unwrap();
        std::fs::write(&folder, "").unwrap();
        authority.begin_group();
        for tenant in [&theirs, &ours] {
            authority.act_for(tenant).unwrap();
            let who = Who::Name(name.clone());
            let _ = authority.order(&who, Order::Revoke, "", Hours::default(), now.plus(1)).unwrap();
        }
        let failed = authority.end_group();
        assert_eq!(failed.keys().collect::<Vec<_>>(), [&theirs]);
        assert_eq!(numbers(&mut authority), [before[0] + 1, before[1]]);
        assert_eq!((authority.owes_of(&ours), authority.owes_of(&theirs)), (false, true));
        assert_eq!(*authority.tenant(), ours, "it acts for whom it acted before");
        // Put right, it is owed and published by the next one.
        std::fs::remove_file(&folder).unwrap();
        let _ = authority.publish_all(Hours::default(), now.plus(2)).unwrap();
        assert!(!authority.owes() && numbers(&mut authority)[1] > before[1]);
    }
    #[test]
    fn an_order_is_done_in_the_audit_log_when_its_list_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (home, now) = (Home::at(&folder.path().join("home")), UnixTime::from_seconds(1_800_000_000));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let mut authority = Authority::init(&home, sources, now, Hours::default()).unwrap().0;
        let none = |_: &str| Err(std::io::Error::other("none"));
        let draft = DraftScope::parse("actions = [\"read:*\"]", &none).unwrap();
        let agent =
            authority.create(&AgentName::parse("one").unwrap(), &draft, AnyAction::Refuse, now).unwrap();
        let intent = crate::store::AuditRecord {
            at: now,
            actor: crate::access::Actor::Local,
            address: None,
            tenant: TenantId::default(),
            what: "agent.suspend".into(),
            subject: agent.id.to_string(),
            before: None,
            after: None,
            text: String::new(),
            salt: None,
        };
        let outcome = |authority: &Authority<'_>| {
            let all = crate::store::AuditFilter::default();
            authority.store.audit(&TenantId::default(), &all, 1).unwrap().remove(0).outcome
        };
        let lists = home.lists().unwrap();
        for (order, fails) in [(Order::Suspend, true), (Order::Resume, false)] {
            authority.begin_group();
            let id = authority.store.audit_intent(&intent).unwrap();
            let _ = authority.order(&Who::Id(agent.id), order, "", Hours::default(), now).unwrap();
            authority.done_with_group(id, now);
            assert_eq!(outcome(&authority), None, "the list is not signed yet");
            if fails {
                // Nothing takes the place of a directory.
                std::fs::remove_file(&lists).unwrap();
                std::fs::create_dir(&lists).unwrap();
            } else {
                std::fs::remove_dir(&lists).unwrap();
            }
            assert_eq!(authority.end_group().is_empty(), !fails);
            match (outcome(&authority), fails) {
                (Some((Outcome::Failed(text), _)), true) => {
                    assert!(text.starts_with("recorded, and not published yet: "), "{text}");
                }
                (Some((Outcome::Done, _)), false) => {}
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}
