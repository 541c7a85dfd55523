//! `manifest.json`: what a bundle says it holds. It is signed by nobody and proves nothing; it lets a reader refuse a
//! bundle whose parts do not belong together, before any of them is read.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{ChainId, StreamId};

/// The manifest, members ascending as they are spelled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The one chain it is about; whole streams without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) chain: Option<String>,
    /// The logs, in the order of their folders.
    pub(super) logs: Vec<ManifestLog>,
    /// Every other member.
    pub(super) members: Vec<ManifestMember>,
    /// The streams, ascending.
    pub(super) streams: Vec<ManifestStream>,
    pub(super) v: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestLog {
    /// The log's name, for whoever looks for its key.
    pub(super) origin: String,
    pub(super) size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestMember {
    pub(super) name: String,
    pub(super) sha256: String,
    pub(super) size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestStream {
    pub(super) receipts: u64,
    pub(super) stream: String,
}

/// A manifest that was understood.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) chain: Option<ChainId>,
    pub(super) logs: Vec<String>,
    /// The size of each log at its last checkpoint.
    pub(super) sizes: Vec<u64>,
    pub(super) members: Vec<(String, Digest, u64)>,
    pub(super) streams: Vec<(StreamId, u64)>,
}

impl Manifest {
    /// The one spelling.
    pub(super) fn to_json(&self) -> Vec<u8> {
        // INVARIANT: texts and numbers can always be written.
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Reads the one spelling.
    pub(super) fn read(json: &[u8]) -> Option<Plan> {
        let manifest: Self = serde_json::from_slice(json).ok()?;
        if manifest.to_json() != json || manifest.v != VERSION {
            return None;
        }
        let chain = match &manifest.chain {
            Some(chain) => Some(ChainId::parse(chain)?),
            None => None,
        };
        let members = manifest.members.into_iter();
        let members: Option<Vec<_>> = members
            .map(|member| Some((member.name, Digest::from_hex(&member.sha256)?, member.size)))
            .collect();
        let streams = manifest.streams.iter();
        let streams: Option<Vec<_>> =
            streams.map(|stream| Some((StreamId::parse(&stream.stream)?, stream.receipts))).collect();
        let streams = streams?;
        let ascending = streams.iter().zip(streams.iter().skip(1)).all(|(one, next)| one.0 < next.0);
        let (logs, sizes): (Vec<_>, Vec<_>) =
            manifest.logs.into_iter().map(|log| (log.origin, log.size)).unzip();
        (ascending && logs.len() <= MAX_LOGS && streams.iter().all(|(_, receipts)| *receipts > 0))
            .then_some(Plan { chain, logs, sizes, members: members?, streams })
    }
}

impl Plan {
    /// The SHA-256 of a member.
    pub(super) fn digest(&self, member: &str) -> Option<Digest> {
        self.members.iter().find(|(name, ..)| name == member).map(|(_, digest, _)| *digest)
    }

    /// The names that the members must have, in this order, after the manifest. Those of lists are in `names` already, and
    /// so are the ones of erasures and of a feed, if there were any.
    pub(super) fn expected<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut expected = vec![RECEIPTS.to_owned(), CERTIFICATES.to_owned()];
        let (mut lists, mut erased, mut feed) = (Vec::new(), false, false);
        for name in names {
            erased |= name == ERASED;
            feed |= name == FEED;
            lists.extend(list_name(name).map(|_| name.to_owned()));
        }
        lists.sort_unstable();
        lists.dedup();
        expected.append(&mut lists);
        expected.push(DISCLOSURES.to_owned());
        if erased {
            expected.push(ERASED.to_owned());
        }
        if feed {
            expected.push(FEED.to_owned());
        }
        for log in 0..self.logs.len() {
            expected.extend(LOG_PARTS.map(|part| log_member(log, part)));
        }
        expected.extend([SEALS, TOTALS, RECIPE].map(str::to_owned));
        expected
    }
}

/// The digest in the name of a list.
pub(super) fn list_name(member: &str) -> Option<Digest> {
    Digest::from_hex(member.strip_prefix("crls/")?.strip_suffix(".crl")?)
}

/// Whether a member is read line by line, however long it is. What every other one holds is in memory at once.
pub(super) fn is_read_by_line(member: &str) -> bool {
    [RECEIPTS, DISCLOSURES, SEALS, FEED].contains(&member) || member.ends_with("/proofs")
}

/// The member of a list.
pub(super) fn list_member(name: &Digest) -> String {
    format!("crls/{name}.crl")
}

/// A member of a log.
pub(super) fn log_member(log: usize, part: &str) -> String {
    format!("logs/{log}/{part}")
}

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const RECEIPTS: &str = "receipts.jws";
pub(super) const CERTIFICATES: &str = "certs.pem";
pub(super) const DISCLOSURES: &str = "disclosures.jsonl";
pub(super) const ERASED: &str = "erased";
pub(super) const FEED: &str = "feed";
pub(super) const CHECKPOINTS: &str = "checkpoints";
pub(super) const CONSISTENCY: &str = "consistency";
pub(super) const PROOFS: &str = "proofs";
pub(super) const LOG_PARTS: [&str; 3] = [CHECKPOINTS, CONSISTENCY, PROOFS];
pub(super) const SEALS: &str = "seals";
pub(super) const TOTALS: &str = "totals";
pub(super) const RECIPE: &str = "VERIFY.md";
pub(super) const VERSION: u64 = 1;

/// Certificates, lists, erasures and checkpoints of one incident stay far below.
pub(super) const MAX_SMALL: u32 = 64 << 20;

/// Owners of one incident; each has a log.
const MAX_LOGS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            chain: Some("00112233445566778899aabbccddeeff".to_owned()),
            logs: vec![ManifestLog { origin: "log.example/a".to_owned(), size: 9 }],
            members: vec![ManifestMember {
                name: "receipts.jws".to_owned(),
                sha256: Digest::of(b"").to_hex(),
                size: 0,
            }],
            streams: vec![ManifestStream { receipts: 2, stream: "00".repeat(16) }],
            v: VERSION,
        }
    }

    #[test]
    fn a_manifest_has_one_spelling() {
        let json = manifest().to_json();
        let plan = Manifest::read(&json).unwrap();
        assert_eq!(plan.streams, [(StreamId::from_bytes([0; 16]), 2)]);
        let text = String::from_utf8(json).unwrap();
        for (from, to) in [
            ("{\"chain\"", "{ \"chain\""),
            ("\"v\":1", "\"v\":2"),
            ("\"v\":1", "\"v\":1,\"x\":1"),
            ("aabb", "AABB"),
            ("\"receipts\":2", "\"receipts\":0"),
            ("\"receipts\":2", "\"receipts\":2.0"),
            ("\n", ""),
            ("log.example", "\\u006cog.example"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert!(Manifest::read(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn streams_ascend() {
        let mut manifest = manifest();
        manifest.streams.push(ManifestStream { receipts: 1, stream: "00".repeat(16) });
        assert!(Manifest::read(&manifest.to_json()).is_none());
        manifest.streams[1].stream = "01".repeat(16);
        assert!(Manifest::read(&manifest.to_json()).is_some());
    }
}
