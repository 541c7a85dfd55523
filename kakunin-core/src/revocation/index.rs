//! The entries of a list, ordered for lookup.
//!
//! Serial numbers of up to 16 octets are kept as integers in buckets by their leading bits: our own are random
//! there, so a bucket holds a handful and a lookup touches one place. Longer ones of other authorities stand in a
//! side table.

use super::standing::Standing;
use crate::id::SerialNumber;

/// Entries by serial number.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    // INVARIANT: `serials` and `standings` run in parallel, sorted by (bucket, serial), without duplicates.
    serials: Vec<u128>,
    standings: Vec<Standing>,
    starts: Vec<u32>,
    bits: u32,
    long: Vec<(SerialNumber, Standing)>,
}

impl Index {
    pub(super) fn build(entries: Vec<(SerialNumber, Standing)>) -> Self {
        let mut short = Vec::with_capacity(entries.len());
        let mut long = Vec::new();
        for (serial, standing) in entries {
            match serial.to_u128() {
                Some(number) => short.push((number, standing)),
                None => long.push((serial, standing)),
            }
        }
        // About four entries a bucket.
        let bits = (short.len() / 4).checked_ilog2().unwrap_or(0).min(24);
        let key = |number: u128| (bucket_of(number, bits), number);
        // The most restrictive of duplicates comes first and survives.
        short.sort_unstable_by(|a, b| key(a.0).cmp(&key(b.0)).then(b.1.cmp(&a.1)));
        short.dedup_by_key(|entry| entry.0);
        long.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        long.dedup_by_key(|entry| entry.0);

        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for bucket in 0..=(1_u32 << bits) {
            let start = short.partition_point(|entry| bucket_of(entry.0, bits) < bucket);
            starts.push(u32::try_from(start).unwrap_or(u32::MAX));
        }
        let (serials, standings) = short.into_iter().unzip();
        Self { serials, standings, starts, bits, long }
    }

    pub(super) fn standing(&self, serial: &SerialNumber) -> Standing {
        let Some(number) = serial.to_u128() else {
            let found = self.long.binary_search_by(|entry| entry.0.cmp(serial));
            return found.ok().and_then(|at| self.long.get(at)).map_or(Standing::Good, |entry| entry.1);
        };
        let bucket = bucket_of(number, self.bits) as usize;
        let bound = |at: usize| self.starts.get(at).map(|start| *start as usize);
        let (Some(start), Some(end)) = (bound(bucket), bound(bucket + 1)) else { return Standing::Good };
        let found = self
            .serials
            .get(start..end)
            .and_then(|bucket| bucket.iter().position(|listed| *listed == number));
        found.and_then(|at| self.standings.get(start + at)).copied().unwrap_or(Standing::Good)
    }

    pub(super) fn len(&self) -> usize {
        self.serials.len() + self.long.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SerialNumber, Standing)> + '_ {
        let short = self.serials.iter().zip(&self.standings).filter_map(|(number, standing)| {
            let octets = number.to_be_bytes();
            let start = octets.iter().position(|octet| *octet != 0)?;
            let mut content = octets.get(start..)?.to_vec();
            if content.first().is_some_and(|first| first & 0x80 != 0) {
                content.insert(0, 0);
            }
            Some((SerialNumber::from_der_content(&content)?, *standing))
        });
        short.chain(self.long.iter().copied())
    }
}

/// The `bits` bits below the two leading ones, which are fixed in the serials we make.
fn bucket_of(number: u128, bits: u32) -> u32 {
    let below = number << 2;
    u32::try_from(below.checked_shr(128 - bits).unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(content: &[u8]) -> SerialNumber {
        SerialNumber::from_der_content(content).unwrap()
    }

    #[test]
    fn every_listed_serial_is_found_and_no_other() {
        let made = |n: u32| {
            let digest = crate::digest::Digest::of(&n.to_be_bytes());
            SerialNumber::from_random(digest.as_bytes()[..16].try_into().unwrap())
        };
        let mut entries: Vec<_> = (0..5000)
            .map(|n| (made(n), if n % 3 == 0 { Standing::Held } else { Standing::Revoked }))
            .collect();
        entries.push((serial(&[0x7f; 20]), Standing::Revoked));
        entries.push((serial(&[1]), Standing::Held));
        let index = Index::build(entries.clone());
        assert_eq!(index.len(), 5002);
        for (serial, standing) in &entries {
            assert_eq!(index.standing(serial), *standing, "{serial}");
        }
        assert!((5000..6000).all(|n| index.standing(&made(n)) == Standing::Good));
        assert_eq!(index.standing(&serial(&[0x7e; 20])), Standing::Good);
        let mut listed: Vec<_> = index.iter().collect();
        listed.sort_unstable();
        entries.sort_unstable();
        assert_eq!(listed, entries);
    }

    #[test]
    fn of_duplicates_the_most_restrictive_counts() {
        let one = serial(&[9]);
        let long = serial(&[9; 20]);
        for pair in [[Standing::Held, Standing::Revoked], [Standing::Revoked, Standing::Held]] {
            let index = Index::build(pair.iter().flat_map(|s| [(one, *s), (long, *s)]).collect());
            assert_eq!(
                (index.standing(&one), index.standing(&long), index.len()),
                (Standing::Revoked, Standing::Revoked, 2)
            );
        }
    }

    #[test]
    fn an_empty_index_knows_nobody() {
        assert_eq!(Index::build(Vec::new()).standing(&serial(&[1])), Standing::Good);
    }
}
