//! Members of a bundle that is being made: small ones in memory, large ones in files without a name beside the bundle.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ring::digest::{Context, SHA256};

use super::manifest::{MAX_SMALL, ManifestMember, is_read_by_line};
use super::zip::{Crc, ZipWriter};
use crate::digest::Digest;

/// One member, ready to be written.
pub(super) struct Part {
    pub(super) name: String,
    size: u64,
    crc: u32,
    digest: Digest,
    data: Box<dyn Read>,
}

impl Part {
    pub(super) fn of(name: &str, octets: impl Into<Vec<u8>>) -> Self {
        let octets = octets.into();
        let mut crc = Crc::default();
        crc.update(&octets);
        Self {
            name: name.to_owned(),
            size: octets.len() as u64,
            crc: crc.value(),
            digest: Digest::of(&octets),
            data: Box::new(io::Cursor::new(octets)),
        }
    }

    /// Whether no reader takes it.
    pub(super) fn is_too_large(&self) -> bool {
        self.size > u64::from(MAX_SMALL) && !is_read_by_line(&self.name)
    }

    pub(super) fn listed(&self) -> ManifestMember {
        ManifestMember { name: self.name.clone(), sha256: self.digest.to_hex(), size: self.size }
    }
}

/// A member that may be larger than memory, in a file that has no name any more.
pub(super) struct Spool {
    file: BufWriter<File>,
    crc: Crc,
    hash: Context,
    size: u64,
    pub(super) lines: u64,
}

impl Spool {
    pub(super) fn in_folder(folder: &Path) -> io::Result<Self> {
        let mut number = 0;
        let file = loop {
            let path = folder.join(format!(".kakunin-{}-{number}.part", std::process::id()));
            let mut options = OpenOptions::new();
            match options.read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    fs::remove_file(&path)?;
                    break file;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        };
        let (crc, hash) = (Crc::default(), Context::new(&SHA256));
        Ok(Self { file: BufWriter::new(file), crc, hash, size: 0, lines: 0 })
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        for octets in [text.as_bytes(), b"\n"] {
            self.file.write_all(octets)?;
            self.crc.update(octets);
            self.hash.update(octets);
            self.size += octets.len() as u64;
        }
        self.lines += 1;
        Ok(())
    }

    pub(super) fn part(self, name: &str) -> io::Result<Part> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        // INVARIANT: SHA-256 gives 32 octets.
        let digest: [u8; 32] = self.hash.finish().as_ref().try_into().unwrap_or_default();
        Ok(Part {
            name: name.to_owned(),
            size: self.size,
            crc: self.crc.value(),
            digest: Digest::from_bytes(digest),
            data: Box::new(file),
        })
    }
}

/// Writes the file `path` of these members, in their order; its length.
pub(super) fn write_file(path: &Path, parts: Vec<Part>) -> io::Result<u64> {
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path)?));
    for mut part in parts {
        zip.member(&part.name, part.size, part.crc, &mut part.data)?;
    }
    let file = zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
