//! Agents and their certificates: creating, certifying into a directory, renewing there.
//!
//! The rules on who may get a certificate stand here; the order in which one is made is `issue`'s, the order in
//! which its files appear is `directory`'s.

use std::path::{Path, PathBuf};

use kakunin_core::certificate::AgentCertificate;
use kakunin_core::digest::Digest;
use kakunin_core::genesis::Genesis;
use kakunin_core::id::AgentId;
use kakunin_core::key::{Algorithm, PublicKey, SoftKey};
use kakunin_core::log::LogReader;
use kakunin_core::scope::{DraftScope, Scope};
use kakunin_core::time::{UnixTime, Validity};
use ring::rand::{SecureRandom, SystemRandom};

use crate::access::{KeyPrefix, TenantId};
use crate::agent::{AgentName, Who};
use crate::authority::{Authority, AuthorityError, BACKDATE, DAY, Issuing};
use crate::directory::{AgentDirectory, DirectoryError, Enrolment, NewKey};
use crate::issue::{Issued, Issuer, Order as IssueOrder, Reserved, Stored};
use crate::publish::Publication;
use crate::standing::{Reason, Standing, StandingError};
use crate::store::{AgentDetails, AgentRecord, StandingChange, Store, StoreError};
use crate::term::{Days, Hours};

/// What to do with a scope that allows every action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyAction {
    /// Say no.
    Refuse,
    /// Issue it.
    Allow,
}

/// Whether a revoked agent is to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    /// A revoked agent gets nothing.
    Refuse,
    /// It is revoked, and may act again with a new key.
    AfterRevocation,
}

/// Whether a renewed directory begins again with nothing spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budgets {
    /// What was spent stays spent.
    Keep,
    /// The directory begins anew.
    Reset,
}

/// How to certify an agent into a directory.
#[derive(Clone, Copy, Debug)]
pub struct Certify<'a> {
    /// The agent's directory.
    pub directory: &'a Path,
    /// For how long.
    pub days: Days,
    /// A PKCS#10 request in PEM whose key is certified; a new key is made without one.
    pub request: Option<&'a [u8]>,
    /// Whether a revoked agent comes back.
    pub comeback: Comeback,
    /// Whether `*` may be issued.
    pub any: AnyAction,
}

/// How to renew an agent.
#[derive(Clone, Copy, Debug)]
pub struct Renew<'a> {
    /// One directory; all that the agent was certified into without one.
    pub directory: Option<&'a Path>,
    /// For how long.
    pub days: Days,
    /// Another scope.
    pub scope: Option<&'a DraftScope>,
    /// Whether `*` may be issued by another scope.
    pub any: AnyAction,
    /// Whether spending starts anew.
    pub budgets: Budgets,
}

/// A certificate in its directory.
#[derive(Debug)]
pub struct Certified {
    /// The agent.
    pub agent: AgentRecord,
    /// Its certificate.
    pub certificate: AgentCertificate,
    /// The directory, absolute.
    pub directory: PathBuf,
}

/// What renewing did.
#[derive(Debug)]
pub struct Renewed {
    /// The agent.
    pub agent: AgentRecord,
    /// The new certificates.
    pub certificates: Vec<Certified>,
    /// The scope's lines that left (`- `) and came (`+ `).
    pub scope_diff: Vec<String>,
    /// Directories it was once certified into that are gone.
    pub missing: Vec<PathBuf>,
    /// The lists, signed anew.
    pub publication: Publication,
}

impl Authority<'_> {
    /// Adds an agent. It gets no certificate yet.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], a scope that breaks a rule or allows everything, or no randomness.
    pub fn create(
        &mut self,
        name: &AgentName,
        draft: &DraftScope,
        any: AnyAction,
        now: UnixTime,
    ) -> Result<AgentRecord, AuthorityError> {
        self.create_described(name, draft, any, AgentDetails::default(), now)
    }

    /// Adds an agent with what is said about it.
    ///
    /// # Errors
    /// As [`Authority::create`].
    pub fn create_described(
        &mut self,
        name: &AgentName,
        draft: &DraftScope,
        any: AnyAction,
        details: AgentDetails,
        now: UnixTime,
    ) -> Result<AgentRecord, AuthorityError> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| AuthorityError::NoRandomness)?;
        let scope = draft.for_agent(AgentId::from_random(random))?;
        refuse_any(&scope, any)?;
        self.keep_lists(draft)?;
        let (id, standing) = (scope.agent(), Standing::Good);
        let agent = AgentRecord {
            id,
            tenant: self.tenant.clone(),
            name: name.clone(),
            created: now,
            updated: now,
            standing,
            scope: scope.to_der(),
            details,
        };
        self.store.add_agent(&agent)?;
        Ok(agent)
    }

    /// Says whether an agent that is still to be named could be certified into `directory`, which is made if needed: so
    /// that nobody is named in vain.
    ///
    /// # Errors
    /// [`AuthorityError`]: issuance is frozen, the directory cannot be made or is another's, a key does not open.
    pub fn prepare(&mut self, directory: &Path) -> Result<(), AuthorityError> {
        self.refuse_frozen()?;
        let current = self.current()?.id;
        self.keys.signer(current)?;
        let directory = AgentDirectory::make(directory)?;
        if let Some(other) = directory.holder()? {
            let (path, agent) = (directory.path().to_owned(), other.agent());
            return Err(DirectoryError::OtherAgent { path, agent }.into());
        }
        Ok(directory.refuse_key()?)
    }

    /// Certifies an agent into a directory and publishes the next list.
    ///
    /// # Errors
    /// [`AuthorityError`]: the agent's standing, a directory that is another's, a request that proves no key, or
    /// what could not be written.
    pub fn certify(
        &mut self,
        who: &Who,
        order: &Certify<'_>,
        hours: Hours,
        now: UnixTime,
    ) -> Result<(Certified, Publication), AuthorityError> {
        let agent = self.find(who)?;
        let scope = Scope::from_der(&agent.scope)?;
        refuse_any(&scope, order.any)?;
        self.refuse_frozen()?;
        match (agent.standing, order.comeback) {
            (Standing::Held, _) => return Err(StandingError::Held.into()),
            (Standing::Revoked, Comeback::Refuse) => return Err(StandingError::NeedsAfterRevocation.into()),
            (Standing::Good, Comeback::AfterRevocation) => return Err(StandingError::NotRevoked.into()),
            _ => {}
        }
        let directory = AgentDirectory::make(order.directory)?;
        let holder = directory.holder()?;
        if let Some(other) = holder.as_ref().map(AgentCertificate::agent).filter(|id| *id != agent.id) {
            return Err(DirectoryError::OtherAgent { path: directory.path().to_owned(), agent: other }.into());
        }
        let (public, key) = match order.request {
            Some(pem) => (read_request(pem)?, NewKey::Elsewhere),
            None => {
                if holder.is_none() {
                    directory.refuse_key()?;
                }
                let (key, pkcs8) = SoftKey::generate(Algorithm::P256)?;
                (key.public().clone(), NewKey::Made(pkcs8))
            }
        };
        self.refuse_revoked_key(agent.id, &public)?;

        // The key opens first: a wrong passphrase must not bring anyone back.
        let current = self.current()?.id;
        self.keys.signer(current)?;
        if agent.standing == Standing::Revoked {
            let tenant = self.tenant.clone();
            self.change_standing(&StandingChange {
                tenant: &tenant,
                agent: agent.id,
                to: Standing::Good,
                reason: Reason::Unspecified,
                text: "certified after revocation",
                halt: false,
                at: now,
            })?;
        }
        let agent = self.find(&Who::Id(agent.id))?;
        let issued = self.issue(&agent.name, &scope, &public, order.days, now)?;
        directory.write_names(&self.names_of(&scope)?)?;
        let publication = self.publish(hours, now)?;
        let genesis = match holder {
            Some(_) => None,
            None => Some(self.mark(issued.certificate())?),
        };
        directory.enrol(&Enrolment {
            certificate: issued.certificate(),
            issuing: self.issuing()?,
            root: &self.root,
            name: &agent.name,
            lists: &self.home.lists_of(&self.tenant)?,
            log: LogReader::key_beside(&self.home.log()).ok(),
            key,
            genesis,
        })?;
        self.store.keep_directory(&self.tenant, agent.id, directory.path())?;
        let certificate = issued.certificate().clone();
        Ok((Certified { agent, certificate, directory: directory.path().to_owned() }, publication))
    }

    /// Renews an agent where it was certified, keeping its keys, and publishes the next list.
    ///
    /// # Errors
    /// [`AuthorityError`]: the agent's standing, a directory without its certificate, or what could not be written.
    pub fn renew(
        &mut self,
        who: &Who,
        order: &Renew<'_>,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Renewed, AuthorityError> {
        let mut agent = self.find(who)?;
        match agent.standing {
            Standing::Good => {}
            Standing::Held => return Err(StandingError::Held.into()),
            Standing::Revoked => return Err(StandingError::NeedsAfterRevocation.into()),
        }
        self.refuse_frozen()?;
        let before = Scope::from_der(&agent.scope)?;
        let scope = match order.scope {
            Some(draft) => {
                let scope = draft.for_agent(agent.id)?;
                refuse_any(&scope, order.any)?;
                scope
            }
            None => before.clone(),
        };
        let (present, missing): (Vec<PathBuf>, Vec<PathBuf>) = match order.directory {
            Some(path) => (vec![path.to_owned()], Vec::new()),
            None => self
                .store
                .directories(&self.tenant, agent.id)?
                .into_iter()
                .partition(|path| path.join("agent.pem").exists()),
        };
        if present.is_empty() {
            return Err(AuthorityError::NowhereToRenew { name: agent.name, missing });
        }
        // Every directory is looked at before anything is changed.
        let mut places = Vec::new();
        for path in &present {
            let directory = AgentDirectory::at(path)?;
            let old = self.own_certificate(&directory, &agent)?;
            self.refuse_revoked_key(agent.id, old.decoded().key())?;
            places.push((directory, old));
        }
        // The key opens first: a wrong passphrase must not change the scope.
        let current = self.current()?.id;
        self.keys.signer(current)?;
        if let Some(draft) = order.scope {
            self.keep_lists(draft)?;
            self.store.set_scope(&self.tenant, agent.id, &scope.to_der(), now)?;
            agent = self.find(&Who::Id(agent.id))?;
        }
        let mut renewals = Vec::new();
        let names = self.names_of(&scope)?;
        for (directory, old) in places {
            let issued = self.issue(&agent.name, &scope, old.decoded().key(), order.days, now)?;
            directory.write_names(&names)?;
            renewals.push((directory, old, issued));
        }
        let publication = self.publish(hours, now)?;
        let mut certificates = Vec::new();
        for (directory, old, issued) in renewals {
            let genesis = match order.budgets {
                Budgets::Keep => None,
                Budgets::Reset => Some(self.mark(issued.certificate())?),
            };
            directory.renew(
                &old,
                &Enrolment {
                    certificate: issued.certificate(),
                    issuing: self.issuing()?,
                    root: &self.root,
                    name: &agent.name,
                    lists: &self.home.lists_of(&self.tenant)?,
                    log: None,
                    key: NewKey::Elsewhere,
                    genesis,
                },
            )?;
            self.store.keep_directory(&self.tenant, agent.id, directory.path())?;
            let (certificate, directory) = (issued.certificate().clone(), directory.path().to_owned());
            certificates.push(Certified { agent: agent.clone(), certificate, directory });
        }
        let scope_diff = scope_diff(&before, &scope);
        Ok(Renewed { agent, certificates, scope_diff, missing, publication })
    }

    pub(crate) fn issue(
        &mut self,
        name: &AgentName,
        scope: &Scope,
        key: &PublicKey,
        days: Days,
        now: UnixTime,
    ) -> Result<Issued, AuthorityError> {
        self.issue_for(name, scope, key, days, None, now)
    }

    /// Issues a certificate, for an enrolment token if one is named: it is redeemed or nothing is issued.
    pub(crate) fn issue_for(
        &mut self,
        name: &AgentName,
        scope: &Scope,
        key: &PublicKey,
        days: Days,
        token: Option<&KeyPrefix>,
        now: UnixTime,
    ) -> Result<Issued, AuthorityError> {
        // Its list could not be signed, so neither is it.
        self.trust_clock(now)?;
        let current = self.current()?.id;
        let issuing =
            self.issuing.iter().find(|issuing| issuing.id == current).ok_or(AuthorityError::NoIssuer)?;
        let signer = self.keys.signer(current)?;
        let wanted = Wanted { name, scope, key, days, token };
        let stored = record(&wanted, issuing, self.store.as_mut(), now)?;
        Ok(stored.sign(signer, self.store.as_mut())?)
    }

    pub(crate) fn mark(&mut self, certificate: &AgentCertificate) -> Result<Genesis, AuthorityError> {
        let current = self.current()?.id;
        let thumbprint = certificate.decoded().thumbprint();
        Ok(Genesis::sign(certificate.agent(), thumbprint, self.keys.signer(current)?)?)
    }

    fn keep_lists(&mut self, draft: &DraftScope) -> Result<(), AuthorityError> {
        for list in draft.lists().iter() {
            self.store.keep_names(list.root(), &list.to_text())?;
        }
        Ok(())
    }

    pub(crate) fn names_of(&self, scope: &Scope) -> Result<Vec<(Digest, String)>, AuthorityError> {
        let mut lists = Vec::new();
        for root in scope.detached_roots() {
            let text = self.store.names(root)?.ok_or(StoreError::Damaged { what: "list of names" })?;
            lists.push((root, text));
        }
        Ok(lists)
    }

    pub(crate) fn refuse_revoked_key(&self, agent: AgentId, key: &PublicKey) -> Result<(), AuthorityError> {
        refuse_revoked_key(self.store.as_ref(), &self.tenant, agent, key)
    }

    /// The certificate in `directory`, if this authority issued it to `agent`.
    fn own_certificate(
        &self,
        directory: &AgentDirectory,
        agent: &AgentRecord,
    ) -> Result<AgentCertificate, AuthorityError> {
        let path = || directory.path().to_owned();
        let held = directory.holder()?.ok_or_else(|| DirectoryError::NoAgent { path: path() })?;
        if held.agent() != agent.id {
            return Err(DirectoryError::OtherAgent { path: path(), agent: held.agent() }.into());
        }
        let known = self.store.certificates(&self.tenant, agent.id)?;
        let known = known.iter().any(|known| known.der.as_deref() == Some(held.decoded().der()));
        if known { Ok(held) } else { Err(DirectoryError::NotOurs { path: path() }.into()) }
    }
}

/// What is to be in a certificate.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a AgentName,
    pub(crate) scope: &'a Scope,
    pub(crate) key: &'a PublicKey,
    pub(crate) days: Days,
    /// The enrolment token that is redeemed by it.
    pub(crate) token: Option<&'a KeyPrefix>,
}

/// Takes a number for a certificate and records what is to be signed.
pub(crate) fn record<'a>(
    wanted: &Wanted<'_>,
    issuing: &'a Issuing,
    store: &mut dyn Store,
    now: UnixTime,
) -> Result<Stored<'a>, AuthorityError> {
    let Wanted { name, scope, key, days, token } = *wanted;
    let outer = issuing.certificate.decoded().validity();
    // No certificate outlives its issuer: the last ones of an authority are shorter than asked for.
    let validity = Validity {
        not_before: now.plus(-BACKDATE).max(outer.not_before),
        not_after: now.plus(i64::from(days.0) * DAY).min(outer.not_after),
    };
    if validity.not_after <= now {
        return Err(AuthorityError::IssuerEnded { at: outer.not_after });
    }
    let issuer = Issuer { id: issuing.id, certificate: &issuing.certificate };
    let order = IssueOrder { name, scope, key, validity };
    let reserved = match token {
        None => Reserved::reserve(order, issuer, store)?,
        Some(token) => Reserved::redeem(order, issuer, token, now, store)?,
    };
    Ok(reserved.build()?.lint()?.store(store)?)
}

/// A key that was revoked once is certified no more.
pub(crate) fn refuse_revoked_key(
    store: &dyn Store,
    tenant: &TenantId,
    agent: AgentId,
    key: &PublicKey,
) -> Result<(), AuthorityError> {
    let revoked = store.is_revoked_key(tenant, agent, key.key_id())?;
    if revoked { Err(StandingError::RevokedKey.into()) } else { Ok(()) }
}

pub(crate) fn refuse_any(scope: &Scope, any: AnyAction) -> Result<(), AuthorityError> {
    let refused = scope.allows_any_action() && any == AnyAction::Refuse;
    if refused { Err(AuthorityError::AnyAction) } else { Ok(()) }
}

/// Reads a request, checking that whoever made it has the key. Nothing else in it is used.
pub(crate) fn read_request(pem: &[u8]) -> Result<PublicKey, AuthorityError> {
    use der::{Decode, DecodePem, Encode};
    use x509_cert::request::CertReq;

    let text = std::str::from_utf8(pem).map_err(|_| AuthorityError::Request("it is not PEM"))?;
    let request =
        CertReq::from_pem(text).map_err(|_| AuthorityError::Request("it is no PEM CERTIFICATE REQUEST"))?;
    let encode = |_| AuthorityError::Request("it is not in DER");
    let key = PublicKey::from_spki(&request.info.public_key.to_der().map_err(encode)?);
    let key =
        key.map_err(|_| AuthorityError::Request("its key is neither P-256 (named curve) nor Ed25519"))?;
    // RFC 5758 section 3.2 and RFC 8410 section 3: parameters are absent.
    if request.algorithm.oid != key.algorithm().signature_oid() || request.algorithm.parameters.is_some() {
        return Err(AuthorityError::Request("it is signed with another algorithm than its key's"));
    }
    // The signed bytes are taken from the document, not encoded anew.
    let (_, der) = der::pem::decode_vec(pem).map_err(|_| AuthorityError::Request("it is not PEM"))?;
    let outer = <Vec<der::asn1::Any>>::from_der(&der).map_err(encode)?;
    let [info, _, _] = outer.as_slice() else {
        return Err(AuthorityError::Request("it has more than its three members"));
    };
    let info = info.to_der().map_err(encode)?;
    let signature =
        request.signature.as_bytes().ok_or(AuthorityError::Request("its signature has loose bits"))?;
    key.verify_x509(&info, signature)
        .map_err(|_| AuthorityError::Request("its signature is not its key's"))?;
    Ok(key)
}

pub(crate) fn scope_diff(before: &Scope, after: &Scope) -> Vec<String> {
    let (old, new) = (before.to_words(), after.to_words());
    let left = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
    let came = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
    left.chain(came).collect()
}
