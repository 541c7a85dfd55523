//! Other people's implementations judge ours, and ours theirs: `ct-merkle` for RFC 6962, `tlog_tiles` for the tiles on
//! disk and their checkpoint, `signed_note` for notes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use kakunin_core::digest::Digest;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{Log, LogKey, LogReader, SignedNote};
use kakunin_core::tree;
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{HASH_SIZE, Hash, Tile, TileHashReader, TileReader};

fn entries(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("entry {number}").into_bytes()).collect()
}

fn log(dir: &Path, batches: &[u64]) -> (LogKey, LogReader) {
    let (signer, pkcs8) = SoftKey::generate(Algorithm::Ed25519).unwrap();
    let all = entries(batches.iter().sum());
    let mut log = Log::create(dir, LogKey::new("log.example/a", Signer::soft(signer)).unwrap()).unwrap();
    let mut from = 0;
    for batch in batches {
        let to = from + usize::try_from(*batch).unwrap();
        log.append(&all[from..to]).unwrap();
        from = to;
    }
    let key = LogKey::new("log.example/a", Signer::soft(SoftKey::from_pkcs8(&pkcs8).unwrap())).unwrap();
    let reader = LogReader::open(dir, key.verifier()).unwrap();
    (key, reader)
}

fn octets(path: &[Digest]) -> Vec<u8> {
    path.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

#[test]
fn ct_merkle_makes_the_same_proofs_and_accepts_ours() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut reader) = log(dir.path(), &[300]);
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut roots: Vec<RootHash<Sha256>> = vec![theirs.root()];
    for (size, entry) in (1..).zip(entries(300)) {
        theirs.push(entry);
        roots.push(theirs.root());
        assert_eq!(reader.root_at(size).unwrap().as_bytes()[..], theirs.root().as_bytes()[..]);
        if !(size < 40 || (250..260).contains(&size)) {
            continue;
        }
        let place = usize::try_from(size).unwrap();
        for index in (0..size).step_by(if size < 40 { 1 } else { 7 }) {
            let ours = reader.prove_at(index, size).unwrap();
            let at = usize::try_from(index).unwrap();
            assert_eq!(theirs.prove_inclusion(at).as_bytes(), octets(&ours.path), "{index} of {size}");
            let proof = InclusionProof::<Sha256>::from_bytes(octets(&ours.path));
            roots[place].verify_inclusion(theirs.get(at).unwrap(), index, &proof).unwrap();
        }
        for from in 1..place {
            let ours = reader.consistency(from as u64, size).unwrap();
            let made = theirs.prove_consistency(place - from);
            assert_eq!(made.as_bytes(), octets(&ours.path), "{from} to {size}");
            let proof = ConsistencyProof::<Sha256>::try_from_bytes(octets(&ours.path)).unwrap();
            roots[place].verify_consistency(&roots[from], &proof).unwrap();
        }
    }
}

const BATCHES: [u64; 5] = [1, 254, 1, 65_400, 129];

/// Our folder as the other implementation asks for it; it has the height of a tile in its paths.
struct Folder<'a>(&'a Path);

impl TileReader for Folder<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let name = tile.path().replacen("tile/8/", "tile/", 1);
            let octets = fs::read(self.0.join(&name));
            // It asks for narrower tiles than are there, as the specification lets it.
            let whole = || fs::read(self.0.join(name.split(".p/").next().unwrap()));
            let mut octets = octets.or_else(|_| whole()).map_err(|_| tlog_tiles::Error::InvalidTile)?;
            octets.truncate(tile.width() as usize * HASH_SIZE);
            Ok(octets)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn tlog_tiles_finds_every_tile_and_proves_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut reader) = log(dir.path(), &BATCHES);
    let size = reader.size();
    let checkpoint = fs::read(dir.path().join("checkpoint")).unwrap();
    let text = SignedNote::parse(&checkpoint).unwrap().text().to_owned();
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size(), checkpoint.extension()), ("log.example/a", size, ""));
    assert_eq!(checkpoint.hash().0, *reader.checkpoint().root().as_bytes());

    let mut names = BTreeSet::new();
    let mut before = 0;
    for batch in BATCHES {
        let tiles = Tile::new_tiles(8, before, before + batch);
        names.extend(tiles.iter().map(|tile| tile.path().replacen("tile/8/", "tile/", 1)));
        before += batch;
    }
    // Partial tiles of earlier checkpoints stay until their place is full.
    let full = names.clone();
    names.retain(|name| name.split_once(".p/").is_none_or(|(whole, _)| !full.contains(whole)));
    let mut found = BTreeSet::new();
    let mut open = vec![dir.path().join("tile")];
    while let Some(path) = open.pop() {
        let name = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !name.starts_with("tile/entries") {
            found.insert(name);
        }
    }
    assert!(found == names, "{:?}", found.symmetric_difference(&names).collect::<Vec<_>>());

    let folder = Folder(dir.path());
    let hashes = TileHashReader::new(size, *checkpoint.hash(), &folder);
    for index in [0, 1, 255, 256, 40_000, 65_535, 65_536, size - 1] {
        let theirs = tlog_tiles::prove_record(size, index, &hashes).unwrap();
        let ours = reader.prove(index).unwrap();
        assert_eq!(
            theirs.iter().map(|hash| hash.0).collect::<Vec<_>>().concat(),
            octets(&ours.path),
            "{index}"
        );
        let leaf = Hash(*tree::leaf_hash(reader.entry(index).unwrap()).as_bytes());
        tlog_tiles::check_record(&theirs, size, *checkpoint.hash(), index, leaf).unwrap();
    }
    for from in [1, 255, 256, 257, 65_535, 65_536, 65_537, size - 1] {
        let theirs = tlog_tiles::prove_tree(size, from, &hashes).unwrap();
        let ours = reader.consistency(from, size).unwrap();
        assert_eq!(
            theirs.iter().map(|hash| hash.0).collect::<Vec<_>>().concat(),
            octets(&ours.path),
            "{from}"
        );
        let earlier = Hash(*reader.root_at(from).unwrap().as_bytes());
        tlog_tiles::check_tree(&theirs, size, *checkpoint.hash(), from, earlier).unwrap();
    }
}

#[test]
fn signed_note_verifies_our_checkpoints_and_no_other_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (key, reader) = log(dir.path(), &[3]);
    let known = || {
        let verifier = StandardVerifier::new(&key.verifier().to_string()).unwrap();
        VerifierList::new(vec![Box::new(verifier)])
    };
    let octets = fs::read(dir.path().join("checkpoint")).unwrap();
    let (verified, unverified) = Note::from_bytes(&octets).unwrap().verify(&known()).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    assert_eq!(verified[0].name(), reader.checkpoint().checkpoint().origin);
    for at in 0..octets.len() {
        let mut flipped = octets.clone();
        flipped[at] ^= 1;
        let theirs = Note::from_bytes(&flipped).is_ok_and(|note| note.verify(&known()).is_ok());
        let ours = SignedNote::parse(&flipped).and_then(|note| note.open(key.verifier())).is_ok();
        assert_eq!((theirs, ours), (false, false), "byte {at}");
    }
}

#[test]
fn notes_and_keys_of_signed_note_are_read_as_it_reads_them() {
    for name in ["a", "log.example/a", "ü", "a b", "a+b", "", "a\u{2003}b"] {
        let text = format!("text\n\n— {name} AAAAAAA=\n");
        let theirs = Note::from_bytes(text.as_bytes()).is_ok();
        assert_eq!(SignedNote::parse(text.as_bytes()).is_ok(), theirs, "{name:?}");
    }
    for octets in [
        &b"one\n\ntwo\n\n\xe2\x80\x94 a AAAAAAA=\n"[..],
        b"one\n\n\xe2\x80\x94 a AAAAAAA=\n\xe2\x80\x94 b AAAAAAA=\n",
        b"one\n\xe2\x80\x94 a AAAAAAA=\n",
        b"one\n\n\xe2\x80\x94 a AAAAAA==\n",
        b"one\n\n\xe2\x80\x94 a AAAAAAA\n",
        b"one\n\n\xe2\x80\x94 a AAAAAAA=",
        b"one\x01\n\n\xe2\x80\x94 a AAAAAAA=\n",
        b"one\xff\n\n\xe2\x80\x94 a AAAAAAA=\n",
    ] {
        let theirs = Note::from_bytes(octets);
        let ours = SignedNote::parse(octets);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", String::from_utf8_lossy(octets));
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            assert_eq!(ours.to_string().into_bytes(), theirs.to_bytes());
        }
    }
}
