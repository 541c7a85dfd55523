//! Room that many share, of which nobody takes more than a part.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// What is taken at the moment, by whom.
pub(crate) struct Shares<K>(Arc<Mutex<HashMap<K, usize>>>);

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// A place in each share that it was asked of; free again when this is dropped.
pub(crate) struct Share<K: Eq + Hash> {
    of: Vec<K>,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// Takes one place in the share of each, which has so many; all of them or none.
    pub(crate) fn take(&self, wanted: impl IntoIterator<Item = (K, usize)>) -> Option<Share<K>> {
        let wanted: Vec<_> = wanted.into_iter().collect();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.iter().any(|(who, most)| held.get(who).copied().unwrap_or(0) >= *most) {
            return None;
        }
        let of: Vec<_> = wanted.into_iter().map(|(who, _)| who).collect();
        for who in &of {
            *held.entry(who.clone()).or_insert(0) += 1;
        }
        Some(Share { of, held: Arc::clone(&self.0) })
    }

    /// Whether nobody has a place.
    #[cfg(test)]
    pub(crate) fn are_free(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for who in &self.of {
            match held.get_mut(who) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(held.remove(who)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_in_every_share_or_in_none_and_comes_back() {
        let shares = Shares::default();
        let one = shares.take([("agent", 2), ("house", 3)]);
        let two = shares.take([("agent", 2), ("house", 3)]);
        assert!(one.is_some() && two.is_some() && shares.take([("agent", 2), ("house", 3)]).is_none());
        // What was refused took nothing from the house.
        let other = shares.take([("other", 2), ("house", 3)]);
        assert!(other.is_some() && shares.take([("other", 2), ("house", 3)]).is_none());
        drop(one);
        assert!(shares.take([("other", 2), ("house", 3)]).is_some());
        drop((two, other));
        assert!(shares.are_free());
    }
}
