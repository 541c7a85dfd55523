//! The ZIP file that a workbook is: how much it unpacks to is measured before anything of it is read.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::WorkbookError;

/// A workbook's parts, by their names.
pub(super) struct Package<'o> {
    archive: ZipArchive<Cursor<&'o [u8]>>,
}

impl<'o> Package<'o> {
    /// Opens a workbook. Each part is unpacked once, to nowhere: sizes in a ZIP file are whatever its writer says, and a
    /// part of some octets can be one of gigabytes.
    pub(super) fn open(octets: &'o [u8]) -> Result<Self, WorkbookError> {
        if octets.len() > MOST_PACKED {
            return Err(WorkbookError::TooLarge { most: "16 MiB" });
        }
        if octets.starts_with(&COMPOUND) {
            return Err(WorkbookError::Sealed);
        }
        let mut archive = ZipArchive::new(Cursor::new(octets)).map_err(refused)?;
        if archive.len() > MOST_PARTS {
            return Err(WorkbookError::TooLarge { most: "4096 parts" });
        }
        // Two readers of such a file can read two workbooks.
        if archive.has_duplicate_names() || archive.has_overlapping_entries().map_err(refused)? {
            return Err(WorkbookError::Zip("parts of it lie over each other or have one name".to_owned()));
        }
        let mut left = MOST_UNPACKED;
        for place in 0..archive.len() {
            let part = archive.by_index(place).map_err(refused)?;
            let read = io::copy(&mut part.take(left.saturating_add(1)), &mut io::sink());
            let read = read.map_err(|error| WorkbookError::Zip(error.to_string()))?;
            left = left.checked_sub(read).ok_or(WorkbookError::TooLarge { most: "128 MiB unpacked" })?;
        }
        Ok(Self { archive })
    }

    /// The part of this name, if there is one.
    pub(super) fn part(&mut self, name: &str) -> Result<Option<String>, WorkbookError> {
        let mut part = match self.archive.by_name(name) {
            Ok(part) => part,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(refused(error)),
        };
        let mut text = String::new();
        let form = |error: io::Error| WorkbookError::Form { part: name.to_owned(), what: error.to_string() };
        part.read_to_string(&mut text).map_err(form)?;
        Ok(Some(text))
    }

    /// The part of this name, which has to be there.
    pub(super) fn need(&mut self, name: &str) -> Result<String, WorkbookError> {
        self.part(name)?.ok_or_else(|| WorkbookError::Part(name.to_owned()))
    }

    /// The workbook with these parts in place of its own; the others as they are, packed as they were, in their order and
    /// with their times.
    pub(super) fn with(mut self, changed: &BTreeMap<String, String>) -> Result<Vec<u8>, WorkbookError> {
        let mut out = ZipWriter::new(Cursor::new(Vec::new()));
        for place in 0..self.archive.len() {
            let part = self.archive.by_index_raw(place).map_err(refused)?;
            let name = part.name().map_err(refused)?.into_owned();
            let Some(text) = changed.get(&name) else {
                out.raw_copy_file(part).map_err(refused)?;
                continue;
            };
            let options = SimpleFileOptions::DEFAULT
                .compression_method(CompressionMethod::Deflated)
                .last_modified_time(part.last_modified().unwrap_or_default());
            drop(part);
            out.start_file(name, options).map_err(refused)?;
            out.write_all(text.as_bytes()).map_err(|error| WorkbookError::Zip(error.to_string()))?;
        }
        Ok(out.finish().map_err(refused)?.into_inner())
    }
}

fn refused(error: ZipError) -> WorkbookError {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => WorkbookError::Sealed,
        error => WorkbookError::Zip(error.to_string()),
    }
}

/// Questionnaires have some hundred kilobytes.
const MOST_PACKED: usize = 16 * 1024 * 1024;
const MOST_PARTS: usize = 4096;
const MOST_UNPACKED: u64 = 128 * 1024 * 1024;
/// How a compound file begins: what an encrypted workbook, and one of before 2007, is.
const COMPOUND: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
