//! What clients of a service were told, and whether its records say the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kakunin_authority::access::TenantId;
use kakunin_authority::store::{AuditEntry, AuditFilter, Outcome, Place, Store};
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, FeedCertificate};
use kakunin_core::feed::{Content, UnverifiedItem};
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::revocation::{RevocationList, Standing, UnverifiedList};
use serde_json::Value;

use super::super::listener::{Event, ders};

/// What was answered; an answer that did not come whole is none.
#[derive(Default)]
pub(super) struct Told {
    /// Agents, by id.
    pub(super) agents: BTreeSet<String>,
    /// Certificates, as they came.
    pub(super) certificates: Vec<Vec<u8>>,
    /// The hashes of what agents had signed here.
    pub(super) signed: Vec<(String, String)>,
    /// The orders about standing, in their order for each agent: what, and in which epoch it is.
    pub(super) orders: Vec<(String, &'static str, u64)>,
    /// Agents whose last order has no answer: it was carried out or not.
    pub(super) unsure: BTreeSet<String>,
    /// Lists, by issuer and number.
    lists: BTreeMap<(String, u64), Vec<u8>>,
    /// Signed changes, by epoch.
    items: BTreeMap<u64, String>,
    feed_certificates: BTreeSet<Vec<u8>>,
    /// How many of the lines of receipts were answered for.
    pub(super) receipts: usize,
}

impl Told {
    /// Takes over what one more client was told.
    pub(super) fn add(&mut self, more: Self) {
        self.agents.extend(more.agents);
        self.certificates.extend(more.certificates);
        self.signed.extend(more.signed);
        self.orders.extend(more.orders);
        self.unsure.extend(more.unsure);
        for ((issuer, number), der) in more.lists {
            self.list(&issuer, number, der);
        }
        for (epoch, item) in more.items {
            self.item(epoch, item);
        }
        self.feed_certificates.extend(more.feed_certificates);
        self.receipts += more.receipts;
    }

    /// A certificate in PEM, which the answer has under `name`.
    pub(super) fn certificate(&mut self, answer: &Value, name: &str) {
        let pem = answer.pointer(&format!("/data/{name}")).and_then(Value::as_str).unwrap();
        self.certificates.push(ders(pem.as_bytes()).remove(0));
    }

    /// The numbers of the certificates.
    pub(super) fn serials(&self) -> Vec<SerialNumber> {
        let certificates = self.certificates.iter();
        certificates.map(|der| AgentCertificate::decode(der).unwrap().decoded().serial()).collect()
    }

    /// The lists of `/v1/crl/all`; gives those of `issuing`.
    pub(super) fn lists(&mut self, pem: &[u8], issuing: &CaCertificate) -> Option<RevocationList> {
        let mut ours = None;
        for der in ders(pem) {
            let list = UnverifiedList::decode(&der).unwrap();
            let number = list.number().to_u64().unwrap();
            match list.verify(&issuing.list_issuer()) {
                Ok(list) => {
                    self.list("issuing", number, der);
                    ours = Some(list);
                }
                Err(_) => self.list("root", number, der),
            }
        }
        ours
    }

    fn list(&mut self, issuer: &str, number: u64, der: Vec<u8>) {
        let known = self.lists.entry((issuer.to_owned(), number)).or_insert_with(|| der.clone());
        assert!(*known == der, "two lists of {issuer} with the number {number}");
    }

    /// What a stream or a poll of the feed brought.
    pub(super) fn events(&mut self, events: &[Event]) {
        for event in events {
            match event.name.as_str() {
                "certificate" => {
                    let pem = format!("-----BEGIN X-----\n{}\n-----END X-----\n", lines(&event.data));
                    self.feed_certificates.insert(ders(pem.as_bytes()).remove(0));
                }
                _ => {
                    let item = UnverifiedItem::parse(&event.data).unwrap();
                    if matches!(item.item().content, Content::Change(_)) {
                        self.item(item.item().epoch(), event.data.clone());
                    }
                }
            }
        }
    }

    fn item(&mut self, epoch: u64, item: String) {
        let known = self.items.entry(epoch).or_insert_with(|| item.clone());
        assert!(*known == item, "two changes of the epoch {epoch}");
    }

    /// The last epoch of the feed that anybody was told of.
    pub(super) fn epoch(&self) -> u64 {
        let ordered = self.orders.iter().map(|(_, _, epoch)| *epoch).max();
        self.items.keys().next_back().copied().max(ordered).unwrap_or(0)
    }

    /// How each agent stands, as far as that is sure.
    fn standings(&self) -> BTreeMap<&str, Standing> {
        let mut standings = BTreeMap::new();
        for (agent, order, _) in &self.orders {
            let standing = match *order {
                "suspend" => Standing::Held,
                "resume" => Standing::Good,
                _ => Standing::Revoked,
            };
            standings.insert(agent.as_str(), standing);
        }
        // A revocation is for good, whatever was asked for afterwards.
        standings.retain(|agent, standing| *standing == Standing::Revoked || !self.unsure.contains(*agent));
        standings
    }

    /// Checks a list that was published after all this against it.
    pub(super) fn is_in(&self, list: &RevocationList) {
        let numbers = self.lists.keys().filter(|(issuer, _)| issuer == "issuing");
        let newest = numbers.map(|(_, number)| *number).max().unwrap_or(0);
        assert!(list.number().to_u64().unwrap() >= newest, "the list went back");
        assert!(list.policy().unwrap().head().epoch() >= self.epoch(), "the list lacks changes of the feed");
        let standings = self.standings();
        for der in &self.certificates {
            let certificate = AgentCertificate::decode(der).unwrap();
            let agent = certificate.agent().to_string();
            let Some(told) = standings.get(agent.as_str()) else { continue };
            // One that was certified again may have newer certificates that are good; these tests certify once.
            assert_eq!(list.standing(&certificate.decoded().serial()), *told, "{agent}");
        }
    }

    /// Checks the records against all this; `before` are the names of agents that were made without the service.
    pub(super) fn is_recorded(&self, place: &Place, before: &[&str]) {
        let store = place.reader().unwrap();
        let store: &dyn Store = store.as_ref();
        let tenant = TenantId::default();
        assert!(store.check_audit(None).unwrap().is_some());
        let issuer = store.issuers().unwrap().last().unwrap().clone();
        let issuing = CaCertificate::decode(&issuer.der, CaRole::Issuing).unwrap();

        let mut serials: BTreeSet<SerialNumber> = BTreeSet::new();
        for der in &self.certificates {
            let serial = AgentCertificate::decode(der).unwrap().decoded().serial();
            assert!(serials.insert(serial), "{serial} was given twice");
            let kept = store.certificate(serial).unwrap().unwrap();
            assert!(kept.der.as_ref() == Some(der), "{serial} is kept as something else");
        }
        // Also what was signed and reached nobody is in the log.
        let audit = audit(store, &tenant);
        let of = |agent: &str, whats: &[&str]| -> Vec<&AuditEntry> {
            let entries = audit.get(agent).into_iter().flatten();
            entries.filter(|entry| whats.contains(&entry.record.what.as_str())).collect()
        };
        let mut all: BTreeSet<SerialNumber> = BTreeSet::new();
        for agent in store.agents(&tenant).unwrap() {
            let certificates = store.certificates(&tenant, agent.id).unwrap();
            for certificate in &certificates {
                assert!(all.insert(certificate.serial), "{} is two certificates", certificate.serial);
            }
            if before.contains(&agent.name.as_str()) {
                continue;
            }
            let logged = of(&agent.id.to_string(), &["certificate.issue", "certificate.renew"]);
            assert!(
                certificates.len() <= logged.len(),
                "{} has certificates that nobody ordered",
                agent.name
            );
            assert!(!of(agent.name.as_str(), &["agent.create"]).is_empty(), "nobody ordered {}", agent.name);
        }
        assert!(serials.is_subset(&all));
        for agent in &self.agents {
            let id = AgentId::parse(agent).unwrap();
            let kept = store.agent(&tenant, id).unwrap().unwrap();
            assert_eq!(done(&of(kept.name.as_str(), &["agent.create"])), 1, "{}", kept.name);
        }
        for (agent, hash) in &self.signed {
            let found = of(agent, &["agent.sign"]).iter().any(|entry| {
                entry.record.after.as_deref() == Some(hash)
                    && matches!(entry.outcome, Some((Outcome::Done, _)))
            });
            assert!(found, "a signature of {agent} over {hash} is not in the log");
        }
        let mut told: HashMap<(&str, String), usize> = HashMap::new();
        for (agent, order, _) in &self.orders {
            *told.entry((agent, format!("agent.{order}"))).or_default() += 1;
        }
        for ((agent, what), many) in told {
            assert!(
                done(&of(agent, &[&what])) >= many,
                "{what} of {agent} was answered and is not in the log"
            );
        }
        for (agent, standing) in self.standings() {
            let id = AgentId::parse(agent).unwrap();
            let kept = store.agent(&tenant, id).unwrap().unwrap().standing;
            assert_eq!(kept.word(), word(standing), "{agent}");
        }

        // Every signed word about standing that anybody saw.
        let kept = store.changes_since(issuer.id, 0, u32::MAX).unwrap();
        let kept: BTreeMap<u64, String> =
            kept.into_iter().map(|change| (change.epoch, change.item)).collect();
        for (epoch, item) in &self.items {
            assert!(
                kept.get(epoch) == Some(item),
                "the change of epoch {epoch} is not the one that was sent"
            );
        }
        assert!(kept.keys().next_back().copied().unwrap_or(0) >= self.epoch());
        for der in &self.feed_certificates {
            let certificate = FeedCertificate::verify(der, &issuing).unwrap();
            let key = certificate.decoded().key().key_id();
            let kept = store.feed_key(issuer.id, key).unwrap().unwrap();
            assert!(kept.der == *der, "a key of the feed is kept with another certificate");
        }
        let newest = store.newest_list(issuer.id).unwrap().unwrap();
        let mut last = None;
        for ((name, number), der) in &self.lists {
            if name == "root" {
                continue;
            }
            assert!(*number <= newest.number, "the list {number} was never numbered");
            let list = UnverifiedList::decode(der).unwrap().verify(&issuing.list_issuer()).unwrap();
            let kept = store.list_named(&list.digest()).unwrap();
            assert!(kept.is_some_and(|(_, kept)| kept.der == *der), "the list {number} is not kept");
            assert!(last.is_none_or(|last| last <= list.this_update()), "the list {number} is older");
            last = Some(list.this_update());
            for (serial, _) in list.iter() {
                assert!(all.contains(&serial), "{serial} stands on a list and is nobody's");
            }
        }
    }
}

/// The audit log, by subject.
fn audit(store: &dyn Store, tenant: &TenantId) -> HashMap<String, Vec<AuditEntry>> {
    let mut entries: HashMap<String, Vec<AuditEntry>> = HashMap::new();
    let mut below = None;
    loop {
        let page = store.audit(tenant, &AuditFilter { below, ..AuditFilter::default() }, 1000).unwrap();
        let Some(last) = page.last() else { return entries };
        below = Some(last.id);
        for entry in page {
            entries.entry(entry.record.subject.clone()).or_default().push(entry);
        }
    }
}

fn done(entries: &[&AuditEntry]) -> usize {
    entries.iter().filter(|entry| matches!(entry.outcome, Some((Outcome::Done, _)))).count()
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Good => "good",
        Standing::Held => "held",
        Standing::Revoked => "revoked",
    }
}

fn lines(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(64).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
}
