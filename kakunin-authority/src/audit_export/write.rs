//! Writing an export, a page of rows after the other.

use base64ct::{Base64, Encoding as _};
use kakunin_core::digest::{Digest, hex};
use kakunin_core::time::UnixTime;
use ring::digest::{Context, SHA256};

use super::line::{First, Last, Line, Stated, Withheld};
use super::{AuditFormat, AuditSelection, AuditSignature, Shown, csv};
use crate::access::ActorKind;
#[cfg(feature = "http")]
use crate::access::TenantId;
use crate::store::{AUDIT_START, AuditHead, AuditRow, StoreError};

/// An export that is being written: it holds a place in the chain and what it wrote so far as a hash.
pub struct AuditExport {
    selection: AuditSelection,
    format: AuditFormat,
    head: AuditHead,
    at: UnixTime,
    /// Behind which row it is, and the hash there.
    done: AuditHead,
    shown: Shown,
    shows: u64,
    /// Rows that were passed over since the last one that is shown.
    passed: u64,
    written: Context,
}

/// What the authority says of a file, to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditStatement(String);

impl AuditStatement {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl AuditExport {
    /// Begins an export of the log up to `head`, and gives the first octets of the file.
    #[must_use]
    pub fn begin(
        selection: AuditSelection,
        format: AuditFormat,
        head: AuditHead,
        at: UnixTime,
    ) -> (Self, Vec<u8>) {
        let mut export = Self {
            selection,
            format,
            head,
            at,
            done: AuditHead { rows: 0, hash: AUDIT_START },
            shown: Shown::default(),
            shows: 0,
            passed: 0,
            written: Context::new(&SHA256),
        };
        let first = match format {
            AuditFormat::Lines => line(&export.first()),
            AuditFormat::Csv => csv::HEAD.to_owned(),
        };
        let first = export.wrote(first);
        (export, first)
    }

    /// Whose orders it shows.
    #[cfg(feature = "http")]
    pub(crate) const fn tenant(&self) -> &TenantId {
        &self.selection.tenant
    }

    /// The number behind which the next rows are wanted, and the last one that is; `None` when all were given.
    #[must_use]
    pub fn wants(&self) -> Option<(u64, u64)> {
        (self.done.rows < self.head.rows).then_some((self.done.rows, self.head.rows))
    }

    /// Takes the next rows, and gives the next octets.
    ///
    /// # Errors
    /// [`StoreError::AuditBroken`] when they do not stand in the chain: such a log is not signed for.
    pub fn rows(&mut self, rows: &[AuditRow]) -> Result<Vec<u8>, StoreError> {
        let mut out = String::new();
        if rows.is_empty() {
            return Err(StoreError::AuditBroken { row: self.done.rows.saturating_add(1) });
        }
        for row in rows {
            let here = self.done.rows.saturating_add(1);
            let is_last = here == self.head.rows;
            if row.number != here
                || !row.follows(self.done.hash)
                || (is_last && row.hash != self.head.hash)
                || here > self.head.rows
            {
                return Err(StoreError::AuditBroken { row: here });
            }
            let takes = self.shown.takes(&self.selection, row);
            match Line::of(row, &self.selection.without).filter(|_| takes) {
                Some(shown) => {
                    self.pass(&mut out);
                    out.push_str(&match self.format {
                        AuditFormat::Lines => line(&shown),
                        AuditFormat::Csv => csv::row(row, &self.selection.without),
                    });
                    self.shows = self.shows.saturating_add(1);
                }
                None => self.passed = self.passed.saturating_add(1),
            }
            self.done = AuditHead { rows: here, hash: row.hash };
        }
        if self.wants().is_none() {
            self.pass(&mut out);
        }
        Ok(self.wrote(out))
    }

    /// The statement about all of it, when every row was given.
    #[must_use]
    pub fn statement(&self) -> Option<AuditStatement> {
        let First { audit_export, tenant, from, to, event_type, actor_type, without } = self.first();
        self.wants().is_none().then(|| {
            AuditStatement(json(&Stated {
                audit_export,
                tenant,
                from,
                to,
                event_type,
                actor_type,
                without,
                exported_at: self.at.to_string(),
                rows: self.head.rows,
                hash: self.head.hash.to_hex(),
                shown: self.shows,
                withheld: self.head.rows.saturating_sub(self.shows),
                sha256: hex(self.written.clone().finish().as_ref()),
            }))
        })
    }

    /// The last octets of the file.
    #[must_use]
    pub fn end(&self, statement: &AuditStatement, signed: &AuditSignature) -> Vec<u8> {
        let last = Last {
            statement: statement.0.clone(),
            signature: Base64::encode_string(&signed.signature),
            certificate: Base64::encode_string(&signed.certificate),
        };
        match self.format {
            AuditFormat::Lines => line(&last),
            AuditFormat::Csv => csv::last(&last, self.head.rows, &self.head.hash.to_hex()),
        }
        .into_bytes()
    }

    fn first(&self) -> First {
        let AuditSelection { tenant, from, to, what, kind, without } = &self.selection;
        First {
            audit_export: VERSION,
            tenant: tenant.to_string(),
            from: from.map(|at| at.to_string()),
            to: to.map(|at| at.to_string()),
            event_type: what.clone(),
            actor_type: kind.map(ActorKind::word).map(Into::into),
            without: Some(without.iter().map(|value| value.word().into()).collect()),
        }
    }

    /// Writes what was passed over as the hash behind it. A spreadsheet has no chain: numbers that are missing say the same.
    fn pass(&mut self, out: &mut String) {
        let count = std::mem::take(&mut self.passed);
        if count > 0 && self.format == AuditFormat::Lines {
            let first = self.done.rows.saturating_sub(count).saturating_add(1);
            out.push_str(&line(&Line::Withheld(Withheld {
                withheld: first,
                count,
                hash: self.done.hash.to_hex(),
            })));
        }
    }

    fn wrote(&mut self, text: String) -> Vec<u8> {
        self.written.update(text.as_bytes());
        text.into_bytes()
    }
}

impl std::fmt::Debug for AuditExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditExport")
            .field("selection", &self.selection)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

fn line<T: serde::Serialize>(value: &T) -> String {
    json(value) + "\n"
}

/// INVARIANT: texts and numbers always have a form in JSON; an empty line would fail every check.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The version of the format that is written; the one before is still read.
pub(super) const VERSION: u32 = 2;
pub(super) const FIRST_VERSION: u32 = 1;

/// The SHA-256 of what was read so far.
pub(super) fn digest(context: &Context) -> Option<Digest> {
    <[u8; 32]>::try_from(context.clone().finish().as_ref()).ok().map(Digest::from_bytes)
}
