//! Which values were erased, by their commitments.

use std::collections::HashMap;
use std::path::Path;

use super::archive::Archive;
use crate::digest::Digest;

/// The commitments of some erasures, each under the root that the receipt of its erasure states. Whether there is such a
/// receipt, nobody has looked.
#[derive(Clone, Debug, Default)]
pub struct Erasures {
    /// Each commitment with the place of its root in `roots`, ascending.
    commitments: Vec<(Digest, usize)>,
    roots: Vec<Digest>,
    /// How many commitments each root is over.
    sizes: HashMap<Digest, u64>,
}

impl Erasures {
    /// What was erased in the journal folder `journal`.
    #[must_use]
    pub fn of(journal: &Path) -> Self {
        let archive = Archive::of(journal);
        let kept = archive.erasures().into_iter().filter_map(|root| Some((root, archive.erased(&root)?)));
        Self::from_iter(kept)
    }

    /// Whether nothing was erased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The roots of the erasures that name `commitment`. Nobody has to believe the first: whoever can write beside a journal
    /// can lay down another that names it too.
    pub fn roots_of(&self, commitment: &Digest) -> impl Iterator<Item = &Digest> {
        let first = self.commitments.partition_point(|(known, _)| known < commitment);
        let of_it = self.commitments.get(first..).unwrap_or_default();
        let known = *commitment;
        of_it.iter().take_while(move |(its, _)| *its == known).filter_map(|(_, root)| self.roots.get(*root))
    }

    /// How many values the erasure `root` names, if its commitments are here.
    #[must_use]
    pub fn size_of(&self, root: &Digest) -> Option<u64> {
        self.sizes.get(root).copied()
    }
}

impl FromIterator<(Digest, Vec<Digest>)> for Erasures {
    fn from_iter<T: IntoIterator<Item = (Digest, Vec<Digest>)>>(erasures: T) -> Self {
        let mut all = Self::default();
        for (root, commitments) in erasures {
            let place = all.roots.len();
            all.roots.push(root);
            all.sizes.insert(root, commitments.len() as u64);
            all.commitments.extend(commitments.into_iter().map(|commitment| (commitment, place)));
        }
        all.commitments.sort_unstable();
        all
    }
}
