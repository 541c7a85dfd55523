//! Any order that a store can be given, and all that it can be asked: what the stores are compared by.

use std::fmt::{Debug, Write};

use kakunin_authority::AgentName;
use kakunin_authority::access::{Actor, ActorKind, KeyPrefix, Role, TenantId};
use kakunin_authority::hook::HookId;
use kakunin_authority::standing::{Reason, Standing};
use kakunin_authority::store::{
    AgentDetails, AgentFilter, AgentPage, AgentRecord, Answer, ApiKeyRecord, AuditFilter, AuditId,
    AuditRecord, Extent, FreezeRecord, Hand, IssuerId, IssuerRecord, ListRecord, NewFeedKey, Outcome,
    ReceiptFilter, ReceiptKind, ReceiptPlace, ReceiptRecord, Reservation, RowSalt, StandingChange, Store,
    StoreError, TokenRecord,
};
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, ChainId, StreamId};
use kakunin_core::time::Validity;
use proptest::collection::vec;
use proptest::prelude::*;

use super::checkpoint_orders::{
    CheckpointOrder, all_about_checkpoints, any_about_checkpoints, give_about_checkpoints,
};
use super::declared_orders::{DeclaredOrder, all_about_declared, any_about_declared, give_about_declared};
use super::hook_orders::{HookOrder, any_about_hooks, give_about_hooks};
use super::risk_orders::{RiskOrder, all_about_risk, any_about_risk, give_about_risk};
use super::{at, serial};

/// An order. Its numbers are taken from a few, so that orders meet each other.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Tenant(u8),
    Issuers(Vec<(u8, Option<u8>)>),
    RevokeIssuer(u8, i64),
    Agent {
        tenant: u8,
        id: u8,
        name: u8,
        at: i64,
    },
    Scope {
        tenant: u8,
        id: u8,
        at: i64,
    },
    Details {
        tenant: u8,
        id: u8,
        text: String,
        at: i64,
    },
    Standing {
        tenant: u8,
        id: u8,
        to: Standing,
        at: i64,
    },
    Directory {
        tenant: u8,
        id: u8,
        path: u8,
    },
    Names(u8, String),
    Reserve {
        serial: u8,
        issuer: u8,
        id: u8,
        end: i64,
    },
    Tbs(u8),
    Certificate(u8),
    ListNumber(u8),
    List(u8, u64, u8),
    KeepChange {
        issuer: u8,
        epoch: u64,
    },
    FeedKey {
        serial: u8,
        issuer: u8,
        key: u8,
    },
    FeedCertificate(u8),
    FeedKeysGone(u8, i64),
    Key {
        tenant: u8,
        prefix: u8,
        role: usize,
        agents: Option<Vec<u8>>,
        at: i64,
    },
    RevokeKey {
        tenant: u8,
        prefix: u8,
        at: i64,
    },
    Intent {
        tenant: u8,
        subject: u8,
        text: String,
        at: i64,
    },
    Outcome {
        id: u64,
        outcome: u8,
        at: i64,
    },
    Begin {
        tenant: u8,
        key: u8,
        request: u8,
        at: i64,
    },
    Answer {
        tenant: u8,
        key: u8,
    },
    Forget(i64),
    Token {
        tenant: u8,
        prefix: u8,
        id: u8,
        at: i64,
    },
    Redeem {
        prefix: u8,
        serial: u8,
        id: u8,
        key: u8,
        at: i64,
    },
    ForgetTokens(i64),
    /// Of all tenants, if none is named.
    Freeze {
        tenant: Option<u8>,
        text: String,
        at: i64,
    },
    Thaw {
        tenant: Option<u8>,
        at: i64,
    },
    About(HookOrder),
    Declared(DeclaredOrder),
    Shown(CheckpointOrder),
    Behaves(RiskOrder),
    Receipts {
        tenant: u8,
        id: u8,
        places: Vec<(u8, u8, i64)>,
    },
    /// Several in one transaction, which goes wrong in the end if so said.
    Batch(Vec<Order>, bool),
}

/// Orders that find something to do more often than not.
pub(super) fn any_orders(most: usize) -> impl Strategy<Value = Vec<Order>> {
    // Without a beginning most orders would only say what is missing.
    let beginning = [
        Order::Tenant(1),
        Order::Issuers(vec![(0, None), (1, Some(0)), (2, Some(1))]),
        Order::Agent { tenant: 0, id: 0, name: 0, at: 1 },
        Order::Agent { tenant: 1, id: 1, name: 0, at: 2 },
        Order::Declared(DeclaredOrder::Chain { tenant: 0, id: 0, text: String::new(), at: 1 }),
        Order::About(HookOrder::Add { tenant: 0, id: 0, wants: 0b11_0111_1111, at: 1 }),
    ];
    vec(any_order(), most / 2..most).prop_map(move |orders| beginning.iter().cloned().chain(orders).collect())
}

fn any_order() -> impl Strategy<Value = Order> {
    prop_oneof![
        12 => any_single(),
        3 => (0..8_u8, 0..2_u8, 10..40_i64).prop_map(|(serial, id, end)| {
            // By its tenant's own, as they are in the beginning.
            let issuer = id + 1;
            let steps = [Order::Reserve { serial, issuer, id, end }, Order::Tbs(serial), Order::Certificate(serial)];
            Order::Batch(steps.to_vec(), false)
        }),
        2 => (0..2_u8, 0..3_u8, 0..8_u8, 0..2_u8, 0..30_i64).prop_map(|(id, prefix, serial, key, at)| {
            let redeem = Order::Redeem { prefix, serial, id, key, at };
            let steps = [Order::Token { tenant: id, prefix, id, at }, redeem, Order::Tbs(serial)];
            Order::Batch(steps.to_vec(), false)
        }),
        1 => (vec(any_single(), 0..6), any::<bool>()).prop_map(|(orders, fails)| Order::Batch(orders, fails)),
    ]
}

fn any_single() -> impl Strategy<Value = Order> {
    // The third tenant, the fourth issuer and the fourth agent are seldom there.
    let (tenant, issuer, id, small) = (0..3_u8, 0..4_u8, 0..4_u8, 0..3_u8);
    let (second, serial) = (0..40_i64, 0..8_u8);
    let standing = prop::sample::select(vec![Standing::Good, Standing::Held, Standing::Revoked]);
    let text = prop::sample::select(vec!["", "why\0", "'; DROP TABLE audit", "\u{1b}[2J\r\n", "äß€"]);
    let text = text.prop_map(str::to_owned);
    let (frozen, words) = (prop::option::weighted(0.8, tenant.clone()), text.clone());
    // Mostly an agent with its own tenant, as in the beginning.
    let receipted = (0..2_u8).prop_map(|id| (id, id));
    let receipted = prop_oneof![5 => receipted, 1 => (tenant.clone(), id.clone())];
    let who = prop_oneof![3 => (0..2_u8).prop_map(|id| (id, id)), 1 => (tenant.clone(), id.clone())];
    prop_oneof![
        1 => tenant.clone().prop_map(Order::Tenant),
        1 => vec((issuer.clone(), prop::option::of(tenant.clone())), 1..3).prop_map(Order::Issuers),
        1 => (issuer.clone(), second.clone()).prop_map(|(issuer, at)| Order::RevokeIssuer(issuer, at)),
        3 => (who.clone(), small.clone(), second.clone())
            .prop_map(|((tenant, id), name, at)| Order::Agent { tenant, id, name, at }),
        1 => (who.clone(), second.clone()).prop_map(|((tenant, id), at)| Order::Scope { tenant, id, at }),
        1 => (who.clone(), text.clone(), second.clone())
            .prop_map(|((tenant, id), text, at)| Order::Details { tenant, id, text, at }),
        6 => (who.clone(), standing, second.clone())
            .prop_map(|((tenant, id), to, at)| Order::Standing { tenant, id, to, at }),
        1 => (who, small.clone()).prop_map(|((tenant, id), path)| Order::Directory { tenant, id, path }),
        1 => (small.clone(), text.clone()).prop_map(|(root, text)| Order::Names(root, text)),
        6 => (serial.clone(), issuer.clone(), id.clone(), second.clone())
            .prop_map(|(serial, issuer, id, end)| Order::Reserve { serial, issuer, id, end }),
        5 => serial.clone().prop_map(Order::Tbs),
        4 => serial.prop_map(Order::Certificate),
        1 => issuer.clone().prop_map(Order::ListNumber),
        1 => (issuer, 0..9_u64, 0..3_u8).prop_map(|(issuer, number, text)| Order::List(issuer, number, text)),
        8 => (1..3_u8, 1..4_u64).prop_map(|(issuer, epoch)| Order::KeepChange { issuer, epoch }),
        2 => (0..3_u8, 0..4_u8, 0..4_u8).prop_map(|(serial, issuer, key)| Order::FeedKey { serial, issuer, key }),
        2 => (0..3_u8).prop_map(Order::FeedCertificate),
        1 => (0..3_u8, 0..3_i64).prop_map(|(by, at)| Order::FeedKeysGone(by, at)),
        2 => (tenant.clone(), small.clone(), 0..6_usize, prop::option::of(vec(id, 0..3)), second.clone())
            .prop_map(|(tenant, prefix, role, agents, at)| Order::Key { tenant, prefix, role, agents, at }),
        1 => (tenant.clone(), small.clone(), second.clone())
            .prop_map(|(tenant, prefix, at)| Order::RevokeKey { tenant, prefix, at }),
        5 => (tenant.clone(), small.clone(), text, second.clone())
            .prop_map(|(tenant, subject, text, at)| Order::Intent { tenant, subject, text, at }),
        6 => (1..6_u64, small.clone(), second.clone())
            .prop_map(|(id, outcome, at)| Order::Outcome { id, outcome, at }),
        2 => (tenant.clone(), small.clone(), 0..2_u8, second.clone())
            .prop_map(|(tenant, key, request, at)| Order::Begin { tenant, key, request, at }),
        1 => (tenant, small.clone()).prop_map(|(tenant, key)| Order::Answer { tenant, key }),
        9 => any_about_hooks().prop_map(Order::About),
        4 => any_about_tokens(),
        2 => (frozen.clone(), words, second.clone())
            .prop_map(|(tenant, text, at)| Order::Freeze { tenant, text, at }),
        // More often than it is frozen, or nothing would be issued in the end.
        5 => (frozen, second.clone()).prop_map(|(tenant, at)| Order::Thaw { tenant, at }),
        8 => any_about_declared().prop_map(Order::Declared),
        4 => any_about_checkpoints().prop_map(Order::Shown),
        4 => any_about_risk().prop_map(Order::Behaves),
        1 => second.clone().prop_map(Order::Forget),
        3 => (receipted, vec((0..2_u8, 0..4_u8, second), 0..5))
            .prop_map(|((tenant, id), places)| Order::Receipts { tenant, id, places }),
    ]
}

fn any_about_tokens() -> impl Strategy<Value = Order> {
    let (small, second) = (0..3_u8, 0..30_i64);
    // Mostly for an agent of the beginning, and mostly by it.
    let who = prop_oneof![5 => (0..2_u8).prop_map(|id| (id, id)), 1 => (0..3_u8, 0..4_u8)];
    let redeemed = (small.clone(), 0..8_u8, 0..3_u8, 0..2_u8, second.clone());
    prop_oneof![
        4 => (who, small, second.clone())
            .prop_map(|((tenant, id), prefix, at)| Order::Token { tenant, prefix, id, at }),
        8 => redeemed.prop_map(|(prefix, serial, id, key, at)| Order::Redeem { prefix, serial, id, key, at }),
        1 => second.prop_map(Order::ForgetTokens),
    ]
}

/// Gives the order, and says what the store answered.
pub(super) fn give(order: &Order, store: &mut dyn Store) -> String {
    match order {
        Order::Tenant(number) => said(store.add_tenant(&tenant(*number), at(1))),
        Order::Issuers(numbers) => {
            let record = |(number, whose): &(u8, Option<u8>)| IssuerRecord {
                id: issuer(*number),
                tenant: whose.map(tenant),
                der: vec![*number],
                revoked: None,
            };
            said(store.add_issuers(&numbers.iter().map(record).collect::<Vec<_>>()))
        }
        Order::RevokeIssuer(number, second) => said(store.revoke_issuer(issuer(*number), at(*second))),
        Order::Agent { tenant: whose, id, name, at: second } => {
            let record = AgentRecord {
                id: agent(*id),
                tenant: tenant(*whose),
                name: AgentName::parse(&format!("name-{name}")).unwrap(),
                created: at(*second),
                updated: at(*second),
                standing: Standing::Good,
                scope: vec![*id],
                details: AgentDetails::default(),
            };
            said(store.add_agent(&record))
        }
        Order::Scope { tenant: whose, id, at: second } => {
            said(store.set_scope(&tenant(*whose), agent(*id), &second.to_be_bytes(), at(*second)))
        }
        Order::Details { tenant: whose, id, text, at: second } => {
            let details = AgentDetails {
                title: Some(text.clone()),
                metadata: Some("{}".into()),
                ..AgentDetails::default()
            };
            said(store.set_details(&tenant(*whose), agent(*id), &details, at(*second)))
        }
        Order::Standing { tenant: whose, id, to, at: second } => {
            let (tenant, reason, text) = (&tenant(*whose), Reason::Superseded, "because");
            let change = StandingChange {
                tenant,
                agent: agent(*id),
                to: *to,
                reason,
                text,
                halt: second % 4 == 0,
                at: at(*second),
            };
            said(store.change_standing(&change))
        }
        Order::Directory { tenant: whose, id, path } => {
            said(store.keep_directory(&tenant(*whose), agent(*id), format!("/srv/{path}").as_ref()))
        }
        Order::Names(root, text) => said(store.keep_names(Digest::of(&[*root]), text)),
        Order::Reserve { serial: number, issuer: by, id, end } => {
            let validity = Validity { not_before: at(0), not_after: at(*end) };
            let key = Digest::of(&[*number]);
            said(store.reserve(&Reservation {
                serial: serial((*number).into()),
                issuer: issuer(*by),
                agent: agent(*id),
                key,
                validity,
            }))
        }
        Order::Tbs(number) => said(store.keep_tbs(serial((*number).into()), b"to be signed")),
        Order::Certificate(number) => said(store.keep_certificate(serial((*number).into()), b"signed")),
        Order::ListNumber(number) => said(store.next_list_number(issuer(*number))),
        Order::List(by, number, text) => {
            let der = list_of(*by, *number, *text);
            let second = i64::try_from(number / 2).unwrap();
            let list =
                ListRecord { number: *number, this_update: at(second), next_update: at(second + 1), der };
            said(store.keep_list(issuer(*by), &list))
        }
        Order::KeepChange { issuer: by, epoch } => {
            let item = format!("item {epoch}");
            said(store.keep_change(issuer(*by), *epoch, &item, Digest::of(item.as_bytes())))
        }
        Order::FeedKey { serial: number, issuer: by, key } => {
            let validity = Validity { not_before: at(0), not_after: at(i64::from(*number) * 20) };
            let (serial, issuer, key) = (serial((*number).into()), issuer(*by), Digest::of(&[*key]));
            said(store.add_feed_key(&NewFeedKey { serial, issuer, key, validity, tbs: b"to be signed" }))
        }
        Order::FeedCertificate(number) => {
            said(store.keep_feed_certificate(serial((*number).into()), b"signed"))
        }
        Order::FeedKeysGone(by, second) => said(store.revoke_feed_keys(issuer(*by), at(*second))),
        Order::Key { tenant: whose, prefix: number, role, agents, at: second } => {
            let record = ApiKeyRecord {
                prefix: prefix(*number),
                secret: Digest::of(&[*number]),
                role: Role::ALL[*role],
                tenant: tenant(*whose),
                agents: agents.as_ref().map(|ids| ids.iter().map(|id| agent(*id)).collect()),
                networks: (*second % 3 != 0).then(|| vec!["192.0.2.1/32".to_owned(); usize::from(*number)]),
                label: "label".into(),
                created: at(*second),
                expires: (*second > 20).then(|| at(second + 9)),
                revoked: None,
            };
            said(store.add_key(&record))
        }
        Order::RevokeKey { tenant: whose, prefix: number, at: second } => {
            said(store.revoke_key(&tenant(*whose), &prefix(*number), at(*second)))
        }
        Order::Intent { tenant: whose, subject, text, at: second } => {
            let record = AuditRecord {
                at: at(*second),
                actor: if *subject == 0 { Actor::Local } else { Actor::Key(prefix(*subject)) },
                address: (*subject == 1).then(|| "192.0.2.1".into()),
                tenant: tenant(*whose),
                what: "agent.suspend".into(),
                subject: subject.to_string(),
                before: Some("good".into()),
                after: None,
                text: text.clone(),
                salt: (*second % 3 != 0).then(|| RowSalt::from_random([second.to_be_bytes()[7]; 32])),
            };
            said(store.audit_intent(&record))
        }
        Order::Outcome { id, outcome, at: second } => {
            let outcome = match outcome {
                0 => Outcome::Done,
                1 => Outcome::Refused("code".into()),
                _ => Outcome::Failed(String::new()),
            };
            said(store.audit_outcome(AuditId::from_number(*id), &outcome, at(*second)))
        }
        Order::Begin { tenant: whose, key, request, at: second } => {
            let hash = Digest::of(&[*request]);
            said(store.begin_request(&tenant(*whose), &format!("key {key}"), hash, at(*second)))
        }
        Order::Answer { tenant: whose, key } => {
            let answer = Answer { status: 200, body: vec![*key] };
            said(store.answer_request(&tenant(*whose), &format!("key {key}"), &answer))
        }
        Order::Token { tenant: whose, prefix: number, id, at: second } => {
            let record = TokenRecord {
                prefix: prefix(*number),
                secret: Digest::of(&[*number]),
                tenant: tenant(*whose),
                agent: agent(*id),
                created: at(*second),
                expires: at(second + 20),
                redeemed: None,
            };
            said(store.add_token(&record))
        }
        Order::Redeem { prefix: number, serial: taken, id, key, at: second } => {
            let validity = Validity { not_before: at(0), not_after: at(30) };
            let reservation = Reservation {
                serial: serial((*taken).into()),
                issuer: issuer(id + 1),
                agent: agent(*id),
                key: Digest::of(&[*key]),
                validity,
            };
            said(store.redeem(&prefix(*number), &reservation, at(*second)))
        }
        Order::Freeze { tenant: whose, text, at: second } => {
            said(store.freeze(&freeze(*whose, text, *second)))
        }
        Order::Thaw { tenant: whose, at: second } => said(store.thaw(&freeze(*whose, "", *second))),
        Order::ForgetTokens(second) => said(store.forget_tokens(at(*second))),
        Order::Forget(second) => said(store.forget_requests(at(*second))),
        Order::Receipts { tenant: whose, id, places } => {
            let records: Vec<_> = places.iter().map(|place| receipt(*whose, *id, *place)).collect();
            said(store.keep_receipts(&records))
        }
        Order::Declared(order) => give_about_declared(order, store),
        Order::Shown(order) => give_about_checkpoints(order, store),
        Order::Behaves(order) => give_about_risk(order, store),
        Order::Batch(orders, fails) => {
            let mut answers = Vec::new();
            let done = store.batch(&mut |store| {
                answers = orders.iter().map(|order| give(order, store)).collect();
                if *fails { Err(StoreError::BatchLost) } else { Ok(()) }
            });
            format!("{} {answers:?}", said(done))
        }
        Order::About(order) => give_about_hooks(order, store),
    }
}

/// Everything that a store can be asked.
pub(super) fn all_of(store: &dyn Store) -> String {
    let mut text = String::new();
    let mut line = |what: &str, answer: String| writeln!(text, "{what}: {answer}").unwrap();
    line("tenants", said(store.tenants()));
    line("issuers", said(store.issuers()));
    line("audit chain", said(store.check_audit(None)));
    line("audit head", said(store.audit_head()));
    line("audit rows", said(store.audit_rows(1, 7, 4)));
    for row in [0, 1, 2, 5, u64::MAX] {
        line("audit hash", said(store.audit_hash(row)));
    }
    line("freezes", said(store.freezes()));
    line("has directories", said(store.has_directories()));
    for number in 0..3 {
        let whose = &tenant(number);
        line("since", said(store.tenant_since(whose)));
        line("agents", said(store.agents(whose)));
        line("ends", said(store.ends_of_agents(whose)));
        line("keys", said(store.keys(whose)));
        line("key", said(store.key(&prefix(number))));
        line("token", said(store.token(&prefix(number))));
        line("names", said(store.names(Digest::of(&[number]))));
        for (standing, certified) in [
            (None, None),
            (Some(Standing::Good), None),
            (None, Some(true)),
            (Some(Standing::Held), Some(false)),
        ] {
            let filter = AgentFilter { standing, certified };
            line("count", said(store.count_agents(whose, filter)));
            for (after, offset, limit) in [(None, 0, 9), (None, 1, 1), (Some(agent(1)), 0, 2)] {
                line("page", said(store.agents_page(whose, &AgentPage { filter, after, offset, limit })));
            }
        }
        for filter in filters() {
            line("audit", said(store.audit(whose, &filter, 5)));
        }
        for id in (0..4).map(agent) {
            line("agent", said(store.agent(whose, id)));
            line("events", said(store.events(whose, id)));
            line("directories", said(store.directories(whose, id)));
            line("certificates", said(store.certificates(whose, id)));
            for key in (0..4).map(|key| Digest::of(&[key])) {
                line("of key", said(store.newest_of_key(whose, id, key, 2)));
                line("revoked key", said(store.is_revoked_key(whose, id, key)));
            }
            for filter in receipt_filters() {
                line("receipts", said(store.receipts(whose, id, &filter, 4)));
                line("receipt count", said(store.count_receipts(whose, id, &filter)));
                line("streams", said(store.receipt_streams(whose, id, &filter)));
            }
            for stream in (0..2).map(stream) {
                line("stream", said(store.stream_receipts(whose, id, stream, None, 9)));
                let after = Some((1, Digest::of(b"1")));
                line("rest of stream", said(store.stream_receipts(whose, id, stream, after, 2)));
            }
        }
        line("last receipt", said(store.last_receipt(whose)));
        let came = store.receipts_after(whose, None, None, 9).unwrap();
        for after in came.iter().map(ReceiptPlace::of).map(Some).chain([None, Some(nowhere())]) {
            for agents in [None, Some(&[agent(0), agent(2)][..]), Some(&[])] {
                line("came after", said(store.receipts_after(whose, agents, after.as_ref(), 3)));
            }
        }
        line("hooks", said(store.hooks(whose)));
        for id in (0..3).map(hook) {
            line("hook", said(store.hook(whose, id)));
            line("deliveries", said(store.deliveries(whose, id, None, 9)));
            line("deliveries below", said(store.deliveries(whose, id, Some(3), 1)));
        }
        let name = AgentName::parse(&format!("name-{number}")).unwrap();
        line("named", said(store.agent_named(whose, &name)));
    }
    line("declared", all_about_declared(store));
    line("shown", all_about_checkpoints(store));
    line("risk", all_about_risk(store));
    for whose in (0..3).map(tenant) {
        for who in (0..4).map(agent) {
            line("standings", said(store.standings(&whose, who)));
        }
    }
    for by in (0..4).map(issuer) {
        line("list", said(store.newest_list(by)));
        line("list head", said(store.newest_list_head(by)));
        for second in -1..5 {
            let below = u64::try_from(second + 1).unwrap() * 2;
            line("list before", said(store.list_before(by, below)));
            line("list as of", said(store.list_as_of(by, at(second))));
        }
        line("last end", said(store.last_end(by)));
        line("waiting", said(store.waiting_changes(by)));
        line("position", said(store.feed_position(by)));
        line("since", said(store.changes_since(by, 0, 9)));
        line("since 1", said(store.changes_since(by, 1, 1)));
        for key in 0..4_u8 {
            line("feed key", said(store.feed_key(by, Digest::of(&[key]))));
        }
        let mut listed = Vec::new();
        let done = store.each_listed(by, at(20), &mut |certificate| listed.push(certificate));
        line("listed", format!("{} {listed:?}", said(done)));
    }
    line("backlog", said(store.backlog()));
    for now in [at(10), at(30)] {
        line("hooks due", said(store.hooks_due(now)));
        for id in (0..3).map(hook) {
            line("secrets", said(store.secrets(id, now)));
            line("due", said(store.due(id, now, 2)));
        }
    }
    for (by, number, text) in (0..4).flat_map(|by| (0..9).map(move |number| (by, number, number as u8 % 3))) {
        let record =
            ListRecord { number, this_update: at(0), next_update: at(1), der: list_of(by, number, text) };
        line("list named", said(store.list_named(&record.name().unwrap())));
    }
    for number in 0..8 {
        line("certificate", said(store.certificate(serial(number))));
    }
    text
}

/// What is laid out as a list is: most of its entries are those of the list before it.
pub(super) fn list_of(by: u8, number: u64, text: u8) -> Vec<u8> {
    let entry = |nth: u64| element(0x30, &[by, u8::try_from(nth).unwrap()].repeat(15));
    let gone = u64::from(text);
    let entries: Vec<u8> = (gone..number * 2).flat_map(entry).collect();
    let mut tbs = element(0x02, &number.to_be_bytes());
    tbs.extend(element(0x17, b"261125120000Z"));
    tbs.extend(element(0x30, &entries));
    tbs.extend(element(0xa0, &[by, text]));
    element(0x30, &[element(0x30, &tbs), element(0x03, &[text; 9])].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ ..0x80) => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// The place of no receipt.
fn nowhere() -> ReceiptPlace {
    ReceiptPlace { agent: agent(0), stream: stream(0), sequence: u64::MAX, hash: Digest::of(b"none") }
}

/// The same place at another time is another receipt: a fork.
fn receipt(whose: u8, id: u8, (log, number, second): (u8, u8, i64)) -> ReceiptRecord {
    let kind = ReceiptKind::ALL.into_iter().cycle().nth(usize::from(number)).unwrap_or(ReceiptKind::Open);
    let line = format!("{id} {log} {number} {second}");
    ReceiptRecord {
        tenant: tenant(whose),
        agent: agent(id),
        stream: stream(log),
        sequence: number.into(),
        hash: Digest::of(line.as_bytes()),
        at: second / 2,
        kind,
        action: (kind == ReceiptKind::Allow).then(|| "read:file".into()),
        code: (kind == ReceiptKind::Deny).then(|| "scope.action\0'".into()),
        chain: (number == 2).then(|| ChainId::from_bytes([log; 16])),
        line,
        received: at(second),
    }
}

fn receipt_filters() -> [ReceiptFilter; 5] {
    let all = ReceiptFilter::default();
    [
        all.clone(),
        ReceiptFilter { since: Some(5), before: Some(15), ..all.clone() },
        ReceiptFilter { kind: Some(ReceiptKind::Deny), ..all.clone() },
        ReceiptFilter { action: Some("read:file".into()), ..all.clone() },
        ReceiptFilter { chain: Some(ChainId::from_bytes([1; 16])), ..all },
    ]
}

fn stream(number: u8) -> StreamId {
    StreamId::from_bytes([number; 16])
}

fn freeze(whose: Option<u8>, text: &str, second: i64) -> FreezeRecord {
    let (hand, actor) = match second % 2 {
        0 => (Hand::Operator, Actor::Local),
        _ => (Hand::Tenant, Actor::Key(prefix(1))),
    };
    FreezeRecord {
        extent: whose.map_or(Extent::Everyone, |whose| Extent::Tenant(tenant(whose))),
        hand,
        at: at(second),
        actor,
        text: text.to_owned(),
    }
}

fn filters() -> [AuditFilter; 5] {
    let all = AuditFilter::default();
    [
        all.clone(),
        AuditFilter { since: Some(at(10)), before: Some(at(30)), ..all.clone() },
        AuditFilter { below: Some(AuditId::from_number(4)), subject: Some("1".into()), ..all.clone() },
        AuditFilter { kind: Some(ActorKind::ApiKey), ..all.clone() },
        AuditFilter { actor: Some(Actor::Local), what: Some("agent.suspend".into()), ..all },
    ]
}

/// An answer as text. What a database says in its own words is no answer.
pub(super) fn said<T: Debug>(answer: Result<T, StoreError>) -> String {
    let own_words = matches!(answer, Err(StoreError::Database(_) | StoreError::Damaged { .. }));
    assert!(!own_words, "{answer:?}");
    format!("{answer:?}")
}

pub(super) fn tenant(number: u8) -> TenantId {
    match number {
        0 => TenantId::default(),
        other => TenantId::parse(&format!("tenant-{other}")).unwrap(),
    }
}

fn issuer(number: u8) -> IssuerId {
    (0..number).fold(IssuerId::ROOT, |id, _| id.next())
}

pub(super) fn agent(number: u8) -> AgentId {
    AgentId::from_random([number; 16])
}

fn prefix(number: u8) -> KeyPrefix {
    KeyPrefix::from_random([number; 8])
}

pub(super) fn hook(number: u8) -> HookId {
    HookId::from_bytes([number; 16])
}
