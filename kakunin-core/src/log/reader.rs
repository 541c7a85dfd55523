//! The reading end of a log: entries and proofs, each checked against the signed checkpoint before it is given out.
//!
//! Opening reads the checkpoint and the partial tiles at the right edge, nothing else. A tile further left is believed
//! when its hashes lead to the hash that the tile above has for it, up to the edge, and the edge leads to the signed
//! root; so what was changed after it was signed is refused wherever it is read, and no proof is ever wrong.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{OpenedCheckpoint, read_decimal};
use super::disk::read_if_there;
use super::edge::Edge;
use super::error::LogError;
use super::note::{MAX_NOTE, SignedNote};
use super::runs::{self, Runs};
use super::tile::{Subtrees, TileName, TileOf, WIDTH, read_entries, read_hashes};
use super::vkey::VerifierKey;
use crate::digest::Digest;
use crate::file;
use crate::id::StreamId;
use crate::tree::{ConsistencyProof, HashSource, InclusionProof, leaf_hash, root_of};

/// A log as it was at one checkpoint.
#[derive(Debug)]
pub struct LogReader {
    folder: PathBuf,
    head: OpenedCheckpoint,
    edge: Edge,
    tiles: HashMap<(u8, u64), Arc<Subtrees>>,
    /// Of the edge, by level.
    right: HashMap<u8, Arc<Subtrees>>,
    bundle: Option<Bundle>,
    runs: Option<Runs>,
    reads: Reads,
}

/// Entries that were read last.
#[derive(Debug)]
struct Bundle {
    index: u64,
    entries: Vec<Vec<u8>>,
}

/// How many files were read: what a proof costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Tiles of hashes.
    pub tiles: u64,
    /// Bundles of entries.
    pub bundles: u64,
}

impl LogReader {
    /// Opens the log in `folder` at its present checkpoint, signed by `key`.
    ///
    /// # Errors
    /// [`LogError`] when there is none, `key` did not sign it, its right edge is not what was signed, or a witness has
    /// seen a later or another one.
    pub fn open(folder: &Path, key: &VerifierKey) -> Result<Self, LogError> {
        // Before the checkpoint: what a witness saw was published, so it can only be the same or earlier.
        let seen = witnessed_sizes(folder)?.pop();
        let path = folder.join(CHECKPOINT);
        let octets = read_if_there(&path).map_err(LogError::io(&path))?;
        let octets = octets.ok_or_else(|| LogError::NoLog { path: folder.to_owned() })?;
        let reader = Self::at(folder, read_note(&path, &octets, key)?)?;
        if let Some(size) = seen.filter(|size| *size >= reader.size()) {
            reader.compare_witnessed(size)?;
        }
        Ok(reader)
    }

    /// Of each log the longest that is here, once.
    ///
    /// # Errors
    /// [`LogError::Forked`] when two of one key have other pasts, and whatever keeps them from being compared.
    pub(crate) fn each_once(logs: Vec<Self>) -> Result<Vec<Self>, LogError> {
        let mut each: Vec<Self> = Vec::with_capacity(logs.len());
        for mut log in logs {
            let Some(known) = each.iter_mut().find(|known| known.head.log() == log.head.log()) else {
                each.push(log);
                continue;
            };
            let longer = log.size() > known.size();
            let (long, short) = if longer { (&mut log, &mut *known) } else { (&mut *known, &mut log) };
            let size = short.size();
            if long.root_at(size)? != *short.head.root() {
                return Err(LogError::Forked { path: short.folder.clone(), size });
            }
            if longer {
                *known = log;
            }
        }
        Ok(each)
    }

    /// The key that lies beside the log in `folder`, for whoever copies a log. It believes nothing more than the folder:
    /// a verifier has the key from elsewhere.
    ///
    /// # Errors
    /// [`LogError`] when there is none or it is no key.
    pub fn key_beside(folder: &Path) -> Result<VerifierKey, LogError> {
        let path = folder.join(VKEY);
        let octets = read_if_there(&path).map_err(LogError::io(&path))?;
        let octets = octets.ok_or_else(|| match folder.join(CHECKPOINT).exists() {
            true => LogError::Damaged { path: path.clone(), what: "it is missing" },
            false => LogError::NoLog { path: folder.to_owned() },
        })?;
        let text = String::from_utf8_lossy(&octets);
        VerifierKey::parse(text.trim_end()).map_err(|source| LogError::Key { path, source })
    }

    /// The log at `head`, which is its checkpoint or about to be.
    pub(super) fn at(folder: &Path, head: OpenedCheckpoint) -> Result<Self, LogError> {
        let mut reads = Reads::default();
        let edge = Edge::load(head.size(), |name| read_tile(folder, name, &mut reads))?;
        if edge.root() != *head.root() {
            let what = "its right edge does not lead to the root that was signed";
            return Err(LogError::Damaged { path: folder.join("tile"), what });
        }
        let (tiles, right, bundle, runs) = (HashMap::new(), HashMap::new(), None, None);
        Ok(Self { folder: folder.to_owned(), head, edge, tiles, right, bundle, runs, reads })
    }

    /// A log that nobody has opened before and that has no tiles to read.
    pub(super) fn continued(&mut self, head: OpenedCheckpoint, edge: Edge) {
        self.head = head;
        self.edge = edge;
        self.right.clear();
        self.bundle = None;
        self.runs = None;
    }

    /// The checkpoint that everything is checked against.
    #[must_use]
    pub const fn checkpoint(&self) -> &OpenedCheckpoint {
        &self.head
    }

    /// How many entries it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.head.size()
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many files were read since it was opened, the edge included.
    #[must_use]
    pub const fn reads(&self) -> Reads {
        self.reads
    }

    pub(super) const fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The entry at `index`.
    ///
    /// # Errors
    /// [`LogError`] when there is none, or it is not the one that was signed.
    pub fn entry(&mut self, index: u64) -> Result<&[u8], LogError> {
        let beyond = LogError::Beyond { asked: index, size: self.size() };
        if index >= self.size() {
            return Err(beyond);
        }
        let bundle = self.bundle(index / WIDTH)?;
        let place = usize::try_from(index % WIDTH).ok().and_then(|place| bundle.get(place));
        place.map(Vec::as_slice).ok_or(beyond)
    }

    /// Proves that the entry at `index` is in the log as it is at the checkpoint.
    ///
    /// # Errors
    /// [`LogError`] when there is no such entry, or a tile on its way is damaged.
    pub fn prove(&mut self, index: u64) -> Result<InclusionProof, LogError> {
        self.prove_at(index, self.size())
    }

    /// Proves that the entry at `index` is among the first `size` ones.
    ///
    /// # Errors
    /// As [`LogReader::prove`].
    pub fn prove_at(&mut self, index: u64, size: u64) -> Result<InclusionProof, LogError> {
        self.has(size)?;
        let beyond = LogError::Beyond { asked: index, size };
        InclusionProof::make(self, index, size)?.ok_or(beyond)
    }

    /// Proves that the first `to` entries begin with the first `from`.
    ///
    /// # Errors
    /// [`LogError`] when the log has not that many, `from` is more than `to`, or a tile is damaged.
    pub fn consistency(&mut self, from: u64, to: u64) -> Result<ConsistencyProof, LogError> {
        self.has(to)?;
        ConsistencyProof::make(self, from, to)?.ok_or(LogError::Beyond { asked: from, size: to })
    }

    /// The root of the first `size` entries.
    ///
    /// # Errors
    /// [`LogError`] when the log has not that many, or a tile is damaged.
    pub fn root_at(&mut self, size: u64) -> Result<Digest, LogError> {
        self.has(size)?;
        root_of(self, size)
    }

    /// Where the receipt `sequence` of `stream` is, by the index of runs; what the index says is compared with the
    /// entry. Anybody can write such a number into a receipt: [`LogReader::index_of`] finds one by all of its octets.
    ///
    /// # Errors
    /// [`LogError`] when the index lies, or entries that it does not cover yet cannot be read.
    pub fn find(&mut self, stream: StreamId, sequence: u64) -> Result<Option<u64>, LogError> {
        let Some(index) = self.places(stream, sequence)?.first().copied() else { return Ok(None) };
        if runs::place_of(self.entry(index)?) == Some((stream, sequence)) {
            return Ok(Some(index));
        }
        let what = "it names another entry; remove it and it is made again";
        Err(LogError::Damaged { path: self.folder.join(RUNS), what })
    }

    /// Where exactly this entry is, which has to be a receipt.
    ///
    /// # Errors
    /// As [`LogReader::find`].
    pub fn index_of(&mut self, entry: &[u8]) -> Result<Option<u64>, LogError> {
        let Some((stream, sequence)) = runs::place_of(entry) else { return Ok(None) };
        let leaf = leaf_hash(entry);
        for index in self.places(stream, sequence)? {
            if self.complete(0, index)? == leaf {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Reads every entry once, so that what is not found is not there: the index that lies beside the log is not asked any
    /// more. It is kept as 64 octets for each run of receipts that follow one another.
    ///
    /// # Errors
    /// [`LogError`] when an entry cannot be read or is not the one that was signed.
    pub fn read_through(&mut self) -> Result<(), LogError> {
        if self.runs.as_ref().is_none_or(|runs| !runs.proven) {
            self.runs = None;
            self.runs = Some(Runs::of_entries(self)?);
        }
        Ok(())
    }

    /// Every place where an entry claims to be the receipt `sequence` of `stream`. Anybody who may append can put one there;
    /// one that the same agent signed is the proof that it told two stories. Reads the log through.
    ///
    /// # Errors
    /// As [`LogReader::read_through`].
    pub fn claims(&mut self, stream: StreamId, sequence: u64) -> Result<Vec<u64>, LogError> {
        self.read_through()?;
        self.places(stream, sequence)
    }

    /// The same for every number from `sequence` on, ascending by number.
    ///
    /// # Errors
    /// As [`LogReader::read_through`].
    pub fn claims_from(&mut self, stream: StreamId, sequence: u64) -> Result<Vec<u64>, LogError> {
        self.read_through()?;
        let places = self.runs.as_ref().map(|runs| runs.from(stream, sequence)).unwrap_or_default();
        Ok(places.into_iter().map(|(_, index)| index).collect())
    }

    /// Every stream that an entry claims to be of, ascending.
    ///
    /// # Errors
    /// As [`LogReader::read_through`].
    pub fn streams(&mut self) -> Result<Vec<StreamId>, LogError> {
        self.read_through()?;
        Ok(self.runs.as_ref().map(Runs::streams).unwrap_or_default())
    }

    fn places(&mut self, stream: StreamId, sequence: u64) -> Result<Vec<u64>, LogError> {
        let runs = match self.runs.take() {
            Some(runs) => runs,
            None => Runs::load(self)?,
        };
        let places = runs.find(stream, sequence);
        self.runs = Some(runs);
        Ok(places)
    }

    /// The checkpoints that witnesses have cosigned, smallest first.
    ///
    /// # Errors
    /// [`LogError`] when one cannot be read or is not this log's.
    pub fn witnessed(&self) -> Result<Vec<OpenedCheckpoint>, LogError> {
        let sizes = witnessed_sizes(&self.folder)?;
        sizes.into_iter().map(|size| self.read_witnessed(size)).collect()
    }

    fn read_witnessed(&self, size: u64) -> Result<OpenedCheckpoint, LogError> {
        let path = witnessed_path(&self.folder, size);
        let octets = file::read(&path, MAX_NOTE).map_err(LogError::io(&path))?;
        let opened = read_note(&path, &octets, self.head.log())?;
        if opened.size() == size {
            return Ok(opened);
        }
        Err(LogError::Damaged { path, what: "it is a checkpoint of another size than its name says" })
    }

    /// Compares with a witnessed checkpoint that is not smaller. One that this log did not sign says nothing.
    fn compare_witnessed(&self, witnessed: u64) -> Result<(), LogError> {
        let (path, size) = (self.folder.clone(), self.size());
        match self.read_witnessed(witnessed) {
            Ok(_) if witnessed > size => Err(LogError::RolledBack { path, size, seen: witnessed }),
            Ok(seen) if seen.root() != self.head.root() => Err(LogError::Forked { path, size }),
            Err(error @ LogError::Io { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    fn has(&self, size: u64) -> Result<(), LogError> {
        if size <= self.size() { Ok(()) } else { Err(LogError::Beyond { asked: size, size: self.size() }) }
    }

    /// The entries of one bundle, each with the hash that was signed.
    pub(super) fn bundle(&mut self, index: u64) -> Result<&[Vec<u8>], LogError> {
        if self.bundle.as_ref().is_none_or(|bundle| bundle.index != index) {
            let tile = self.tile(0, index)?;
            let leaves = tile.hashes();
            let edge = TileName::at_edge(TileOf::Entries, self.size()).filter(|edge| edge.index == index);
            let name = edge.unwrap_or(TileName::full(TileOf::Entries, index));
            let (path, octets) = read_named(&self.folder, name)?;
            self.reads.bundles += 1;
            let damaged = |what| LogError::Damaged { path: path.clone(), what };
            let mut entries = read_entries(&octets).ok_or(damaged("it ends within an entry"))?;
            // A full bundle may have replaced a partial one.
            if !path.ends_with(name.to_string()) {
                entries.truncate(leaves.len());
            }
            if entries.len() != leaves.len() {
                return Err(damaged("it has another number of entries than its tile"));
            }
            if entries.iter().zip(leaves.iter()).any(|(entry, leaf)| leaf_hash(entry) != *leaf) {
                return Err(damaged("an entry is not the one that was signed"));
            }
            self.bundle = Some(Bundle { index, entries: entries.into_iter().map(<[u8]>::to_vec).collect() });
        }
        Ok(self.bundle.as_ref().map_or(&[], |bundle| bundle.entries.as_slice()))
    }

    /// A tile, proven up to the signed root.
    pub(super) fn tile(&mut self, level: u8, index: u64) -> Result<Arc<Subtrees>, LogError> {
        let hashes = self.size().checked_shr(u32::from(level) * 8).unwrap_or(0);
        if index >= hashes / WIDTH {
            // The edge was compared with the root when the log was opened.
            let edge = &self.edge;
            let tile = self.right.entry(level);
            return Ok(Arc::clone(
                tile.or_insert_with(|| Arc::new(Subtrees::over(edge.hashes(level).to_vec()))),
            ));
        }
        if let Some(tile) = self.tiles.get(&(level, index)) {
            return Ok(Arc::clone(tile));
        }
        let above = self.tile(level + 1, index / WIDTH)?;
        let name = TileName::full(TileOf::Hashes { level }, index);
        let tile = Arc::new(Subtrees::over(read_tile(&self.folder, name, &mut self.reads)?));
        let signed = above.at(0, index % WIDTH);
        if signed.is_none() || signed != tile.at(TILE_HEIGHT, 0) {
            let what = "its hashes do not lead to the root that was signed";
            return Err(LogError::Damaged { path: self.folder.join(name.to_string()), what });
        }
        if self.tiles.len() >= KEPT_TILES {
            self.tiles.clear();
        }
        self.tiles.insert((level, index), Arc::clone(&tile));
        Ok(tile)
    }
}

impl HashSource for LogReader {
    type Error = LogError;

    fn complete(&mut self, height: u32, index: u64) -> Result<Digest, LogError> {
        let beyond = LogError::Beyond { asked: index.saturating_add(1), size: self.size() };
        let (Ok(level), inside) = (u8::try_from(height / TILE_HEIGHT), height % TILE_HEIGHT) else {
            return Err(beyond);
        };
        let wide = WIDTH >> inside;
        self.tile(level, index / wide)?.at(inside, index % wide).ok_or(beyond)
    }
}

/// Reads a tile; a partial one may have been replaced by the full one.
fn read_tile(folder: &Path, name: TileName, reads: &mut Reads) -> Result<Vec<Digest>, LogError> {
    let (path, octets) = read_named(folder, name)?;
    reads.tiles += 1;
    let wanted = usize::try_from(name.width).unwrap_or(usize::MAX);
    let width =
        if path.ends_with(name.to_string()) { wanted } else { usize::try_from(WIDTH).unwrap_or(wanted) };
    let mut hashes = read_hashes(&octets, width)
        .ok_or(LogError::Damaged { path, what: "it has another number of hashes than its name says" })?;
    hashes.truncate(wanted);
    Ok(hashes)
}

/// The octets of a tile or bundle, and where they were found.
pub(super) fn read_named(folder: &Path, name: TileName) -> Result<(PathBuf, Vec<u8>), LogError> {
    for name in [name, name.grown()] {
        let path = folder.join(name.to_string());
        if let Some(octets) = read_if_there(&path).map_err(LogError::io(&path))? {
            return Ok((path, octets));
        }
    }
    Err(LogError::Damaged { path: folder.join(name.to_string()), what: "it is missing" })
}

/// Reads and opens the note at `path`.
pub(super) fn read_note(path: &Path, octets: &[u8], key: &VerifierKey) -> Result<OpenedCheckpoint, LogError> {
    let note = SignedNote::parse(octets).and_then(|note| note.open(key));
    note.map_err(|source| LogError::Note { path: path.to_owned(), source })
}

/// Where the checkpoint of `size` lies with the lines of its witnesses.
pub(super) fn witnessed_path(folder: &Path, size: u64) -> PathBuf {
    folder.join(WITNESSED).join(size.to_string())
}

/// The sizes that witnesses have seen, smallest first.
fn witnessed_sizes(folder: &Path) -> Result<Vec<u64>, LogError> {
    let path = folder.join(WITNESSED);
    let names = match fs::read_dir(&path) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LogError::Io { path, source }),
    };
    let mut sizes = Vec::new();
    for name in names {
        let name = name.map_err(LogError::io(&path))?.file_name();
        sizes.extend(name.to_str().and_then(read_decimal));
    }
    sizes.sort_unstable();
    Ok(sizes)
}

pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const VKEY: &str = "vkey";
pub(super) const RUNS: &str = "runs";
pub(super) const WITNESSED: &str = "witnessed";

/// The height of the tree that a tile is.
const TILE_HEIGHT: u32 = 8;

/// A megabyte of hashes: more than any proof touches, and enough to walk a log once without reading twice.
const KEPT_TILES: usize = 64;
