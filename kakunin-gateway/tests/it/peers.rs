//! What proves something besides a signature: nothing, unless the deployer said so.

use std::fs;

use base64ct::{Base64, Encoding as _};
use kakunin_authority::standing::Order;
use kakunin_core::scope::{DraftScope, NameList, NameSet};
use kakunin_gateway::{Gateway, GatewayOptions, Head, OpenError, Peer, ProofOfPossession, ProxyField};

use crate::world::{Agent, BODY, RAN, SCOPE, SHOP, Sent, World, buy, plain};

const MISSING: (u16, &str) = (401, "possession.missing");
const MALFORMED: (u16, &str) = (401, "possession.malformed");

fn sequence(der: &[u8]) -> String {
    format!(":{}:", Base64::encode_string(der))
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", Base64::encode_string(der))
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// As a proxy passes on the certificate of an agent (RFC 9440).
pub(crate) fn forwarded(agent: &Agent, sent: Sent) -> Sent {
    let chain = agent.chain();
    let (leaf, others) = chain.split_first().unwrap();
    let others: Vec<String> = others.iter().map(|der| sequence(der)).collect();
    sent.with("client-cert", sequence(leaf).as_bytes())
        .with("client-cert-chain", others.join(", ").as_bytes())
}

/// As Envoy passes it on.
fn enveloped(agent: &Agent, sent: Sent) -> Sent {
    let chain: String = agent.chain().iter().map(|der| pem(der)).collect();
    let value = format!("Hash=00ff;Subject=\"CN=a;b,\\\"c\\\"\";Chain=\"{}\"", escaped(&chain));
    sent.with("x-forwarded-client-cert", value.as_bytes())
}

fn order() -> Sent {
    plain("POST", "/orders", BODY)
}

fn by_proxy(sent: Sent) -> Sent {
    Sent { peer: Peer::Proxy, ..sent }
}

/// A gateway whose proxies write this field.
fn behind(world: &World, name: &str) -> Gateway {
    let proxy_field = Some(name.parse().unwrap());
    world.gateway_with(GatewayOptions { proxy_field, ..GatewayOptions::named([SHOP]) })
}

/// A proxy that writes one field, and lets the others of a client pass.
#[test]
fn where_the_field_of_the_proxies_is_named_no_other_is_looked_at() {
    let world = World::new();
    let (agent, other) = (world.agent(SCOPE), world.agent(SCOPE));
    let both = |ours: &Agent, theirs: &Agent| by_proxy(forwarded(theirs, enveloped(ours, order())));
    let (envoy, standard) = (behind(&world, "x-forwarded-client-cert"), behind(&world, "client-cert"));
    assert_eq!(both(&agent, &other).to(&envoy).unwrap().agent(), agent.id);
    assert_eq!(both(&agent, &other).to(&standard).unwrap().agent(), other.id);
    assert_eq!(by_proxy(forwarded(&agent, order())).answer(&envoy), MISSING);
    assert_eq!(by_proxy(enveloped(&agent, order())).answer(&standard), MISSING);
    let alone = by_proxy(order().with("client-cert-chain", b"nonsense"));
    assert_eq!(alone.answer(&envoy), MISSING);
    for wrong in ["", "Client-Cert", "x-client-cert", "client-cert-chain"] {
        let error = wrong.parse::<ProxyField>().unwrap_err();
        assert!(error.to_string().contains("x-forwarded-client-cert"), "{wrong}");
    }
}

/// Without the field a client could write the one that its proxy does not: certificates are public.
#[test]
fn proxies_without_their_field_open_no_gateway_and_are_believed_nothing() {
    let world = World::new();
    let agent = world.agent(SCOPE);
    let proxies: Vec<_> = vec!["10.0.0.0/8".parse().unwrap()];
    let open = |proxy_field| {
        let options =
            GatewayOptions { proxies: proxies.clone(), proxy_field, ..GatewayOptions::named([SHOP]) };
        Gateway::open(world.gateway().guard().clone(), options)
    };
    let error = open(None).unwrap_err();
    assert!(matches!(error, OpenError::NoProxyField), "{error}");
    for name in ["proxy_field", "`client-cert`", "`x-forwarded-client-cert`"] {
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(open(Some(ProxyField::ClientCert)).is_ok());
    // Whoever says himself that a proxy is at the other end has not said what it writes.
    for sent in [forwarded(&agent, order()), enveloped(&agent, order())] {
        assert_eq!(by_proxy(sent).answer(&world.gateway()), MISSING);
    }
}

#[test]
fn what_a_client_says_of_its_certificate_counts_for_nothing() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let serial = agent.guard.snapshot().unwrap().agent().path().agent().decoded().serial().to_string();
    for sent in [
        forwarded(&agent, order()),
        enveloped(&agent, order()),
        order().with("x-kakunin-cert-serial", serial.as_bytes()),
        order().with("kakunin-certificate-chain-x", sequence(&agent.papers.agent).as_bytes()),
    ] {
        assert_eq!(sent.answer(&gateway), MISSING);
    }
    // Beside a signature of somebody else it changes nothing.
    let other = world.agent(SCOPE);
    let caller = forwarded(&agent, other.order()).to(&gateway).unwrap();
    assert_eq!((caller.agent(), caller.possession()), (other.id, ProofOfPossession::Signature));
}

#[test]
fn a_named_proxy_passes_on_who_is_at_the_other_end() {
    let world = World::new();
    let (gateway, agent) = (behind(&world, "client-cert"), world.agent(SCOPE));
    let envoy = behind(&world, "x-forwarded-client-cert");
    for (sent, gateway) in [(forwarded(&agent, order()), &gateway), (enveloped(&agent, order()), &envoy)] {
        let caller = by_proxy(sent).to(gateway).unwrap();
        assert_eq!((caller.agent(), caller.possession()), (agent.id, ProofOfPossession::Proxy));
        let denied = caller.admit(&buy("100.01")).unwrap_err();
        assert_eq!(denied.code(), "scope.amount");
    }
    assert_eq!(by_proxy(order()).answer(&gateway), MISSING);
    let elsewhere = by_proxy(forwarded(&agent, order())).but("host", b"other.example.com");
    assert_eq!(elsewhere.answer(&gateway), (401, "possession.authority"));
    world.order(&agent, Order::Revoke);
    assert_eq!(by_proxy(forwarded(&agent, order())).answer(&gateway), (403, "certificate.revoked"));
}

#[test]
fn what_a_proxy_sends_in_another_form_is_refused() {
    let world = World::new();
    let (gateway, agent) = (behind(&world, "client-cert"), world.agent(SCOPE));
    let leaf = sequence(&agent.papers.agent);
    let chain: String = agent.chain().iter().map(|der| pem(der)).collect();
    let chain = escaped(&chain);
    let twice = format!("{leaf}, {leaf}");
    for (name, value) in [
        ("client-cert", twice.as_str()),
        ("client-cert", leaf.trim_matches(':')),
        ("client-cert", ""),
        ("client-cert", ":AA=:"),
        ("x-forwarded-client-cert", &format!("Chain=\"{chain}\",By=x")),
        ("x-forwarded-client-cert", &format!("Chain=\"{chain}\";Chain=\"{chain}\"")),
        ("x-forwarded-client-cert", "Hash=00ff;URI=spiffe://x"),
        ("x-forwarded-client-cert", "Cert=\"%2\""),
        ("x-forwarded-client-cert", "Cert=\"x"),
        ("x-forwarded-client-cert", "Cert=\"x\"y"),
        ("x-forwarded-client-cert", ""),
    ] {
        let sent = by_proxy(order().with(name, value.as_bytes()));
        assert_eq!(sent.answer(&behind(&world, name)), MALFORMED, "{name}: {value}");
    }
    let two = forwarded(&agent, forwarded(&agent, order()));
    assert_eq!(by_proxy(two).answer(&gateway), MALFORMED, "whose is the second one?");
    let stranger = World::new().agent(SCOPE);
    let sent = by_proxy(forwarded(&stranger, order()));
    assert_eq!(sent.answer(&gateway), (401, "certificate.untrusted"));
    let garbage = by_proxy(order().with("client-cert", b":AAAA:"));
    assert_eq!(garbage.answer(&gateway), (401, "certificate.malformed"));
}

#[test]
fn the_certificate_of_a_connection_counts_where_the_deployer_says_so() {
    let world = World::new();
    let agent = world.agent(SCOPE);
    let chain = agent.chain();
    let links: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let tls = GatewayOptions { tls: true, ..GatewayOptions::named([SHOP]) };
    let (without, with) = (world.gateway(), world.gateway_with(tls));
    let fields: [(&str, &[u8]); 1] = [("host", SHOP.as_bytes())];
    let head = Head::new("POST", "/orders").fields(&fields).peer(Peer::Tls { chain: &links });
    assert_eq!(without.identify(&head, BODY).unwrap_err().code(), "possession.missing");
    let caller = with.identify(&head, BODY).unwrap();
    assert_eq!((caller.agent(), caller.possession()), (agent.id, ProofOfPossession::Tls));
    caller.admit(&buy("1.00")).unwrap().begin().unwrap().returned();
    let none = head.peer(Peer::Tls { chain: &[] });
    assert_eq!(with.identify(&none, BODY).unwrap_err().code(), "possession.missing");
}

#[test]
fn a_serial_number_counts_where_the_deployer_says_so_and_proves_nothing() {
    let world = World::new();
    let (agent, other) = (world.agent(SCOPE), world.agent(SCOPE));
    let folder = tempfile::tempdir().unwrap();
    let serial =
        |agent: &Agent| agent.guard.snapshot().unwrap().agent().path().agent().decoded().serial().to_string();
    let put = |name: &str, agent: &Agent| {
        let chain: String = agent.chain().iter().map(|der| pem(der)).collect();
        fs::write(folder.path().join(format!("{name}.pem")), chain).unwrap();
    };
    put(&serial(&agent), &agent);
    let serials = Some(folder.path().to_owned());
    let gateway = world.gateway_with(GatewayOptions { serials, ..GatewayOptions::named([SHOP]) });
    let named = |text: &str| order().with("x-kakunin-cert-serial", text.as_bytes());
    let caller = named(&serial(&agent)).to(&gateway).unwrap();
    assert_eq!((caller.agent(), caller.possession()), (agent.id, ProofOfPossession::None));
    assert_eq!(named(&serial(&agent)).answer_to(&gateway, &buy("100.01")), (403, "scope.amount"));
    assert_eq!(named(&serial(&agent)).answer(&gateway), RAN);
    assert_eq!(named(&serial(&other)).answer(&gateway), MISSING, "nobody filed it");
    put(&serial(&other), &agent);
    assert_eq!(named(&serial(&other)).answer(&gateway), MISSING, "filed under another's number");
    for wrong in ["", "..", "../x", "zz", "/etc/passwd", &"0".repeat(999)] {
        assert_eq!(named(wrong).answer(&gateway), MALFORMED, "{wrong}");
    }
    // Whoever signs is judged by the signature, and a signature that fails is no reason to look at the number.
    let mut forged = agent.order().with("x-kakunin-cert-serial", serial(&agent).as_bytes());
    forged.body.push(b' ');
    assert_eq!(forged.answer(&gateway), (401, "possession.content"));
    world.order(&agent, Order::Revoke);
    assert_eq!(named(&serial(&agent)).answer(&gateway), (403, "certificate.revoked"));
}

#[test]
fn a_detached_list_is_found_in_the_folder_or_its_action_is_denied() {
    let world = World::new();
    let names: Vec<String> = (0..40).map(|number| format!("party-{number:02}")).collect();
    let text = names.join("\n") + "\n";
    let NameSet::Detached { root, .. } = NameList::parse(&text).unwrap().to_set() else { panic!("40 names") };
    let scope = "actions = [\"orders:create\"]\n[[counterparties]]\nfor = [\"orders:create\"]\nallow_file = \"parties.txt\"\n";
    let draft = DraftScope::parse(scope, &|_| Ok(text.clone())).unwrap();
    let enrolled = world.authority.certify("buyer", &draft, world.now(), 7).unwrap();
    let agent = world.agent_of(enrolled);
    let folder = tempfile::tempdir().unwrap();
    let lists = Some(folder.path().to_owned());
    let gateway = world.gateway_with(GatewayOptions { lists, ..GatewayOptions::named([SHOP]) });
    let request = |name| kakunin_core::request::ActionRequest::new("orders:create").counterparty(name);
    let missing = (403, "scope.names_missing");
    assert_eq!(agent.order().answer_to(&gateway, &request("party-07")), missing);
    let file = folder.path().join(format!("{root}.txt"));
    fs::write(&file, text.replace("party-39", "party-99")).unwrap();
    assert_eq!(agent.order().answer_to(&gateway, &request("party-99")), missing, "another list");
    fs::write(&file, &text).unwrap();
    assert_eq!(agent.order().answer_to(&gateway, &request("party-07")), RAN);
    assert_eq!(agent.order().answer_to(&gateway, &request("party-99")), (403, "scope.counterparty"));
}
