//! Papers that an authority hands out: what enrolment and renewal answer, proven before anything of it is written.
//!
//! Takes in the bytes of an answer, and what they have to fit: the key they are for, the root that was pinned before anything was
//! asked. Gives out what goes into the directory. Whoever answers at the address can withhold papers, and can make none.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use kakunin_core::certificate::{AgentPath, PathLists};
use kakunin_core::digest::Digest;
use kakunin_core::home::Papers;
use kakunin_core::id::AgentId;
use kakunin_core::key::PublicKey;
use kakunin_core::log::VerifierKey;
use kakunin_core::scope::{NameList, NameLists};
use kakunin_core::snapshot;
use kakunin_core::time::UnixTime;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::install;
use crate::place::LISTS;
use crate::settings::PIN;
use crate::status::Trouble;
use crate::transport::printable;

/// Papers that are proven.
#[derive(Debug)]
pub(crate) struct NewPapers {
    pub(crate) papers: Papers,
    pub(crate) path: AgentPath,
    pub(crate) lists: PathLists,
    /// The mark of an agent that never spent anything; the guard holds it against the issuing authority.
    pub(crate) genesis: Option<String>,
    name: String,
    log: Option<String>,
    /// What the issuing authority of before is said to say of this one; held against its key when it matters.
    pub(crate) succession: Option<String>,
}

/// What papers have to fit.
pub(crate) struct Expected<'a> {
    /// The key they were asked for.
    pub(crate) key: &'a PublicKey,
    /// SHA-256 of the root's DER.
    pub(crate) root: Digest,
    /// The key of the issuing authority, where code names it.
    pub(crate) issuer: Option<Digest>,
    /// Whose they are, where that is known.
    pub(crate) agent: Option<AgentId>,
    /// Whether lists that ask for no feed are taken.
    pub(crate) without_feed: bool,
}

#[derive(serde::Deserialize)]
struct Answer {
    data: Members,
}

#[derive(serde::Deserialize)]
struct Members {
    agent_name: String,
    certificate_pem: String,
    chain_pem: String,
    ca_pem: String,
    lists_pem: String,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default)]
    genesis: Option<String>,
    #[serde(default)]
    log: Option<String>,
    #[serde(default)]
    succession: Option<String>,
}

impl NewPapers {
    /// Proves an answer at `now`.
    pub(crate) fn judge(answer: &[u8], expected: &Expected<'_>, now: UnixTime) -> Result<Self, Trouble> {
        let wrong = |what: &dyn std::fmt::Display| {
            Trouble::now("papers.refused", format!("the papers are refused: {what}"))
        };
        let Answer { data } = serde_json::from_slice(answer).map_err(|error| wrong(&error))?;
        let agent = certificates(&data.certificate_pem).and_then(|ders| ders.into_iter().next());
        let chain = certificates(&data.chain_pem).ok_or_else(|| wrong(&"the chain is no PEM"))?;
        let roots = certificates(&data.ca_pem).ok_or_else(|| wrong(&"the root is no PEM"))?;
        if roots.len() != 1 || roots.first().map(|der| Digest::of(der)) != Some(expected.root) {
            return Err(wrong(&"they are under another root than the one that was pinned"));
        }
        let mut papers = Papers {
            agent: agent.ok_or_else(|| wrong(&"the certificate is no PEM"))?,
            chain,
            roots,
            issuer: None,
            names: names(data.names).map_err(|what| wrong(&what))?,
        };
        let path = snapshot::prove(&papers, now).map_err(|refusal| wrong(&refusal))?;
        let issuer = path.issuing().decoded().key().key_id();
        papers.issuer = Some(issuer);
        if expected.issuer.is_some_and(|named| named != issuer) {
            return Err(wrong(&format_args!(
                "they are of the issuing authority {issuer}, not of the one that was named"
            )));
        }
        let certificate = path.agent();
        if certificate.decoded().key() != expected.key {
            return Err(wrong(&"they are for another key"));
        }
        if expected.agent.is_some_and(|agent| agent != certificate.agent()) {
            return Err(wrong(&format_args!("they are those of the agent {}", certificate.agent())));
        }
        let has = |root: Digest| papers.names.iter().any(|list| list.root() == root);
        if !certificate.scope().detached_roots().all(has) {
            return Err(wrong(&"a list of names is missing"));
        }
        let lists = PathLists::from_pem(data.lists_pem.as_bytes(), &path).map_err(|error| wrong(&error))?;
        // A guard would refuse them, and nothing is written that it would.
        if lists.this_update() > now.plus(TOLERANCE) || lists.next_update() <= now {
            let (begin, end) = (lists.this_update(), lists.next_update());
            return Err(wrong(&format_args!("their lists are of {begin} to {end}, and here it is {now}")));
        }
        // Papers are no way around the feed: a guard would decide by the list alone until that ends.
        if lists.issuing().policy().is_none() && !expected.without_feed {
            let what = "the papers are refused: their lists ask for no feed; start the authority with one, or connect without_feed";
            return Err(Trouble::now("feed.none", what));
        }
        // It goes into the settings, so it has to be what it says.
        let log = data.log.filter(|key| VerifierKey::parse(key).is_ok());
        Ok(Self {
            papers,
            path,
            lists,
            genesis: data.genesis,
            name: printable(&data.agent_name),
            log,
            succession: data.succession,
        })
    }

    /// What the settings of a new directory say.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let agent = self.path.agent().agent().to_string();
        let own = [
            ("agent", agent),
            ("name", self.name.clone()),
            ("lists", LISTS.to_owned()),
            (PIN, install::pin(&self.path)),
        ];
        own.into_iter().chain(self.log.clone().map(|key| ("log", key))).collect()
    }
}

fn certificates(pem: &str) -> Option<Vec<Vec<u8>>> {
    let blocks = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.map(|der| der.to_vec()));
    blocks.collect::<Result<Vec<_>, _>>().ok().filter(|ders| !ders.is_empty())
}

fn names(files: BTreeMap<String, String>) -> Result<NameLists, String> {
    let mut lists = NameLists::default();
    for (file, text) in files {
        let wrong = || format!("the list of names `{}` is not the one its name says", printable(&file));
        let root = file.strip_suffix(".txt").and_then(Digest::from_hex).ok_or_else(wrong)?;
        let text = Base64::decode_vec(&text).ok().and_then(|text| String::from_utf8(text).ok());
        let list = NameList::parse(&text.ok_or_else(wrong)?).map_err(|error| error.to_string())?;
        if list.root() != root {
            return Err(wrong());
        }
        lists.insert(list);
    }
    Ok(lists)
}

/// The certificates, two lists and names of the largest scope.
pub(crate) const MAX_PAPERS: usize = 256 << 20;
/// WIRE 3: clocks may be a little behind.
const TOLERANCE: i64 = 120;

#[cfg(test)]
mod tests {
    use kakunin_authority::authority::{Days, Hours};
    use serde_json::json;

    use super::*;
    use crate::place::Place;
    use crate::tested::{answer, certified, now, with_authority};

    /// C206
    #[test]
    fn papers_whose_lists_have_ended_or_are_of_a_time_to_come_are_refused() {
        with_authority(|folder, authority| {
            let _ = certified(authority, folder, "billing");
            let (place, begin) = (Place::open(&folder.join("billing"), now()).unwrap(), now());
            let papers = authority.renew_elsewhere(place.path().agent(), Days::WEEK, Hours::default(), begin);
            let mut data = answer(&papers.unwrap());
            // For an hour, from an hour on.
            let (from, to) = (begin.plus(3_600), begin.plus(7_200));
            let _ = authority.publish(Hours::new(1).unwrap(), from).unwrap();
            data["lists_pem"] = std::fs::read_to_string(folder.join("home/public/lists.pem")).unwrap().into();
            let (signer, bytes) = (place.signer().unwrap(), json!({ "data": data }).to_string());
            let expected = Expected {
                key: signer.public(),
                root: place.root(),
                issuer: None,
                agent: Some(place.agent()),
                without_feed: true,
            };
            let judge = |at| NewPapers::judge(bytes.as_bytes(), &expected, at);
            for at in [from.plus(-120), to.plus(-1)] {
                judge(at).unwrap();
            }
            for at in [from.plus(-121), to] {
                let refused = judge(at).unwrap_err();
                assert_eq!(refused.code, "papers.refused");
                assert!(refused.text.contains("their lists"), "{refused}");
            }
        });
    }
}
