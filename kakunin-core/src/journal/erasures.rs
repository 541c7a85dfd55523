//! Which values were erased, by their commitments.

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
}

impl Erasures {
    /// What was erased in the journal folder `journal`.
    #[must_use]
    pub fn of(journal: &Path) -> Self {
        let archive = Archive::of(journal);
        let kept = archive.erasures().into_iter().filter_map(|root| Some((root, archive.erased(&root)?)));
        Self::from_iter(kept)
    }

    /// The root of the erasure that the value of `commitment` fell to.
    #[must_use]
    pub fn root_of(&self, commitment: &Digest) -> Option<&Digest> {
        let place = self.commitments.partition_point(|(known, _)| known < commitment);
        let (_, root) = self.commitments.get(place).filter(|(known, _)| known == commitment)?;
        self.roots.get(*root)
    }
}

impl FromIterator<(Digest, Vec<Digest>)> for Erasures {
    fn from_iter<T: IntoIterator<Item = (Digest, Vec<Digest>)>>(erasures: T) -> Self {
        let mut all = Self::default();
        for (root, commitments) in erasures {
            let place = all.roots.len();
            all.roots.push(root);
            all.commitments.extend(commitments.into_iter().map(|commitment| (commitment, place)));
        }
        all.commitments.sort_unstable();
        all
    }
}
