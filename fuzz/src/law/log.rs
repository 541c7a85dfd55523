//! The transparency log: notes, checkpoints, proofs, keys, and the tiles on a disk.

use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;

use kakunin_core::log::{Checkpoint, LogReader, SignedNote, TlogProof, VerifierKey, WitnessPolicy};
use kakunin_core::tree::leaf_hash;
use tempfile::TempDir;

use crate::world::world;

use super::journal::{copy_all, overwrite};

/// A note and the checkpoint in it have one spelling, and the key of the log opens only what it signed.
pub(super) fn note(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(checkpoint) = Checkpoint::parse(text)
    {
        assert_eq!(checkpoint.to_string(), text);
    }
    let Ok(note) = SignedNote::parse(input) else { return };
    assert_eq!(note.to_string().as_bytes(), input, "a second spelling");
    assert!(!note.signatures().is_empty());
    if let Ok(opened) = note.open(&world().log_key) {
        assert_eq!(*opened.checkpoint(), Checkpoint::parse(note.text()).unwrap());
        assert_eq!(note.text(), signed().text(), "a checkpoint that nobody signed");
    }
}

/// A proof has one spelling, and proves of the world's log only what is in it.
pub(super) fn proof(input: &[u8]) {
    let Ok(proof) = TlogProof::parse(input) else { return };
    assert_eq!(proof.to_string().as_bytes(), input, "a second spelling");
    for (index, leaf) in (0..).zip(leaves()) {
        let proven = proof.verify(leaf_hash(&leaf), &world().log_key);
        assert!(proven.is_err() || proof.index == index, "entry {index} is not the one that is proven");
    }
    assert!(proof.verify(leaf_hash(b"never logged"), &world().log_key).is_err());
}

/// A verifier's key has one spelling. A policy is read without giving way.
pub(super) fn key(input: &[u8]) {
    if let Ok(policy) = WitnessPolicy::parse(input) {
        for key in policy.logs().iter().chain(policy.witnesses()) {
            assert_eq!(VerifierKey::parse(&key.to_string()).as_ref(), Ok(key));
        }
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text, "a second spelling");
    }
}

/// The first octet says which file of the log has the others for its content: whatever is read then is what was logged.
pub(super) fn tiles(input: &[u8]) {
    thread_local!(static COPY: OnceCell<(TempDir, Vec<PathBuf>)> = const { OnceCell::new() });
    let Some((which, content)) = input.split_first() else { return };
    COPY.with(|copy| {
        let (folder, files) = copy.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            copy_all(&world().folder.join("log"), folder.path());
            (folder, files())
        });
        let name = &files[usize::from(*which) % files.len()];
        let (path, original) =
            (folder.path().join(name), fs::read(world().folder.join("log").join(name)).unwrap());
        overwrite(&path, content);
        if let Ok(mut reader) = LogReader::open(folder.path(), &world().log_key) {
            let whole = reader.read_through().is_ok();
            let leaves = leaves();
            assert_eq!(reader.size(), leaves.len() as u64);
            for (index, leaf) in (0..).zip(&leaves) {
                if let Ok(entry) = reader.entry(index) {
                    assert_eq!(entry, leaf.as_slice());
                } else {
                    assert!(!whole);
                }
                if let Ok(proof) = reader.prove(index) {
                    assert_eq!(proof.root(leaf_hash(leaf)).as_ref(), Some(reader.checkpoint().root()));
                }
            }
        }
        overwrite(&path, &original);
    });
}

/// What the world's log holds.
pub(crate) fn leaves() -> Vec<Vec<u8>> {
    let mut reader = LogReader::open(&world().folder.join("log"), &world().log_key).unwrap();
    (0..reader.size()).map(|index| reader.entry(index).unwrap().to_vec()).collect()
}

/// The files of the world's log, by their names in it.
pub(crate) fn files() -> Vec<PathBuf> {
    let (log, mut files, mut folders) = (world().folder.join("log"), Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(log.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() { folders.push(name) } else { files.push(name) }
        }
    }
    files.sort();
    files
}

fn signed() -> SignedNote {
    SignedNote::parse(&fs::read(world().folder.join("log/checkpoint")).unwrap()).unwrap()
}
