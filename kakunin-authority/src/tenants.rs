//! The tenants of an authority: each has an issuing authority of its own below the one root.
//!
//! Whoever pins the issuing authority of one tenant believes no agent of another, and needs no list of another. An
//! authority acts in the name of one tenant at a time: what it names, issues, lists and publishes is of that one.

#[cfg(feature = "http")]
use std::collections::BTreeMap;

use kakunin_core::certificate::CaCertificate;
use kakunin_core::time::UnixTime;

use crate::access::TenantId;
use crate::authority::{Authority, AuthorityError, Hours, Issuing};
use crate::publish::Publication;
use crate::store::{Extent, IssuerId, Store, StoreError};

/// A tenant that was just made.
#[derive(Debug)]
pub struct Founded {
    /// Its name.
    pub tenant: TenantId,
    /// Its issuing authority.
    pub issuing: CaCertificate,
    /// Its first lists.
    pub publication: Publication,
}

impl Authority<'_> {
    /// Every tenant that has an issuing authority, by name.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<_> = self.issuing.iter().map(|issuing| issuing.tenant.clone()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        tenants
    }

    /// In whose name it acts: the tenant `default`, until [`Authority::act_for`] says otherwise.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Acts in the name of `tenant` from here on.
    ///
    /// # Errors
    /// [`AuthorityError::UnknownTenant`] when it has no issuing authority here; then nothing changed.
    pub fn act_for(&mut self, tenant: &TenantId) -> Result<(), AuthorityError> {
        if !self.issuing.iter().any(|issuing| issuing.tenant == *tenant) {
            return Err(AuthorityError::UnknownTenant { tenant: tenant.clone() });
        }
        self.tenant.clone_from(tenant);
        Ok(())
    }

    /// Does one thing in the name of `tenant`, which has an issuing authority.
    pub(crate) fn in_name_of<T>(&mut self, tenant: &TenantId, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.tenant, tenant.clone());
        let done = act(self);
        self.tenant = before;
        done
    }

    /// Makes a tenant with an issuing authority of its own, and publishes its first lists. Needs the root's key, which is
    /// forgotten afterwards.
    ///
    /// # Errors
    /// [`AuthorityError::TenantTaken`]; [`AuthorityError::RootClosed`] when the root's key is not here or does not open;
    /// otherwise what could not be recorded or written. A tenant whose first lists could not be written exists: publishing
    /// again writes them.
    pub fn create_tenant(
        &mut self,
        tenant: &TenantId,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Founded, AuthorityError> {
        let (issuing, ()) = self.found(tenant, now, |_| Ok(()))?;
        let publication = self.first_lists(tenant, hours, now)?;
        // It is made. Whoever serves its feed asks for the key again, and says what is wrong.
        let _ = self.first_feed_key(tenant, now);
        Ok(Founded { tenant: tenant.clone(), issuing, publication })
    }

    /// Records a tenant with its issuing authority, and in the same transaction what `with` records: all or nothing.
    ///
    /// # Errors
    /// As [`Authority::create_tenant`]; after it nothing is published yet.
    pub(crate) fn found<T>(
        &mut self,
        tenant: &TenantId,
        now: UnixTime,
        mut with: impl FnMut(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<(CaCertificate, T), AuthorityError> {
        if self.store.tenant_since(tenant)?.is_some() {
            return Err(AuthorityError::TenantTaken { tenant: tenant.clone() });
        }
        // One that is made while nothing is issued anywhere would begin by having something issued.
        let freezes = self.store.freezes()?;
        if let Some(freeze) = freezes.iter().find(|freeze| freeze.extent == Extent::Everyone) {
            return Err(freeze.refusal().into());
        }
        if let Err(cause) = self.keys.signer(IssuerId::ROOT) {
            return Err(AuthorityError::RootClosed { tenant: tenant.clone(), cause: Box::new(cause) });
        }
        let (record, certificate, key) = self.next_issuing(tenant, now)?;
        self.keys.close_root();
        let (id, mut recorded) = (record.id, None);
        // A tenant without an issuing authority could do nothing.
        self.store.batch(&mut |store| {
            store.add_tenant(tenant, now)?;
            store.add_issuers(std::slice::from_ref(&record))?;
            recorded = Some(with(store)?);
            Ok(())
        })?;
        self.keys.open.insert(id, key);
        let issuing = certificate.clone();
        self.issuing.push(Issuing { id, tenant: tenant.clone(), certificate, revoked: false });
        let recorded = recorded.ok_or(StoreError::BatchLost)?;
        Ok((issuing, recorded))
    }

    /// Publishes the first lists of a tenant; what fails is owed.
    ///
    /// # Errors
    /// [`AuthorityError`] when a key does not open, or nothing can be written.
    pub(crate) fn first_lists(
        &mut self,
        tenant: &TenantId,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Publication, AuthorityError> {
        self.group.owe(tenant);
        self.in_name_of(tenant, |authority| authority.publish(hours, now))
    }

    /// Makes the first key of a tenant's feed, and of no other: what is wrong there is none of its business.
    ///
    /// # Errors
    /// As [`Authority::renew_feed_keys`].
    pub(crate) fn first_feed_key(&mut self, tenant: &TenantId, now: UnixTime) -> Result<(), AuthorityError> {
        self.in_name_of(tenant, |authority| authority.renew_own_feed_keys(now))
    }

    /// Publishes for each tenant by itself, and gives what failed of whom: what is wrong with one is nothing to the others.
    #[cfg(feature = "http")]
    pub(crate) fn publish_each(&mut self, hours: Hours, now: UnixTime) -> BTreeMap<TenantId, AuthorityError> {
        let tenants = self.tenants().into_iter();
        let publish = |tenant: TenantId| {
            let done = self.in_name_of(&tenant, |authority| authority.publish(hours, now));
            done.err().map(|error| (tenant, error))
        };
        tenants.filter_map(publish).collect()
    }

    /// Publishes for every tenant, and answers what it published for the one in whose name it acts.
    ///
    /// # Errors
    /// As [`Authority::publish`], of the first tenant for which it failed; those after it were tried all the same.
    pub fn publish_all(&mut self, hours: Hours, now: UnixTime) -> Result<Publication, AuthorityError> {
        let published = self.publish(hours, now);
        let mut failed = None;
        for tenant in self.tenants().into_iter().filter(|tenant| *tenant != self.tenant).collect::<Vec<_>>() {
            if let Err(error) = self.in_name_of(&tenant, |authority| authority.publish(hours, now)) {
                failed.get_or_insert(error);
            }
        }
        match failed {
            Some(error) => published.and(Err(error)),
            None => published,
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;
    use crate::authority::FeedMode;
    use crate::home::Home;
    use crate::signer::PassphraseSources;

    #[test]
    fn a_tenant_is_made_whatever_is_wrong_with_the_feed_of_another_and_never_without_what_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (home, now) = (Home::at(&folder.path().join("home")), UnixTime::from_seconds(1_800_000_000));
        let sources = || PassphraseSources { named: None, own: &own, ask: &ask };
        let [first, second, third] = ["one", "two", "three"].map(|name| TenantId::parse(name).unwrap());
        let mut authority = Authority::init(&home, sources(), now, Hours::default()).unwrap().0;
        let _ = authority.create_tenant(&first, Hours::default(), now).unwrap();
        let broken = authority.issuing[1].id;
        drop(authority);
        let mut authority = Authority::open(&home, sources()).unwrap();
        authority.set_feed(FeedMode::On);
        std::fs::remove_file(home.issuing_key(broken)).unwrap();
        assert!(authority.renew_feed_keys(now).is_err());
        let _ = authority.create_tenant(&second, Hours::default(), now).unwrap();
        let id = authority.issuing[2].id;
        assert!(authority.take_feed_news().iter().any(|feed| feed.id == id), "its own feed has a key");
        // Its owner's key belongs to it: without the one the other is not made either.
        let lost: Result<(CaCertificate, ()), _> =
            authority.found(&third, now, |_| Err(StoreError::BatchLost));
        assert!(lost.is_err());
        assert_eq!(authority.records().tenant_since(&third).unwrap(), None);
        assert_eq!((authority.tenants().len(), authority.issuing.len()), (3, 3));
        let _ = authority.create_tenant(&third, Hours::default(), now).unwrap();
    }

    #[test]
    fn a_feed_whose_key_cannot_be_made_keeps_no_other_tenant_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (home, now) = (Home::at(&folder.path().join("home")), UnixTime::from_seconds(1_800_000_000));
        let sources = || PassphraseSources { named: None, own: &own, ask: &ask };
        let mut authority = Authority::init(&home, sources(), now, Hours::default()).unwrap().0;
        // Both sides of `default` in the order of names.
        for name in ["acme", "zeta"] {
            let tenant = TenantId::parse(name).unwrap();
            let _ = authority.create_tenant(&tenant, Hours::default(), now).unwrap();
        }
        let ids: Vec<_> = authority.issuing.iter().map(|issuing| issuing.id).collect();
        drop(authority);
        let mut authority = Authority::open(&home, sources()).unwrap();
        authority.set_feed(FeedMode::On);
        std::fs::remove_file(home.issuing_key(ids[1])).unwrap();
        assert!(authority.renew_feed_keys(now).is_err());
        let with_key: Vec<_> = authority.take_feed_news().into_iter().map(|feed| feed.id).collect();
        assert_eq!(with_key, [ids[0], ids[2]]);
    }
}
