//! Agents are of one tenant: whoever asks for another's finds nothing, and changes nothing.

use kakunin_authority::AgentName;
use kakunin_authority::access::TenantId;
use kakunin_authority::standing::Standing;
use kakunin_authority::store::{
    Access, AgentDetails, AgentFilter, AgentPage, AgentRecord, Agents, Certificates, IssuerId, IssuerRecord,
    Issuers, StoreError,
};
use kakunin_core::id::AgentId;

use super::{Bench, agent, at, first, fresh, ours, reservation, theirs};

#[test]
fn an_agent_of_one_tenant_is_no_agent_of_another() {
    let (_folder, mut store) = fresh();
    store.add_tenant(&theirs(), at(1)).unwrap();
    assert_eq!(store.tenants().unwrap(), [ours(), theirs()]);
    assert!(matches!(store.add_tenant(&theirs(), at(2)), Err(StoreError::TenantTaken { .. })));
    let (mine, foreign) = (agent(1), AgentRecord { tenant: theirs(), ..agent(2) });
    // Two tenants may use one name, an id is one agent's.
    store.add_agent(&mine).unwrap();
    store.add_agent(&AgentRecord { name: mine.name.clone(), ..foreign.clone() }).unwrap();
    let taken = store.add_agent(&AgentRecord { id: mine.id, ..agent(3) });
    assert!(matches!(taken, Err(StoreError::AgentTaken { id }) if id == mine.id), "{taken:?}");
    let taken = store.add_agent(&AgentRecord { name: mine.name.clone(), ..agent(3) });
    assert!(matches!(taken, Err(StoreError::NameTaken { .. })), "{taken:?}");

    assert_eq!(store.agent(&ours(), foreign.id).unwrap(), None);
    assert_eq!(store.agent_named(&theirs(), &mine.name).unwrap().unwrap().id, foreign.id);
    assert_eq!(store.agents(&ours()).unwrap(), std::slice::from_ref(&mine));
    let changes = [
        store.set_scope(&ours(), foreign.id, b"wider", at(5)),
        store.set_details(&ours(), foreign.id, &AgentDetails::default(), at(5)),
        store.keep_directory(&ours(), foreign.id, "/srv/agent".as_ref()),
        store.change_standing(&super::revoke(&ours(), foreign.id, at(5))).map(|_| ()),
    ];
    for change in changes {
        assert!(matches!(change, Err(StoreError::UnknownAgent { id }) if id == foreign.id), "{change:?}");
    }
    assert_eq!(store.agent(&theirs(), foreign.id).unwrap().unwrap().standing, Standing::Good);
    assert_eq!(store.events(&theirs(), foreign.id).unwrap(), []);
    assert_eq!(store.directories(&theirs(), foreign.id).unwrap().len(), 0);
    assert!(!store.has_directories().unwrap());
    store.keep_directory(&theirs(), foreign.id, "/srv/agent".as_ref()).unwrap();
    assert!(store.has_directories().unwrap());
}

#[test]
fn what_is_said_about_an_agent_is_kept_as_it_was_said() {
    let (_folder, mut store) = fresh();
    store.add_agent(&agent(1)).unwrap();
    let details = AgentDetails {
        title: Some("Billing \u{202e}EU\u{0}".into()),
        model: Some(String::new()),
        metadata: Some(r#"{"permitted_actions":["read:*"]}"#.into()),
        ..AgentDetails::default()
    };
    store.set_details(&ours(), agent(1).id, &details, at(50)).unwrap();
    store.set_scope(&ours(), agent(1).id, b"scope", at(60)).unwrap();
    let kept = store.agent(&ours(), agent(1).id).unwrap().unwrap();
    assert_eq!(kept, AgentRecord { details, updated: at(60), scope: b"scope".to_vec(), ..agent(1) });
}

#[test]
fn pages_show_each_agent_once_newest_first() {
    let mut bench = Bench::new();
    for number in 1..=7 {
        bench.store.add_agent(&agent(number)).unwrap();
    }
    for number in [2, 5] {
        bench.certify(number, number);
    }
    bench.store.change_standing(&super::revoke(&ours(), agent(5).id, at(9))).unwrap();
    let everyone = AgentPage { filter: AgentFilter::default(), after: None, offset: 0, limit: 3 };
    let shown = |page: &AgentPage| -> Vec<AgentId> {
        bench.store.agents_page(&ours(), page).unwrap().iter().map(|agent| agent.id).collect()
    };
    let ids = |numbers: &[u8]| numbers.iter().map(|number| agent(*number).id).collect::<Vec<_>>();
    assert_eq!(shown(&everyone), ids(&[7, 6, 5]));
    assert_eq!(shown(&AgentPage { after: Some(agent(5).id), ..everyone }), ids(&[4, 3, 2]));
    assert_eq!(shown(&AgentPage { offset: 6, ..everyone }), ids(&[1]));
    for (standing, certified, expected) in [
        (None, Some(true), &[5, 2][..]),
        (None, Some(false), &[7, 6, 4, 3, 1]),
        (Some(Standing::Revoked), None, &[5]),
        (Some(Standing::Good), Some(true), &[2]),
        (Some(Standing::Held), None, &[]),
    ] {
        let filter = AgentFilter { standing, certified };
        assert_eq!(shown(&AgentPage { filter, limit: 9, ..everyone }), ids(expected), "{filter:?}");
        let count = bench.store.count_agents(&ours(), filter).unwrap();
        assert_eq!(count, expected.len() as u64, "{filter:?}");
    }
    let stranger = bench.store.agents_page(&theirs(), &AgentPage { after: Some(agent(5).id), ..everyone });
    assert!(matches!(stranger, Err(StoreError::UnknownAgent { .. })), "{stranger:?}");
}

#[test]
fn no_step_of_issuing_is_taken_for_an_agent_that_is_not_good() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    bench.reserve(1, 1).unwrap();
    assert!(matches!(bench.reserve(1, 1), Err(StoreError::SerialTaken { .. })));
    assert!(matches!(bench.reserve(2, 2), Err(StoreError::NotGood { .. })));
    let early = bench.store.keep_certificate(super::serial(1), b"certificate");
    assert!(matches!(early, Err(StoreError::OutOfTurn { .. })), "{early:?}");
    // Revoked between the number and what is signed: nothing is issued, and no feed tells of it.
    let told = bench.store.change_standing(&super::revoke(&ours(), agent(1).id, at(9))).unwrap();
    assert_eq!(told, []);
    let late = bench.store.keep_tbs(super::serial(1), b"to be signed");
    assert!(matches!(late, Err(StoreError::OutOfTurn { .. })), "{late:?}");
    assert!(matches!(bench.reserve(2, 1), Err(StoreError::NotGood { .. })));
    assert_eq!(bench.store.certificate(super::serial(1)).unwrap(), None);
    assert_eq!(bench.store.certificates(&ours(), agent(1).id).unwrap(), []);
    let name = AgentName::parse("agent-1").unwrap();
    assert_eq!(bench.store.agent_named(&ours(), &name).unwrap().unwrap().standing, Standing::Revoked);
}

#[test]
fn an_issuer_of_one_tenant_certifies_nobody_of_another() {
    let mut bench = Bench::new();
    let store = &mut bench.store;
    store.add_tenant(&theirs(), at(1)).unwrap();
    let second = first().next();
    let record = |id, tenant| IssuerRecord { id, tenant, der: vec![1], revoked: None };
    let nobody = TenantId::parse("nobody").unwrap();
    let refused = store.add_issuers(&[record(second, Some(nobody.clone()))]);
    assert!(matches!(refused, Err(StoreError::UnknownTenant { tenant }) if tenant == nobody));
    store.add_issuers(&[record(second, Some(theirs()))]).unwrap();
    let tenants: Vec<_> = store.issuers().unwrap().into_iter().map(|issuer| issuer.tenant).collect();
    assert_eq!(tenants, [None, Some(ours()), Some(theirs())]);
    store.add_agent(&agent(1)).unwrap();
    store.add_agent(&AgentRecord { tenant: theirs(), ..agent(2) }).unwrap();
    // The root certifies nobody at all.
    for (issuer, of) in [(second, 1), (first(), 2), (IssuerId::ROOT, 1), (IssuerId::ROOT, 2)] {
        let refused = store.reserve(&reservation(issuer, 7, of));
        assert!(
            matches!(refused, Err(StoreError::UnknownIssuer { issuer: id }) if id == issuer),
            "{refused:?}"
        );
    }
    store.reserve(&reservation(first(), 1, 1)).unwrap();
    store.reserve(&reservation(second, 2, 2)).unwrap();
    assert_eq!(store.tenant_since(&theirs()).unwrap(), Some(at(1)));
    assert_eq!(store.tenant_since(&nobody).unwrap(), None);
}
