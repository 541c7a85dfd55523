//! The name of a report: which agent, which days and which frameworks, by which evidence, and a mark of this service.

use kakunin_core::digest::{Digest, hex, unhex};
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use kakunin_evidence::Period;
use serde_json::Value;

use crate::access::TenantId;
use crate::http::error::Refusal;
use crate::signer::SealingKey;

/// What a report is about. Its name is this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ordered {
    pub(super) agent: AgentId,
    pub(super) created: UnixTime,
    pub(super) days: u8,
    /// A bit for each of [`FRAMEWORKS`].
    pub(super) frameworks: u16,
    /// The beginning of the digest of the evidence when it was ordered.
    pub(super) evidence: [u8; 8],
}

impl Ordered {
    pub(super) fn period(&self) -> Period {
        let from = self.created.plus(i64::from(self.days).saturating_mul(-DAY));
        Period { from: Some(from), to: Some(self.created) }
    }

    pub(super) fn frameworks(&self) -> Vec<&'static str> {
        let asked = |(place, _): &(usize, &&'static str)| self.frameworks >> place & 1 == 1;
        FRAMEWORKS.iter().enumerate().filter(asked).map(|(_, name)| *name).collect()
    }

    /// The name, marked for this tenant.
    pub(super) fn name(&self, key: &SealingKey, tenant: &TenantId) -> String {
        let octets = self.octets();
        let mark = key.mark(&place(tenant), &octets);
        format!("rep-{}{}", hex(&octets), hex(&mark))
    }

    fn octets(&self) -> Vec<u8> {
        let mut octets = vec![VERSION];
        octets.extend(self.agent.as_bytes());
        octets.extend(self.created.seconds().to_be_bytes());
        octets.push(self.days);
        octets.extend(self.frameworks.to_be_bytes());
        octets.extend(self.evidence);
        octets
    }

    /// Reads a name in its one spelling, if this service gave it to this tenant.
    pub(super) fn parse(name: &str, key: &SealingKey, tenant: &TenantId) -> Option<Self> {
        let whole: [u8; 68] = unhex(name.strip_prefix("rep-")?)?;
        let (octets, mark) = whole.split_last_chunk::<32>()?;
        if !key.is_marked(&place(tenant), octets, mark) {
            return None;
        }
        let (version, rest) = octets.split_first()?;
        let (agent, rest) = rest.split_first_chunk::<16>()?;
        let (created, rest) = rest.split_first_chunk::<8>()?;
        let (days, rest) = rest.split_first()?;
        let (frameworks, rest) = rest.split_first_chunk::<2>()?;
        let ordered = Self {
            agent: AgentId::from_bytes(*agent),
            created: UnixTime::from_seconds(i64::from_be_bytes(*created)),
            days: *days,
            frameworks: u16::from_be_bytes(*frameworks),
            evidence: *rest.first_chunk()?,
        };
        let known = ordered.frameworks != 0 && u32::from(ordered.frameworks) < 1 << FRAMEWORKS.len();
        let sound = *version == VERSION && known && (1..=90).contains(days) && ordered.created.seconds() > 0;
        sound.then_some(ordered)
    }
}

/// What a mark is for.
fn place(tenant: &TenantId) -> Vec<u8> {
    [b"report\n", tenant.as_str().as_bytes()].concat()
}

pub(super) fn beginning(digest: Digest) -> [u8; 8] {
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// The frameworks that are taken if nobody names one.
pub(super) fn usual() -> u16 {
    bits(["ai-rmf-1.0", "csf-2.0", "eu-ai-act", "iso-27001-2022", "mica"])
}

fn bits<'n>(names: impl IntoIterator<Item = &'n str>) -> u16 {
    let place = |name: &str| FRAMEWORKS.iter().position(|known| *known == name);
    names.into_iter().filter_map(place).fold(0, |bits, place| bits | 1 << place)
}

/// The frameworks of these names: ours, or the hosted service's for the same.
pub(super) fn chosen(names: &[Value]) -> Result<u16, Refusal> {
    let mut chosen = 0;
    for name in names {
        let name = name.as_str().unwrap_or_default();
        let ours = HOSTED.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours);
        match bits([ours]) {
            0 => {
                return Err(Refusal::invalid(format!(
                    "there is no framework of this name in `standardsFrameworks`; there are {}",
                    FRAMEWORKS.join(", ")
                )));
            }
            bit => chosen |= bit,
        }
    }
    Ok(chosen)
}

/// The second has a mark.
const VERSION: u8 = 2;
const DAY: i64 = 86_400;
/// Their places are in names of reports: a new one goes to the end.
const FRAMEWORKS: [&str; 10] = [
    "ai-rmf-1.0",
    "csf-2.0",
    "dora",
    "eu-ai-act",
    "iso-27001-2022",
    "iso-42001-2023",
    "mica",
    "owasp-agentic-2026",
    "soc2",
    "sp800-53-r5",
];
/// What the hosted service calls them. Its `nccoe` is a list of its own and no catalog that anybody published.
const HOSTED: [(&str, &str); 3] =
    [("iso_27001", "iso-27001-2022"), ("nist_csf", "csf-2.0"), ("nist_ai_rmf", "ai-rmf-1.0")];

#[cfg(test)]
mod tests {
    use kakunin_evidence::Framework;

    use super::*;
    use crate::signer::Passphrase;

    #[test]
    fn a_report_is_named_by_what_it_is_about_in_one_spelling() {
        let ordered = Ordered {
            agent: AgentId::from_random([7; 16]),
            created: UnixTime::from_seconds(1_795_000_000),
            days: 90,
            frameworks: usual(),
            evidence: [9; 8],
        };
        let folder = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("correct horse");
        let key = |file: &str| SealingKey::create(&folder.path().join(file), &passphrase).unwrap();
        let (key, foreign) = (key("one.pem"), key("other.pem"));
        let tenant = |name: &str| TenantId::parse(name).unwrap();
        let (ours, theirs) = (tenant("ours"), tenant("theirs"));
        let name = ordered.name(&key, &ours);
        assert_eq!(Ordered::parse(&name, &key, &ours), Some(ordered));
        assert_eq!(ordered.frameworks(), ["ai-rmf-1.0", "csf-2.0", "eu-ai-act", "iso-27001-2022", "mica"]);
        assert_eq!(bits(Framework::names()), 0b11_1111_1111, "every framework has its place");
        let of = |ordered: Ordered| ordered.name(&key, &ours);
        // Row E17 of docs/attacks.md: another day, in the form of a name, with the mark of this one or with none.
        let earlier = of(Ordered { created: UnixTime::from_seconds(1_790_000_000), ..ordered });
        let (mark, octets) = (name.split_at(name.len() - 64).1, earlier.split_at(earlier.len() - 64).0);
        for wrong in [
            format!("{octets}{mark}"),
            octets.to_owned(),
            format!("{octets}{}", "0".repeat(64)),
            ordered.name(&foreign, &ours),
            ordered.name(&key, &theirs),
            name.to_uppercase(),
            name.replace("rep-02", "rep-01"),
            format!("{name}0"),
            name.replacen("rep-", "", 1),
            of(Ordered { days: 0, ..ordered }),
            of(Ordered { days: 91, ..ordered }),
            of(Ordered { frameworks: 0, ..ordered }),
            of(Ordered { frameworks: 1 << 10, ..ordered }),
            of(Ordered { created: UnixTime::from_seconds(-1), ..ordered }),
            String::new(),
        ] {
            assert_eq!(Ordered::parse(&wrong, &key, &ours), None, "{wrong}");
        }
    }
}
