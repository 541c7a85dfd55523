//! Names of detached lists, proven one by one (WIRE 1.6): for whoever has to decide and has not the list.
//!
//! The certificate signs a root and a count. Whoever has the list shows for a name its RFC 6962 inclusion proof, or the proofs of
//! the two names between which it would stand: the lists ascend, so two neighbours with nothing between them say what is not
//! there. Takes in a list and names, gives out the value of [`NAMES_FIELD`]; takes in such a value, gives out
//! [`ProvenNames`]. What is not proven is not known: a decision that needs it is `scope.names_missing`.
//!
//! ```text
//! kakunin-names: name=:<octets>:;root=:<32 octets>:;count=<names in the list>;index=<place, from 0>;path=:<32 octets for each sibling>:, ..
//! ```

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use base64ct::{Base64, Encoding as _};

use super::names::{CanonicalName, MAX_DETACHED, NameList, NameLists, NameRule, NameSet};
use super::{ActionName, Scope};
use crate::digest::Digest;
use crate::tree::{HashSource, InclusionProof, leaf_hash, node_hash};

/// What somebody proved of lists that are not here. It speaks for no list: only a certificate that signs the same root and
/// count makes it count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProvenNames(HashMap<(Digest, u32), BTreeMap<u32, Vec<u8>>>);

impl ProvenNames {
    /// Reads the value of [`NAMES_FIELD`] in its one spelling, and checks each proof in it.
    ///
    /// # Errors
    /// [`ProvenNamesError`]: nothing of it may be used.
    pub fn parse(value: &str) -> Result<Self, ProvenNamesError> {
        if value.len() > MAX_FIELD {
            return Err(ProvenNamesError::TooLong);
        }
        let mut proven = Self::default();
        for (place, item) in value.split(", ").enumerate() {
            if place >= MAX_ITEMS {
                return Err(ProvenNamesError::TooLong);
            }
            let Item { name, root, proof } = Item::read(item).ok_or(ProvenNamesError::Item { place })?;
            if proof.root(leaf_hash(&name)) != Some(root) {
                return Err(ProvenNamesError::Proof { place });
            }
            let (Ok(count), Ok(index)) = (u32::try_from(proof.size), u32::try_from(proof.index)) else {
                return Err(ProvenNamesError::Item { place });
            };
            if proven.0.entry((root, count)).or_default().insert(index, name).is_some() {
                return Err(ProvenNamesError::Item { place });
            }
        }
        // Neighbours say something because lists ascend. One that does not is no list.
        let ascends = |shown: &BTreeMap<u32, Vec<u8>>| shown.values().is_sorted_by(|one, next| one < next);
        if proven.0.values().all(ascends) { Ok(proven) } else { Err(ProvenNamesError::Order) }
    }

    /// Whether `name` is in the list of this root and count; `None` if that is not proven either way.
    #[must_use]
    pub fn contains(&self, root: &Digest, count: u32, name: &[u8]) -> Option<bool> {
        let shown = self.0.get(&(*root, count))?;
        if shown.values().any(|known| known == name) {
            return Some(true);
        }
        let before = shown.iter().rfind(|(_, known)| known.as_slice() < name).map(|(index, _)| *index);
        let behind = shown.iter().find(|(_, known)| known.as_slice() > name).map(|(index, _)| *index);
        let nothing_between = match (before, behind) {
            (Some(before), Some(behind)) => before.checked_add(1) == Some(behind),
            // In front of the first, behind the last.
            (None, Some(first)) => first == 0,
            (Some(last), None) => last.checked_add(1) == Some(count),
            (None, None) => false,
        };
        nothing_between.then_some(false)
    }
}

/// The value of [`NAMES_FIELD`] for a request of this action with these names, under `scope`; `None` if no detached list has
/// a say in it.
///
/// # Errors
/// [`ProvenNamesError`]: a list is not in `lists`, or the proofs would be too many; a name that is none proves nothing and is left out.
pub fn prove_names(
    scope: &Scope,
    lists: &NameLists,
    action: &str,
    counterparties: &[&str],
    resources: &[&str],
) -> Result<Option<String>, ProvenNamesError> {
    let Some(action) = ActionName::parse(action) else { return Ok(None) };
    let parts = scope.parts();
    let mut items: BTreeMap<(Digest, u64), String> = BTreeMap::new();
    for (rules, names) in [(&parts.parties, counterparties), (&parts.resources, resources)] {
        let covers = |rule: &&NameRule| rule.r#for.iter().any(|pattern| pattern.covers_name(action.as_str()));
        for set in
            rules.iter().filter(covers).flat_map(|rule| [Some(&rule.allow), rule.deny.as_ref()]).flatten()
        {
            let NameSet::Detached { root, count } = set else { continue };
            let list = lists.get(root).filter(|list| list.names().len() == *count as usize);
            let list = list.ok_or(ProvenNamesError::NoList { root: *root })?;
            let tree = Tree(list);
            for name in names.iter().filter_map(|name| CanonicalName::new(name).ok()) {
                for index in tree.places(name.as_bytes()) {
                    let item = tree.item(index).ok_or(ProvenNamesError::NoList { root: *root })?;
                    items.insert((*root, index), item);
                }
            }
        }
    }
    let value = items.into_values().collect::<Vec<_>>();
    if value.len() > MAX_ITEMS {
        return Err(ProvenNamesError::TooLong);
    }
    Ok((!value.is_empty()).then(|| value.join(", ")))
}

/// A list as the tree over its names.
#[derive(Clone, Copy)]
struct Tree<'l>(&'l NameList);

impl Tree<'_> {
    /// Where a name stands, or its neighbours.
    fn places(self, name: &[u8]) -> Vec<u64> {
        let names = self.0.names();
        let to = |index: usize| index as u64;
        match names.binary_search_by(|known| known.as_bytes().cmp(name)) {
            Ok(index) => vec![to(index)],
            Err(index) => {
                let before = index.checked_sub(1).map(to);
                before.into_iter().chain((index < names.len()).then_some(to(index))).collect()
            }
        }
    }

    fn item(mut self, index: u64) -> Option<String> {
        let (name, root) = (self.0.names().get(usize::try_from(index).ok()?)?, self.0.root());
        let size = self.0.names().len() as u64;
        let Ok(proof) = InclusionProof::make(&mut self, index, size);
        let path: Vec<u8> = proof?.path.iter().flat_map(Digest::as_bytes).copied().collect();
        let [name, root, path] = [name.as_bytes(), root.as_bytes(), &path].map(Base64::encode_string);
        Some(format!("name=:{name}:;root=:{root}:;count={size};index={index};path=:{path}:"))
    }
}

impl HashSource for Tree<'_> {
    type Error = Infallible;

    fn complete(&mut self, height: u32, index: u64) -> Result<Digest, Infallible> {
        let row = self.0.subtrees().get(height as usize);
        let hash = row.zip(usize::try_from(index).ok()).and_then(|(row, index)| row.get(index));
        // INVARIANT: a proof asks for complete subtrees of the list only; any other hash proves nothing.
        Ok(hash.copied().unwrap_or_else(|| Digest::of(b"")))
    }
}

/// The hashes of every complete subtree over `names`, row by row from the leaves.
pub(super) fn subtrees(names: &[String]) -> Vec<Vec<Digest>> {
    let mut rows = vec![names.iter().map(|name| leaf_hash(name.as_bytes())).collect::<Vec<_>>()];
    while let Some(row) = rows.last().filter(|row| row.len() > 1) {
        let (pairs, _) = row.as_chunks::<2>();
        rows.push(pairs.iter().map(|[left, right]| node_hash(left, right)).collect());
    }
    rows
}

struct Item {
    name: Vec<u8>,
    root: Digest,
    proof: InclusionProof,
}

impl Item {
    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("name=:")?;
        let (name, rest) = rest.split_once(":;root=:")?;
        let (root, rest) = rest.split_once(":;count=")?;
        let (count, rest) = rest.split_once(";index=")?;
        let (index, rest) = rest.split_once(";path=:")?;
        let path = octets(rest.strip_suffix(':')?)?;
        let (path, odd) = path.as_chunks::<32>();
        let (name, root) = (octets(name)?, octets(root)?.try_into().ok()?);
        let (size, index) = (number(count)?, number(index)?);
        let is_list = (1..=MAX_DETACHED as u64).contains(&size) && index < size;
        let is_name = (1..=MAX_NAME).contains(&name.len());
        let path = path.iter().copied().map(Digest::from_bytes).collect();
        (odd.is_empty() && is_list && is_name).then_some(Self {
            name,
            root: Digest::from_bytes(root),
            proof: InclusionProof { index, size, path },
        })
    }
}

/// Octets in the one spelling that base64 has for them.
fn octets(text: &str) -> Option<Vec<u8>> {
    let octets = Base64::decode_vec(text).ok()?;
    (Base64::encode_string(&octets) == text).then_some(octets)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// Proofs that cannot be made, or are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvenNamesError {
    /// A list that is not here.
    #[error("the list of names {root} is not here; restore the names folder of the agent")]
    NoList {
        /// The root that the certificate names it by.
        root: Digest,
    },
    /// More than anybody reads.
    #[error("more than {MAX_ITEMS} proofs of names, or more than {MAX_FIELD} octets of them")]
    TooLong,
    /// An item that is not of the one form.
    #[error("item {place} of `{NAMES_FIELD}` is not of its form, or is there twice")]
    Item {
        /// Its place, from 0.
        place: usize,
    },
    /// A proof that does not lead to its root.
    #[error("item {place} of `{NAMES_FIELD}` is not in the list that it names")]
    Proof {
        /// Its place, from 0.
        place: usize,
    },
    /// Names that are not in the order of a list.
    #[error("the names of `{NAMES_FIELD}` do not ascend by their places")]
    Order,
}

/// The HTTP field of the proofs, in lower case.
pub const NAMES_FIELD: &str = "kakunin-names";
/// Of a list of a million a proof has 20 siblings and takes some 1,100 octets.
const MAX_ITEMS: usize = 32;
const MAX_FIELD: usize = 40 << 10;
/// WIRE 1.5: a name, or the `sha256:` form of one.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: usize) -> NameList {
        let lines: Vec<String> = (0..count).map(|n| format!("vendor-{:05}", n * 2 + 1)).collect();
        NameList::parse(&lines.join("\n")).unwrap()
    }

    fn shown(list: &NameList, names: &[&str]) -> String {
        let tree = Tree(list);
        let places = names.iter().flat_map(|name| tree.places(name.as_bytes())).collect::<Vec<_>>();
        let mut places = places;
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|index| tree.item(index).unwrap()).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_name_of_each_list_is_proven_and_so_is_each_gap() {
        for count in [1, 2, 3, 5, 8, 33, 100] {
            let list = list(count);
            let (root, size) = (list.root(), u32::try_from(count).unwrap());
            for number in 0..=2 * count + 1 {
                let name = format!("vendor-{number:05}");
                let proven = ProvenNames::parse(&shown(&list, &[&name])).unwrap();
                let inside = list.names().contains(&name);
                assert_eq!(proven.contains(&root, size, name.as_bytes()), Some(inside), "{name} of {count}");
                // It says so of the list of this root and count only.
                assert_eq!(proven.contains(&root, size + 1, name.as_bytes()), None);
                assert_eq!(proven.contains(&Digest::of(b"other"), size, name.as_bytes()), None);
            }
        }
    }

    #[test]
    fn a_gap_needs_both_of_its_neighbours_and_nothing_between() {
        let list = list(9);
        let (root, count) = (list.root(), 9);
        let items: Vec<String> = (0..9).map(|index| Tree(&list).item(index).unwrap()).collect();
        let says = |shown: &[usize], name: &str| {
            let value: Vec<&str> = shown.iter().map(|index| items[*index].as_str()).collect();
            ProvenNames::parse(&value.join(", ")).unwrap().contains(&root, count, name.as_bytes())
        };
        // Between vendor-00007, at 3, and vendor-00009, at 4.
        assert_eq!(says(&[3, 4], "vendor-00008"), Some(false));
        assert_eq!(says(&[3], "vendor-00008"), None);
        assert_eq!(says(&[4], "vendor-00008"), None);
        assert_eq!(says(&[3, 5], "vendor-00008"), None, "one is left out");
        assert_eq!(says(&[3, 5], "vendor-00009"), None, "the very one that is left out");
        assert_eq!(says(&[0], "vendor-00000"), Some(false));
        assert_eq!(says(&[1], "vendor-00000"), None);
        assert_eq!(says(&[8], "vendor-99999"), Some(false));
        assert_eq!(says(&[7], "vendor-99999"), None);
        assert_eq!(says(&[2], "vendor-00005"), Some(true));
    }

    #[test]
    fn proofs_have_one_spelling_and_lead_to_their_root() {
        let list = list(40);
        let good = shown(&list, &["vendor-00007"]);
        assert!(ProvenNames::parse(&good).is_ok());
        let other = shown(&list, &["vendor-00009"]);
        let name = |text: &str| Base64::encode_string(text.as_bytes());
        for wrong in [
            String::new(),
            format!("{good},"),
            format!("{good}, "),
            format!("{good},{other}"),
            format!("{good}, {good}"),
            format!(" {good}"),
            good.replace("index=3", "index=03"),
            good.replace("index=3", "index=4"),
            good.replace("index=3", "index=40"),
            good.replace("count=40", "count=0"),
            good.replace("count=40", "count=1000001"),
            good.replace(&name("vendor-00007"), &name("vendor-00008")),
            good.replace(&name("vendor-00007"), ""),
            good.replace("name=", "Name="),
            good.replace(";index", "; index"),
            good.replacen("path=:", "path=:AAAA", 1),
            good.replace(";path", ""),
            format!("{good};more=1"),
        ] {
            assert_ne!(wrong, good);
            assert!(ProvenNames::parse(&wrong).is_err(), "{wrong}");
        }
        // Trees of two sizes can have one path. The certificate signs the size, so what is said of another one counts nowhere.
        for count in 4..=64 {
            let said = ProvenNames::parse(&good.replace("count=40", &format!("count={count}")));
            let known = said.is_ok_and(|said| said.contains(&list.root(), 40, b"vendor-00007").is_some());
            assert_eq!(known, count == 40, "{count}");
        }
        let many = vec![good.as_str(); MAX_ITEMS + 1].join(", ");
        assert_eq!(ProvenNames::parse(&many), Err(ProvenNamesError::Item { place: 1 }));
        assert_eq!(ProvenNames::parse(&"x".repeat(MAX_FIELD + 1)), Err(ProvenNamesError::TooLong));
        let all: Vec<String> = (0..40).map(|index| Tree(&list).item(index).unwrap()).collect();
        assert_eq!(ProvenNames::parse(&all.join(", ")), Err(ProvenNamesError::TooLong));
        assert!(ProvenNames::parse(&all[..MAX_ITEMS].join(", ")).is_ok());
    }
}
