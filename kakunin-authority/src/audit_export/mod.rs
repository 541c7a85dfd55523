//! The audit log in a file that a stranger can check.
//!
//! Rows of the log form one chain over all tenants, so a file has every row that was chosen whole, and of those
//! between them only the hash that the chain had behind them. The last line is a statement about the whole file,
//! signed by the issuing authority: where the chain ends, how many rows are shown, and the SHA-256 of everything before
//! it. Values of rows can be left out: then there are commitments in their places, of which nobody guesses what they hide,
//! since rows are salted. A row that is changed, taken out, put in or moved shows twice: the chain breaks there, and the statement does not
//! fit. `docs/wire.md` has the format.

mod csv;
mod line;
mod verify;
mod write;

use kakunin_core::time::UnixTime;

use crate::access::{ActorKind, TenantId};
use crate::authority::{Authority, AuthorityError};
use crate::deed::Deed;
use crate::store::{AuditHead, AuditRecord, AuditRow, AuditValue, StoreError};

pub use verify::{AuditFileError, CheckedAudit, verify};
pub use write::{AuditExport, AuditStatement};

/// Which rows are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSelection {
    /// Orders of this tenant, and what came of them.
    pub tenant: TenantId,
    /// Given at or after.
    pub from: Option<UnixTime>,
    /// Given before.
    pub to: Option<UnixTime>,
    /// With this word.
    pub what: Option<String>,
    /// By an actor of this kind.
    pub kind: Option<ActorKind>,
    /// Which values are left out of every row, each of them once. Rows that are not salted are then not shown at all.
    pub without: Vec<AuditValue>,
}

impl AuditSelection {
    fn takes(&self, record: &AuditRecord) -> bool {
        record.tenant == self.tenant
            && self.from.is_none_or(|from| record.at >= from)
            && self.to.is_none_or(|to| record.at < to)
            && self.what.as_ref().is_none_or(|what| record.what == *what)
            && self.kind.is_none_or(|kind| record.actor.kind() == kind)
    }
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFormat {
    /// A JSON object a line.
    Lines,
    /// Comma-separated values (RFC 4180), for spreadsheets.
    Csv,
}

/// The issuing authority's word for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSignature {
    /// In the form that X.509 has.
    pub signature: Vec<u8>,
    /// The certificate whose key signed, in DER.
    pub certificate: Vec<u8>,
}

impl Authority<'_> {
    /// Writes an export by `write`, a page after the other, and gives the end of the chain that it shows. The order is in the
    /// log before anything is written, and so in the export.
    ///
    /// # Errors
    /// [`AuthorityError`] when the log cannot be read or is not as it was written, or nothing can be signed or written.
    pub fn export_audit(
        &mut self,
        selection: AuditSelection,
        format: AuditFormat,
        now: UnixTime,
        write: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<AuditHead, AuthorityError> {
        let deed = Deed {
            what: "audit.export",
            subject: selection.tenant.to_string(),
            before: None,
            after: None,
            text: format!("{selection:?}"),
        };
        self.locally(deed, now, |authority| {
            let head = authority.store.audit_head()?.ok_or(StoreError::Damaged { what: "audit log" })?;
            let (mut export, first) = AuditExport::begin(selection, format, head, now);
            let mut write = |page: &[u8]| write(page).map_err(AuthorityError::Written);
            write(&first)?;
            while let Some((after, last)) = export.wants() {
                let rows = authority.store.audit_rows(after, last, ROWS_AT_ONCE)?;
                write(&export.rows(&rows)?)?;
            }
            let statement = export.statement().ok_or(StoreError::Damaged { what: "audit log" })?;
            let signed = authority.sign_audit(&statement)?;
            write(&export.end(&statement, &signed))?;
            Ok(head)
        })
    }

    /// Signs the statement at the end of an export.
    ///
    /// # Errors
    /// [`AuthorityError`] when no issuing authority is left, or its key does not open.
    pub fn sign_audit(&mut self, statement: &AuditStatement) -> Result<AuditSignature, AuthorityError> {
        let current = self.current()?;
        let (id, certificate) = (current.id, current.certificate.decoded().der().to_vec());
        let signer = self.keys.signer(id)?;
        let signature = signer.sign(&to_be_signed(statement.text()))?.to_x509(signer.algorithm());
        Ok(AuditSignature { signature, certificate })
    }
}

/// What is signed: no other text that this key signs begins like it.
fn to_be_signed(statement: &str) -> Vec<u8> {
    [STATEMENT, statement.as_bytes()].concat()
}

/// How many rows are read at once: an export holds no more of the log in memory.
pub const ROWS_AT_ONCE: u32 = 500;
const STATEMENT: &[u8] = b"kakunin audit export 1\n";

/// Whether a row is shown: orders that are chosen, and what came of those.
#[derive(Debug, Default)]
struct Shown {
    /// Chosen orders of which nothing was heard yet. One order is carried out after the other, so these are few.
    open: std::collections::BTreeSet<u64>,
}

impl Shown {
    fn takes(&mut self, selection: &AuditSelection, row: &AuditRow) -> bool {
        match &row.said {
            crate::store::AuditSaid::Intent(record) => {
                let takes = selection.takes(record);
                if takes {
                    self.open.insert(row.number);
                }
                takes
            }
            crate::store::AuditSaid::Outcome { intent, .. } => self.open.remove(&intent.number()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Actor;
    use crate::store::{AUDIT_START, AuditId, AuditLog, MemoryStore, Outcome, RowSalt};

    fn store() -> MemoryStore {
        let mut store = MemoryStore::default();
        // The first order is one of before there were salts.
        for (number, salt) in [(1, None), (3, Some(RowSalt::from_random([7; 32])))] {
            let record = AuditRecord {
                at: UnixTime::from_seconds(number),
                actor: Actor::Local,
                address: Some("192.0.2.17".into()),
                tenant: TenantId::default(),
                what: "agent.suspend".into(),
                subject: format!("agent {number}"),
                before: None,
                after: None,
                text: format!("secret words {number}"),
                salt,
            };
            let id = store.audit_intent(&record).unwrap();
            let outcome = Outcome::Refused(format!("also secret {number}"));
            store.audit_outcome(id, &outcome, UnixTime::from_seconds(number)).unwrap();
            assert_eq!(id, AuditId::from_number(number.try_into().unwrap()));
        }
        store
    }

    fn written(store: &MemoryStore, format: AuditFormat, without: &[AuditValue]) -> (String, AuditStatement) {
        let selection = AuditSelection {
            tenant: TenantId::default(),
            from: None,
            to: None,
            what: None,
            kind: None,
            without: without.to_vec(),
        };
        let head = store.audit_head().unwrap().unwrap();
        let (mut export, first) = AuditExport::begin(selection, format, head, UnixTime::from_seconds(9));
        let mut text = String::from_utf8(first).unwrap();
        while let Some((after, last)) = export.wants() {
            // A row at a time: what is passed over goes on from page to page.
            let rows = store.audit_rows(after, last, 1).unwrap();
            text.push_str(std::str::from_utf8(&export.rows(&rows).unwrap()).unwrap());
        }
        (text, export.statement().unwrap())
    }

    #[test]
    fn what_is_left_out_is_in_no_form_in_the_file_and_rows_of_before_are_withheld() {
        let store = store();
        for format in [AuditFormat::Lines, AuditFormat::Csv] {
            let (whole, statement) = written(&store, format, &[]);
            for words in [
                "secret words 1",
                "secret words 3",
                "also secret 1",
                "also secret 3",
                "192.0.2.17",
                "agent 3",
            ] {
                assert!(whole.contains(words), "{words}: {whole}");
            }
            assert!(statement.text().contains(r#""shown":4,"withheld":0"#), "{}", statement.text());
            let (left, statement) = written(&store, format, &[AuditValue::Text, AuditValue::Address]);
            for words in ["secret", "192.0.2.17", "agent 1", "0707"] {
                assert!(!left.contains(words), "{words}: {left}");
            }
            assert!(left.contains("agent 3"), "{left}");
            assert!(statement.text().contains(r#""without":["text","address"]"#), "{}", statement.text());
            assert!(statement.text().contains(r#""shown":2,"withheld":2"#), "{}", statement.text());
        }
    }

    #[test]
    fn nobody_who_sees_the_hash_of_a_salted_row_can_try_what_it_says() {
        let store = store();
        let rows = store.audit_rows(0, 9, 9).unwrap();
        let previous = [AUDIT_START, rows[0].hash, rows[1].hash, rows[2].hash];
        for (row, previous) in rows.iter().zip(previous) {
            assert!(row.follows(previous));
            // Whoever guesses every word of it still lacks the salt.
            let mut guess = row.clone();
            match &mut guess.said {
                crate::store::AuditSaid::Intent(record) => record.salt = None,
                crate::store::AuditSaid::Outcome { salt, .. } => *salt = None,
            }
            assert_eq!(guess.follows(previous), row.number < 3, "{row:?}");
        }
    }
}
