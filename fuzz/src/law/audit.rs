//! Exports of the audit log: what holds is what was exported.

use std::sync::LazyLock;

use kakunin_authority::access::{Actor, TenantId};
use kakunin_authority::audit_export::{
    AuditExport, AuditFormat, AuditSelection, AuditSignature, CheckedAudit, verify,
};
use kakunin_authority::store::{AuditLog as _, AuditRecord, AuditValue, MemoryStore, Outcome, RowSalt};
use kakunin_core::certificate::TrustAnchors;

use crate::authority::now;
use crate::world::{signer, world};

/// A file that holds is one that was exported up to its last line, and says what that said. Its chain goes through its own
/// end, which a spreadsheet cannot show.
pub(super) fn export(input: &[u8]) {
    let Ok(checked) = verify(input, anchors(), None) else { return };
    let is_it = |(file, known): &(Vec<u8>, CheckedAudit)| {
        all_but_the_last(file) == all_but_the_last(input) && *known == checked
    };
    assert!(exported().iter().any(is_it), "a file that nobody exported: {checked:?}");
    let again = verify(input, anchors(), Some(checked.head));
    assert_eq!(again.ok(), checked.open.map(|_| checked.clone()));
}

fn all_but_the_last(file: &[u8]) -> &[u8] {
    let lines = file.strip_suffix(b"\n").unwrap_or(file);
    &file[..lines.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1)]
}

/// The world's root, and that of the files which an earlier version wrote.
fn anchors() -> &'static TrustAnchors {
    static ANCHORS: LazyLock<TrustAnchors> = LazyLock::new(|| {
        let (_, old) = der::pem::decode_vec(OLD_ROOT).unwrap();
        TrustAnchors::new([world().authority.root.as_slice(), &old]).unwrap()
    });
    &ANCHORS
}

fn exported() -> &'static [(Vec<u8>, CheckedAudit)] {
    static FILES: LazyLock<Vec<(Vec<u8>, CheckedAudit)>> = LazyLock::new(|| {
        let checked = |file: Vec<u8>| {
            let checked = verify(file.as_slice(), anchors(), None).unwrap();
            (file, checked)
        };
        exports().into_iter().map(checked).collect()
    });
    &FILES
}

/// Files of both versions and both forms, whole and with values left out.
pub(crate) fn exports() -> Vec<Vec<u8>> {
    let mut all = OLD_FILES.map(<[u8]>::to_vec).to_vec();
    let store = store();
    for format in [AuditFormat::Lines, AuditFormat::Csv] {
        for without in [&[][..], &[AuditValue::Text, AuditValue::Address], &AuditValue::ALL] {
            for what in [None, Some("agent.suspend")] {
                all.push(written(&store, format, without, what));
            }
        }
    }
    all
}

fn written(store: &MemoryStore, format: AuditFormat, without: &[AuditValue], what: Option<&str>) -> Vec<u8> {
    let selection = AuditSelection {
        tenant: TenantId::default(),
        from: None,
        to: what.map(|_| now().plus(60)),
        what: what.map(Into::into),
        kind: None,
        without: without.to_vec(),
    };
    let head = store.audit_head().unwrap().unwrap();
    let (mut export, mut file) = AuditExport::begin(selection, format, head, now().plus(90));
    while let Some((after, last)) = export.wants() {
        file.extend(export.rows(&store.audit_rows(after, last, 3).unwrap()).unwrap());
    }
    let statement = export.statement().unwrap();
    // As wire 8.1 has it.
    let text = format!("kakunin audit export 1\n{}", statement.text());
    let issuing = signer(2);
    let signature = issuing.sign(text.as_bytes()).unwrap().to_x509(issuing.algorithm());
    let certificate = world().authority.issuing.clone();
    file.extend(export.end(&statement, &AuditSignature { signature, certificate }));
    file
}

fn store() -> MemoryStore {
    let mut store = MemoryStore::default();
    for (number, what) in (0_u8..).zip(["agent.create", "agent.suspend", "agent.resume", "agent.revoke"]) {
        let at = now().plus(i64::from(number));
        let record = AuditRecord {
            at,
            actor: Actor::Local,
            address: Some("192.0.2.17".into()),
            tenant: TenantId::default(),
            what: what.into(),
            subject: format!("agent {number}, \"quoted\""),
            before: Some("good".into()),
            after: None,
            text: "=1+1\nwords".into(),
            // The first is of before there were salts.
            salt: (number > 0).then(|| RowSalt::from_random([number; 32])),
        };
        let id = store.audit_intent(&record).unwrap();
        let outcome = if number == 3 { Outcome::Refused("standing".into()) } else { Outcome::Done };
        store.audit_outcome(id, &outcome, at).unwrap();
    }
    store
}

const OLD_ROOT: &[u8] = include_bytes!("../../../kakunin-cli/tests/old/audit-1/ca.pem");
const OLD_FILES: [&[u8]; 3] = [
    include_bytes!("../../../kakunin-cli/tests/old/audit-1/export.jsonl"),
    include_bytes!("../../../kakunin-cli/tests/old/audit-1/chosen.jsonl"),
    include_bytes!("../../../kakunin-cli/tests/old/audit-1/export.csv"),
];
