//! Tokens and papers: an agent elsewhere gets one certificate for its token, whatever happens in between.

use kakunin_authority::access::{Actor, TenantId};
use kakunin_authority::authority::{AuthorityError, Comeback, Days, Hours, Minutes, OldIssuing};
use kakunin_authority::papers::{Enrol, Papers};
use kakunin_authority::standing::Order;
use kakunin_authority::store::{
    Agents, AuditFilter, AuditLog, Certificates, IssuerId, Outcome, Reservation, SqliteStore, StoreError,
    TokenRecord, Tokens,
};
use kakunin_authority::token::EnrolmentToken;
use kakunin_authority::{Authority, Who};
use kakunin_core::certificate::{AgentCertificate, request_pem};
use kakunin_core::genesis::Genesis;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::time::Validity;

use crate::office::{DAY, Office, now};

fn key() -> Signer {
    Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0)
}

fn token(office: &Office, who: &Who) -> (TokenRecord, EnrolmentToken) {
    let (_, record, token) = office.authority().make_token(who, Minutes::default(), now()).unwrap();
    (record, token)
}

fn enrol(
    authority: &mut Authority<'_>,
    who: &Who,
    key: &Signer,
    token: &TokenRecord,
) -> Result<Papers, AuthorityError> {
    let order = Enrol {
        request: request_pem(key).unwrap().into_bytes(),
        days: Days::DAY,
        comeback: Comeback::Refuse,
        token: Some(token.prefix.clone()),
    };
    authority.enrol_elsewhere(who, &order, Hours::default(), now())
}

#[test]
fn whoever_lost_the_answer_gets_the_same_certificate_and_another_key_gets_none() {
    let office = Office::open();
    let who = office.create("billing");
    let (record, token) = token(&office, &who);
    let mut authority = office.authority();
    assert_eq!(token.root(), authority.root().decoded().thumbprint());
    let (key, other) = (key(), self::key());
    let first = enrol(&mut authority, &who, &key, &record).unwrap();
    let again = enrol(&mut authority, &who, &key, &record).unwrap();
    assert_eq!(again.certificate.decoded().der(), first.certificate.decoded().der());
    let mark = again.genesis.unwrap().to_text();
    let mark = Genesis::verify(&mark, first.issuing.decoded().key()).unwrap();
    assert_eq!(mark.certificate(), first.certificate.decoded().thumbprint());
    let stolen = enrol(&mut authority, &who, &other, &record);
    assert!(matches!(stolen, Err(AuthorityError::Store(StoreError::TokenUsed { .. }))), "{stolen:?}");
    let store = SqliteStore::open(&office.home.store()).unwrap();
    let (tenant, agent) = (TenantId::default(), record.agent);
    assert_eq!(store.certificates(&tenant, agent).unwrap().len(), 1);
    // What the agent cannot have any more it does not get again either.
    for (order, expected) in [(Order::Suspend, "suspended"), (Order::Revoke, "revoked")] {
        authority.order(&who, order, "test", Hours::default(), now()).unwrap();
        let refused = enrol(&mut authority, &who, &key, &record).unwrap_err();
        assert!(refused.is_refusal() && refused.to_string().contains(expected), "{refused}");
        let made = authority.make_token(&who, Minutes::default(), now());
        assert!(matches!(made, Err(AuthorityError::Standing(_))), "{made:?}");
    }
    // Each token was recorded before it was made, and so was the refusal.
    let log = store.audit(&tenant, &AuditFilter::default(), 9).unwrap();
    let tokens: Vec<_> = log.iter().filter(|entry| entry.record.what == "token.create").collect();
    assert_eq!(tokens.len(), 3);
    assert!(tokens.iter().all(|entry| entry.record.actor == Actor::Local));
    assert_eq!(tokens[2].record.after.as_deref(), Some(record.prefix.as_str()));
    assert!(matches!(&tokens[0].outcome, Some((Outcome::Refused(code), _)) if code == "agent.standing"));
}

#[test]
fn a_crash_before_the_signature_loses_no_token_and_gives_no_second_certificate() {
    let office = Office::open();
    let who = office.create("billing");
    let (record, _) = token(&office, &who);
    let (key, other) = (key(), self::key());
    for (number, with_tbs) in [(1, false), (2, true)] {
        // What is on the disk after a crash: the number and the token are taken, or what is to be signed too.
        let mut store = SqliteStore::open(&office.home.store()).unwrap();
        let serial = SerialNumber::from_random([number; 16]);
        let validity = Validity { not_before: now(), not_after: now().plus(DAY) };
        let (issuer, agent) = (IssuerId::ROOT.next(), record.agent);
        let reservation = Reservation { serial, issuer, agent, key: key.public().key_id(), validity };
        store.redeem(&record.prefix, &reservation, now()).unwrap();
        if with_tbs {
            store.keep_tbs(serial, b"to be signed").unwrap();
        }
    }
    let mut authority = office.authority();
    let stolen = enrol(&mut authority, &who, &other, &record);
    assert!(stolen.unwrap_err().is_refusal());
    let papers = enrol(&mut authority, &who, &key, &record).unwrap();
    let again = enrol(&mut authority, &who, &key, &record).unwrap();
    assert_eq!(papers.certificate.decoded().der(), again.certificate.decoded().der());
    let store = SqliteStore::open(&office.home.store()).unwrap();
    let known = store.certificates(&TenantId::default(), record.agent).unwrap();
    assert_eq!(known.iter().filter(|known| known.der.is_some()).count(), 1);
}

#[test]
fn an_agent_renews_so_often_and_no_more_but_for_another_scope_or_issuing_authority() {
    let office = Office::open();
    let who = office.create("billing");
    let (record, _) = token(&office, &who);
    let key = key();
    let first = enrol(&mut office.authority(), &who, &key, &record).unwrap().certificate;
    let serial = |papers: &Papers| papers.certificate.decoded().serial();
    let renew_at = |held: &AgentCertificate, seconds| {
        office.authority().renew_elsewhere(held, Days::DAY, Hours::default(), now().plus(seconds))
    };
    let known = || {
        let store = SqliteStore::open(&office.home.store()).unwrap();
        store.certificates(&TenantId::default(), record.agent).unwrap().len()
    };
    let mut renewed: Vec<_> = (0..3).map(|_| renew_at(&first, 0).unwrap()).collect();
    let last = renewed.pop().unwrap();
    assert_eq!(known(), 4);
    // Whoever lost the answers has not lost the certificate, and whoever has it gets no other.
    assert_eq!(serial(&renew_at(&first, 0).unwrap()), serial(&last));
    let held = last.certificate;
    let refused = renew_at(&held, 0).unwrap_err();
    let AuthorityError::RenewedEnough { most: 4, left, .. } = refused else { panic!("{refused}") };
    assert!(refused.is_refusal() && (43_100..=43_200).contains(&left), "{left}");
    assert_eq!(known(), 4);
    // An operator's change is picked up, once.
    let draft = crate::office::draft("actions = [\"read:*\"]");
    let scope = draft.for_agent(record.agent).unwrap();
    let mut store = SqliteStore::open(&office.home.store()).unwrap();
    store.set_scope(&TenantId::default(), record.agent, &scope.to_der(), now()).unwrap();
    let changed = renew_at(&held, 0).unwrap();
    assert_eq!(changed.certificate.scope().to_der(), scope.to_der());
    assert!(!changed.scope_diff.is_empty());
    let again = renew_at(&held, 0).unwrap();
    assert_eq!((serial(&again), again.scope_diff), (serial(&changed), changed.scope_diff));
    assert!(renew_at(&changed.certificate, 0).is_err());
    let _ = office.authority().rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
    let moved = renew_at(&changed.certificate, 0).unwrap();
    assert_ne!(moved.issuing.decoded().der(), changed.issuing.decoded().der());
    assert!(renew_at(&moved.certificate, 0).is_err());
    // And when the time is over, it goes on.
    assert!(renew_at(&moved.certificate, 43_300).is_ok());
    assert_eq!(known(), 7);
}

#[test]
fn a_token_is_for_its_agent_and_its_time() {
    let office = Office::open();
    let (who, other) = (office.create("billing"), office.create("other"));
    let (record, _) = token(&office, &who);
    let mut authority = office.authority();
    let foreign = enrol(&mut authority, &other, &key(), &record);
    let unknown = |result: &Result<Papers, AuthorityError>| {
        result
            .as_ref()
            .is_err_and(|error| error.is_refusal() && error.to_string().contains("no enrolment token"))
    };
    assert!(unknown(&foreign), "{foreign:?}");
    let order = Enrol {
        request: request_pem(&key()).unwrap().into_bytes(),
        days: Days::DAY,
        comeback: Comeback::Refuse,
        token: Some(record.prefix.clone()),
    };
    let late = authority.enrol_elsewhere(&who, &order, Hours::default(), now().plus(15 * 60));
    assert!(unknown(&late), "{late:?}");
    assert!(Minutes::new(0).is_err() && Minutes::new(61).is_err() && Minutes::new(60).is_ok());
    let agents = SqliteStore::open(&office.home.store()).unwrap().agents(&TenantId::default()).unwrap();
    let none = |id: AgentId| {
        SqliteStore::open(&office.home.store())
            .unwrap()
            .certificates(&TenantId::default(), id)
            .unwrap()
            .is_empty()
    };
    assert!(agents.iter().all(|agent| none(agent.id)));
}
