//! Checking an export without the authority that wrote it.

use std::io::{self, BufRead, Read as _};

use base64ct::{Base64, Encoding as _};
use kakunin_core::certificate::{CaCertificate, CaRole, TrustAnchors};
use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use ring::digest::{Context, SHA256};

use super::line::{First, Last, Line, Stated, Withheld};
use super::write::{FIRST_VERSION, VERSION, digest};
use super::{csv, to_be_signed};
use crate::store::{AUDIT_START, AuditHead};

/// What a file that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedAudit {
    /// Whose orders it has.
    pub tenant: String,
    /// When it was written, as the authority says.
    pub exported_at: UnixTime,
    /// Where the chain ended then.
    pub head: AuditHead,
    /// How many rows are in it.
    pub shown: u64,
    /// How many are not: other tenants', or not chosen.
    pub withheld: u64,
    /// Orders in it of which nobody says what came; `None` for a spreadsheet, of which that is not counted.
    pub open: Option<u64>,
    /// Values that are left out of every row.
    pub without: Vec<String>,
    /// What was chosen: beginning, end, event type and kind of actor, as far as they were named.
    pub chosen: [Option<String>; 4],
    /// Which key signed: SHA-256 of its SubjectPublicKeyInfo.
    pub issuer: Digest,
}

/// Reads a file to its end and checks it: each row by the chain, and all of it by the statement of an authority that
/// one of `anchors` vouches for. With `earlier`, the head of another export, the chain has to go through it.
///
/// # Errors
/// [`AuditFileError`] with the line, when anything does not fit.
pub fn verify(
    file: impl BufRead,
    anchors: &TrustAnchors,
    earlier: Option<AuditHead>,
) -> Result<CheckedAudit, AuditFileError> {
    let mut lines = Lines { file, number: 0, read: Context::new(&SHA256) };
    let first = lines.next()?.ok_or(AuditFileError::Empty)?;
    let is_csv = first.as_slice() == csv::HEAD.as_bytes();
    let mut chain = Chain::default();
    if !is_csv {
        chain.first = Some(parse(&first, 1)?);
    }
    lines.read.update(&first);
    let mut held = lines.next()?.ok_or(AuditFileError::CutOff)?;
    // The last line is not a part of what it speaks of, and which one that is shows only when no other follows.
    while let Some(next) = lines.next()? {
        if !is_csv {
            chain.take(&held, lines.number.saturating_sub(1), earlier)?;
        }
        lines.read.update(&held);
        held = next;
    }
    let last = match is_csv {
        true => std::str::from_utf8(&held).ok().and_then(csv::read_last),
        false => serde_json::from_slice::<Last>(&held).ok(),
    };
    let last = last.filter(|_| held.ends_with(b"\n")).ok_or(AuditFileError::CutOff)?;
    let (stated, issuer) = signed(&last, anchors)?;
    let wrong = |what| AuditFileError::Statement { what };
    if digest(&lines.read).map(|digest| digest.to_hex()).as_ref() != Some(&stated.sha256) {
        return Err(wrong("another SHA-256"));
    }
    let head = AuditHead { rows: stated.rows, hash: Digest::from_hex(&stated.hash).ok_or(wrong("no hash"))? };
    let exported_at = UnixTime::parse_rfc3339(&stated.exported_at).map_err(|_| wrong("no time"))?;
    // Nothing was left out of any row before version 2.
    let is_known = match stated.audit_export {
        FIRST_VERSION => stated.without.is_none(),
        VERSION => stated.without.is_some(),
        _ => false,
    };
    if !is_known || stated.shown.checked_add(stated.withheld) != Some(stated.rows) {
        return Err(wrong("other numbers"));
    }
    if !is_csv {
        chain.ends(&stated, head)?;
        if earlier.is_some() && !chain.met {
            return Err(AuditFileError::Earlier);
        }
    } else if earlier.is_some() {
        return Err(AuditFileError::Earlier);
    }
    Ok(CheckedAudit {
        tenant: stated.tenant,
        exported_at,
        head,
        shown: stated.shown,
        withheld: stated.withheld,
        open: (!is_csv).then_some(chain.open),
        without: stated.without.unwrap_or_default(),
        chosen: [stated.from, stated.to, stated.event_type, stated.actor_type],
        issuer,
    })
}

fn signed(last: &Last, anchors: &TrustAnchors) -> Result<(Stated, Digest), AuditFileError> {
    let certificate = Base64::decode_vec(&last.certificate).map_err(|_| AuditFileError::Signature)?;
    let issuing =
        CaCertificate::decode(&certificate, CaRole::Issuing).map_err(|_| AuditFileError::Signature)?;
    if !anchors.vouch_for(issuing.decoded()) {
        return Err(AuditFileError::Stranger);
    }
    let signature = Base64::decode_vec(&last.signature).map_err(|_| AuditFileError::Signature)?;
    let key = issuing.decoded().key();
    key.verify_x509(&to_be_signed(&last.statement), &signature).map_err(|_| AuditFileError::Signature)?;
    let stated = serde_json::from_str(&last.statement);
    Ok((
        stated.map_err(|_| AuditFileError::Statement { what: "a form that is not known here" })?,
        key.key_id(),
    ))
}

/// The chain as far as it was read.
struct Chain {
    first: Option<First>,
    here: AuditHead,
    shown: u64,
    open: u64,
    met: bool,
}

impl Default for Chain {
    fn default() -> Self {
        let here = AuditHead { rows: 0, hash: AUDIT_START };
        Self { first: None, here, shown: 0, open: 0, met: false }
    }
}

impl Chain {
    fn take(&mut self, line: &[u8], number: u64, earlier: Option<AuditHead>) -> Result<(), AuditFileError> {
        let broken = || AuditFileError::Broken { line: number };
        let next = self.here.rows.saturating_add(1);
        let line: Line = parse(line, number)?;
        if let Line::Withheld(Withheld { withheld, count, hash }) = &line {
            let rows = self.here.rows.checked_add(*count).filter(|_| *withheld == next && *count > 0);
            let hash = Digest::from_hex(hash).ok_or_else(broken)?;
            self.here = AuditHead { rows: rows.ok_or_else(broken)?, hash };
        } else {
            let without = self.first.as_ref().and_then(|first| first.without.as_deref());
            let row = line.stands(self.here.hash, without).filter(|row| row.number == next);
            let row = row.ok_or_else(broken)?;
            match row.is_order {
                true => self.open = self.open.saturating_add(1),
                false => self.open = self.open.saturating_sub(1),
            }
            self.shown = self.shown.saturating_add(1);
            self.here = AuditHead { rows: next, hash: row.hash };
        }
        if let Some(earlier) = earlier.filter(|earlier| earlier.rows == self.here.rows) {
            if earlier.hash != self.here.hash {
                return Err(AuditFileError::Rewritten { row: earlier.rows });
            }
            self.met = true;
        }
        Ok(())
    }

    fn ends(&self, stated: &Stated, head: AuditHead) -> Result<(), AuditFileError> {
        let Stated { audit_export, tenant, from, to, event_type, actor_type, without, .. } = stated;
        let same = self.first.as_ref().is_some_and(|first| {
            (first.audit_export, &first.tenant, &first.from) == (*audit_export, tenant, from)
                && (&first.to, &first.event_type, &first.actor_type) == (to, event_type, actor_type)
                && first.without == *without
        });
        match same && self.here == head && self.shown == stated.shown {
            true => Ok(()),
            false => Err(AuditFileError::Statement { what: "other rows" }),
        }
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(line: &'a [u8], number: u64) -> Result<T, AuditFileError> {
    serde_json::from_slice(line).map_err(|_| AuditFileError::Broken { line: number })
}

struct Lines<R> {
    file: R,
    number: u64,
    read: Context,
}

impl<R: BufRead> Lines<R> {
    /// The next line with its line feed, if it has one.
    fn next(&mut self) -> Result<Option<Vec<u8>>, AuditFileError> {
        let mut line = Vec::new();
        let read = (&mut self.file).take(LONGEST).read_until(b'\n', &mut line)?;
        self.number = self.number.saturating_add(1);
        match read as u64 {
            0 => Ok(None),
            LONGEST => Err(AuditFileError::Broken { line: self.number }),
            _ => Ok(Some(line)),
        }
    }
}

/// A file that is not what an authority exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFileError {
    /// Nothing.
    #[error("the file is empty")]
    Empty,
    /// Its end is missing.
    #[error("the file is cut off: it does not end with a signed statement; export it again")]
    CutOff,
    /// The chain breaks.
    #[error(
        "line {line} does not follow from the line before: it was changed, moved or put in, or one before it was taken out"
    )]
    Broken {
        /// Which line.
        line: u64,
    },
    /// A signature that does not match.
    #[error("the statement at the end is not signed by the key that it names")]
    Signature,
    /// An authority that nobody here knows.
    #[error("the statement at the end is signed under another root")]
    Stranger,
    /// A statement about something else.
    #[error("the statement at the end does not fit the file ({what}), which was changed after it was signed")]
    Statement {
        /// About what.
        what: &'static str,
    },
    /// Another history.
    #[error("row {row} is another one than in the earlier export: the log was written anew")]
    Rewritten {
        /// Which row.
        row: u64,
    },
    /// It cannot be said.
    #[error(
        "the file does not show whether the log goes through the end of the earlier export: take both whole, as JSON Lines, the newer one second"
    )]
    Earlier,
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A request has 64 kB, and an octet of it six in JSON.
const LONGEST: u64 = 4 * 1024 * 1024;
