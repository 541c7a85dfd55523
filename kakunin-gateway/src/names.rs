//! Detached lists of names that callers' scopes refer to, from a folder: `<root>.txt`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kakunin_core::digest::Digest;
use kakunin_core::scope::{NameList, NameLists, NameSet, Scope};

/// A folder of lists. A list that is not there, or is not the one its name says, is missing: what needs it is denied.
#[derive(Debug)]
pub(crate) struct NameFolder {
    folder: Option<PathBuf>,
    /// What was read. A root names one list, for good.
    read: Mutex<HashMap<Digest, NameList>>,
}

impl NameFolder {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, read: Mutex::default() }
    }

    /// The lists that `scope` refers to, and whether they are all there.
    pub(crate) fn of(&self, scope: &Scope) -> (NameLists, bool) {
        let (mut lists, mut complete) = (NameLists::default(), true);
        for root in scope.detached_roots() {
            match self.list(&root) {
                Some(list) => lists.insert(list),
                None => complete = false,
            }
        }
        (lists, complete)
    }

    fn list(&self, root: &Digest) -> Option<NameList> {
        let folder = self.folder.as_deref()?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = read.get(root) {
            return Some(list.clone());
        }
        let list = read_list(&folder.join(format!("{root}.txt")), root)?;
        if read.len() >= MOST_LISTS {
            read.clear();
        }
        read.insert(*root, list.clone());
        Some(list)
    }
}

fn read_list(path: &Path, wanted: &Digest) -> Option<NameList> {
    let length = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    let text = (length <= LONGEST).then(|| fs::read_to_string(path).ok())??;
    let list = NameList::parse(&text).ok()?;
    let is_it = matches!(list.to_set(), NameSet::Detached { root, .. } if root == *wanted);
    is_it.then_some(list)
}

/// Kept at once; more are read again when they are needed.
const MOST_LISTS: usize = 64;
/// A million names of 128 octets and two for the end of each line.
const LONGEST: u64 = 130_000_000;
