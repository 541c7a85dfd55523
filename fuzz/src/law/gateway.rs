//! Requests at a gateway: heads in which proxies and agents say who calls, and bodies in JSON.

use std::sync::{Arc, OnceLock};

use kakunin_core::guard::{Clock, Guard, GuardOptions, ManualClock, MemorySource, StateChoice};
use kakunin_core::home::Papers;
use kakunin_core::scope::NameLists;
use kakunin_gateway::json::{Said, strict};
use kakunin_gateway::{Gateway, GatewayOptions, Head, Peer, ProofOfPossession, ProxyField};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::authority::{agent_id, now, seeded_key};
use crate::world::world;

use super::possession::Message;

/// Whoever is identified is the world's agent, by a chain that was sent; whoever is not is told so in one line of each field.
/// The octet in front says who is at the other end: a proxy that counts, which writes one of the two fields, or anybody.
pub(super) fn head(input: &[u8]) {
    let Some((peer, input)) = input.split_first() else { return };
    let (text, body) = match input.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (input, &[][..]),
    };
    let text = String::from_utf8_lossy(text);
    let Some(message) = Message::read(&text) else { return };
    let fields: Vec<(&str, &[u8])> =
        message.fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let target = message.target;
    let field = if peer & 2 == 0 { ProxyField::ClientCert } else { ProxyField::XForwardedClientCert };
    let peer = if peer & 1 == 0 { Peer::Proxy } else { Peer::None };
    let head = Head::new(target.method, target.path)
        .authority(Some(target.authority))
        .query(target.query)
        .fields(&fields)
        .peer(peer);
    match gateway(field).identify(&head, body) {
        Ok(caller) => {
            assert_eq!(caller.agent(), agent_id());
            match caller.possession() {
                ProofOfPossession::Signature => assert!(head_has(&fields, "signature")),
                ProofOfPossession::Proxy => {
                    assert!(matches!(peer, Peer::Proxy), "a proxy that nobody named");
                    let written = match field {
                        ProxyField::ClientCert => "client-cert",
                        _ => "x-forwarded-client-cert",
                    };
                    assert!(head_has(&fields, written), "a field that is not the proxy's");
                }
                other => panic!("{other:?} of a request that has none"),
            }
        }
        Err(refused) => {
            assert!(matches!(refused.status(), 401 | 403 | 413 | 503), "{refused}");
            // A panic is answered too, and is one nevertheless.
            assert_ne!(refused.code(), "internal", "{:?}", refused.cause());
            let problem: Value = serde_json::from_str(refused.problem()).unwrap();
            assert_eq!(problem["code"], refused.code());
            for (name, value) in refused.fields() {
                assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{name}: {value}");
            }
        }
    }
}

/// What is read strictly is what everybody reads; what somebody reads, written anew, is read strictly.
pub(super) fn body(input: &[u8]) {
    let loose = serde_json::from_slice::<Value>(input);
    if let Ok(value) = strict(input) {
        assert_eq!(loose.ok(), Some(value));
    } else if let Ok(value) = loose {
        let written = serde_json::to_vec(&value).unwrap();
        assert_eq!(strict(&written).unwrap(), value);
        assert_ne!(written.len(), input.len(), "refused, and nothing of it stands twice");
    }
}

/// Fields of a request, one a line. Where they say plainly that the body is JSON, another reader of media types says so too and
/// nothing is encoded; where any field has another reader see JSON in it, it is not taken for something else.
pub(super) fn content(input: &[u8]) {
    let lines = input.split(|octet| *octet == b'\n');
    let fields: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let at = line.iter().position(|octet| *octet == b':')?;
            Some((std::str::from_utf8(&line[..at]).ok()?, line[at + 1..].trim_ascii()))
        })
        .collect();
    let of = |name: &str| {
        let named = fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let read = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<mime::Mime>().ok();
    let is_json = |kind: &mime::Mime| {
        kind.type_() == mime::APPLICATION
            && (kind.subtype() == mime::JSON || kind.suffix() == Some(mime::JSON))
    };
    let types = of("content-type");
    match Said::of(fields.iter().copied()) {
        Said::Json => {
            assert_eq!(types.len(), 1);
            let kind = read(types[0]).unwrap();
            assert!(is_json(&kind), "{kind}");
            assert!(
                kind.get_param(mime::CHARSET).is_none_or(|charset| charset == "utf-8" || charset == "utf8")
            );
            let plain = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
            assert!(of("content-encoding").into_iter().all(plain));
        }
        Said::Other => assert!(!types.iter().filter_map(|value| read(value)).any(|kind| is_json(&kind))),
        Said::Doubtful => assert!(!types.is_empty()),
    }
}

fn head_has(fields: &[(&str, &[u8])], name: &str) -> bool {
    fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
}

fn gateway(field: ProxyField) -> &'static Gateway {
    static STANDARD: OnceLock<Gateway> = OnceLock::new();
    static ENVOY: OnceLock<Gateway> = OnceLock::new();
    let gateway = if field == ProxyField::ClientCert { &STANDARD } else { &ENVOY };
    gateway.get_or_init(|| {
        let world = world();
        let papers = Papers {
            agent: world.shop.clone(),
            chain: vec![world.authority.issuing.clone()],
            roots: vec![world.authority.root.clone()],
            issuer: None,
            names: NameLists::default(),
        };
        let pem = |der: &Vec<u8>| der::pem::encode_string("X509 CRL", der::pem::LineEnding::LF, der).unwrap();
        let lists: String = world.authority.lists().iter().map(pem).collect();
        let key = Zeroizing::new(seeded_key(4).serialize_der());
        let source = Arc::new(MemorySource::new(papers, lists.into_bytes(), key));
        // Proofs are taken when a gateway was open for longer than a clock may be ahead.
        let clock = Arc::new(ManualClock::new(now().plus(-11).to_millis()));
        let options = GuardOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            state: StateChoice::Memory,
            ..GuardOptions::default()
        };
        let guard = Guard::in_memory(source, options).unwrap();
        let options = GatewayOptions {
            proxies: vec!["127.0.0.1".parse().unwrap()],
            proxy_field: Some(field),
            ..GatewayOptions::named(["shop.example.com"])
        };
        let gateway = Gateway::open(guard, options).unwrap();
        clock.advance(11_000);
        gateway
    })
}
