//! Going on after records were lost.
//!
//! Whoever restores a backup does not know which agents were revoked since it was made, and nobody can tell from the
//! store. So nothing of what was issued before is trusted any longer: a new issuing authority takes the place of the
//! old ones, which are revoked with everything below them, and the root's list that says so has a number above any that
//! was published. Every agent that is still meant to act is certified anew.
//!
//! The same holds for whoever gives orders: keys, tokens and webhooks may have been taken away since, so none of them is
//! good any longer, and the owner gets a new key.

use der::pem;
use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::revocation::UnverifiedList;
use kakunin_core::time::UnixTime;

use crate::access::{Actor, TenantId};
use crate::api_key::{ApiKey, OwnerKey};
use crate::authority::{Authority, AuthorityError, Issuing, OldIssuing};
use crate::files::{self, Readers};
use crate::marks::Marks;
use crate::publish::{self, Publication};
use crate::standing::{Reason, Standing};
use crate::store::{AuditRecord, HookChange, IssuerId, IssuerRecord, Outcome, RowSalt, StandingChange};
use crate::term::Hours;

impl Authority<'_> {
    /// Takes the records as they are, although they are behind what was published or ordered, and says so in the audit
    /// log before anything else. The authority has to be opened by [`Authority::open_behind`].
    ///
    /// # Errors
    /// [`AuthorityError::NothingLost`] when nothing is missing; otherwise what could not be recorded or signed, in
    /// which case the same order given again goes on.
    pub fn accept_loss(
        &mut self,
        text: &str,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Accepted, AuthorityError> {
        let marks = self.marks.clone();
        let Err(behind) = marks.check(self.store.as_ref()) else { return Err(AuthorityError::NothingLost) };
        if !behind.is_loss() {
            return Err(behind);
        }
        // Keys first: what is recorded must also be done.
        self.keys.signer(IssuerId::ROOT)?;
        let intent = AuditRecord {
            at: now,
            actor: Actor::Local,
            address: None,
            tenant: self.tenant.clone(),
            what: "store.loss_accepted".into(),
            subject: "store".into(),
            before: Some(behind.to_string()),
            after: None,
            text: text.to_owned(),
            salt: Some(RowSalt::fresh()?),
        };
        let id = self.store.audit_intent(&intent)?;
        for number in marks.issuers() {
            self.find_again(IssuerId::from_number(number))?;
        }
        let suspended = self.suspend_all(text, now)?;
        let (keys, webhooks) = self.shut_out(now)?;
        let all: Vec<_> = self.store.issuers()?.into_iter().map(|issuer| issuer.id).collect();
        for issuer in all {
            // A crash leaves numbers that nobody uses.
            while self.store.next_list_number(issuer)? < marks.list(issuer) {}
        }
        // From here on the records count: only what they say is published, under numbers that nobody has seen.
        self.marks = Marks::of(self.store.as_ref())?;
        for tenant in self.tenants() {
            self.in_name_of(&tenant, |authority| authority.replace(OldIssuing::Revoke, now))?;
        }
        let root = self.sign_root_list(now)?;
        self.keys.close_root();
        // Before anything is remembered as published: a crash here is gone on with by the same order.
        self.tell_lost_tenants(&root.der)?;
        let publication = self.publish_all(hours, now)?;
        let owner = self.make_owner_key(OwnerKey::Another, now)?;
        self.store.audit_outcome(id, &Outcome::Done, now)?;
        self.remember_orders()?;
        Ok(Accepted { publication, suspended, keys, webhooks, owner })
    }

    /// Takes their power from everything that stands for a caller, of every tenant: nobody knows which of it was taken
    /// away since. Says how many keys it revoked and how many webhooks it turned off.
    fn shut_out(&mut self, now: UnixTime) -> Result<(usize, usize), AuthorityError> {
        let (mut keys, mut webhooks) = (0, 0);
        for tenant in self.store.tenants()? {
            for key in self.store.keys(&tenant)?.iter().filter(|key| key.revoked.is_none()) {
                self.store.revoke_key(&tenant, &key.prefix, now)?;
                keys += 1;
            }
            for hook in self.store.hooks(&tenant)?.iter().filter(|hook| hook.active) {
                let off = HookChange { active: Some(false), ..HookChange::default() };
                self.store.set_hook(&tenant, hook.id, &off, now)?;
                webhooks += 1;
            }
        }
        // Whatever their times say, and a request that was begun is not gone on with.
        self.store.forget_tokens(END)?;
        self.store.forget_requests(END)?;
        Ok((keys, webhooks))
    }

    /// Records an issuing authority that the store has lost, so that it can be revoked.
    fn find_again(&mut self, id: IssuerId) -> Result<(), AuthorityError> {
        if self.store.issuers()?.iter().any(|known| known.id == id) {
            return Ok(());
        }
        let path = self.home.issuing_certificate(id);
        let lost = || AuthorityError::LostIssuer { issuer: id, path: path.clone() };
        let pem = files::read(&path).map_err(|_| lost())?;
        let (_, der) = pem::decode_vec(&pem).map_err(|_| lost())?;
        let certificate = CaCertificate::decode(&der, CaRole::Issuing)?;
        // Whose it was is lost with it. It is revoked next, so it does not matter.
        let tenant = TenantId::default();
        self.store.add_issuers(&[IssuerRecord { id, tenant: Some(tenant.clone()), der, revoked: None }])?;
        self.issuing.push(Issuing { id, tenant, certificate, revoked: false });
        Ok(())
    }

    /// Puts the root's list into the published lists of tenants that the store has lost: nobody publishes for them any more,
    /// and whoever reads their file would go on by the lists of before. The other lists stay in it, because without them
    /// a guard that runs would take the file for an incomplete one and not look at the root's.
    fn tell_lost_tenants(&self, root: &[u8]) -> Result<(), AuthorityError> {
        let issuer = self.root.list_issuer();
        for (folder, tenant) in self.home.tenant_folders()? {
            if tenant.is_some_and(|tenant| self.issuing.iter().any(|issuing| issuing.tenant == tenant)) {
                continue;
            }
            let path = folder.join(publish::LISTS);
            let mut lists = publish::to_pem("X509 CRL", root)?;
            // What is not there or cannot be read is none that anybody decides by.
            let old = files::read(&path).ok().and_then(|old| String::from_utf8(old).ok()).unwrap_or_default();
            for block in old.split_inclusive(END_OF_LIST) {
                let Ok((_, der)) = pem::decode_vec(block.as_bytes()) else { continue };
                if UnverifiedList::decode(&der).is_ok_and(|list| !list.names(&issuer)) {
                    lists.push_str(&publish::to_pem("X509 CRL", &der)?);
                }
            }
            files::replace(&path, lists.as_bytes(), Readers::Everyone)?;
        }
        Ok(())
    }

    /// Suspends every agent that is good, of every tenant.
    fn suspend_all(&mut self, text: &str, at: UnixTime) -> Result<usize, AuthorityError> {
        let mut suspended = 0;
        for tenant in self.store.tenants()? {
            for agent in self.store.agents(&tenant)? {
                if agent.standing == Standing::Good {
                    let (tenant, to, reason) = (&tenant, Standing::Held, Reason::CertificateHold);
                    let change =
                        StandingChange { tenant, agent: agent.id, to, reason, text, halt: false, at };
                    self.store.change_standing(&change)?;
                    suspended += 1;
                }
            }
        }
        Ok(suspended)
    }
}

/// What accepting a loss did.
#[derive(Debug)]
#[must_use = "the owner's new key is shown here and never again"]
pub struct Accepted {
    /// The lists that say so.
    pub publication: Publication,
    /// How many agents were good and are suspended.
    pub suspended: usize,
    /// How many API keys stood and are revoked.
    pub keys: usize,
    /// How many webhooks were active and are turned off.
    pub webhooks: usize,
    /// The owner's new key.
    pub owner: Option<ApiKey>,
}

/// After every time that records hold, and within what a store can keep.
const END: UnixTime = UnixTime::from_seconds(1 << 40);
const END_OF_LIST: &str = "-----END X509 CRL-----\n";
