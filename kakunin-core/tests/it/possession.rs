//! Proof of possession (RFC 9421): what one agent signs for one request proves nothing for any other.

use std::sync::Arc;

use kakunin_core::certificate::{AgentPath, TrustAnchors};
use kakunin_core::chain::ChainLink;
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, ChainId};
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::possession::{
    Nonces, Possession, PossessionError, Presented, ProveError, Prover, SignedRequest, Target,
};
use kakunin_core::receipt::ReceiptHash;
use kakunin_core::time::UnixTime;
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ED25519};

use crate::house::{House, key, now};

const TARGET: Target<'_> = Target {
    method: "POST",
    authority: "api.example.com",
    path: "/v1/agents/a%20b/renew",
    query: Some("x=1&y=%2F"),
};
const BODY: &[u8] = br#"{"a":1}"#;
const NAMES: [&str; 2] = ["other.example.com", "api.example.com"];

type Fields = Vec<(String, Vec<u8>)>;

fn house() -> House {
    House::build(AgentId::from_random([7; 16]))
}

fn signer(house: &House) -> Arc<Signer> {
    Arc::new(Signer::soft(SoftKey::from_pkcs8(&house.agent_key).unwrap()))
}

fn prover(house: &House) -> Prover {
    Prover::new(signer(house), &house.agent, &[&house.issuing]).unwrap()
}

fn fields(house: &House, target: &Target<'_>, created: UnixTime, nonce: [u8; 16]) -> Fields {
    let proof = prover(house).prove(target, BODY, None, created, nonce).unwrap();
    proof.fields().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect()
}

fn presented(fields: &Fields) -> Result<Option<Presented>, PossessionError> {
    Presented::find(fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
}

fn judge(
    fields: &Fields,
    target: &Target<'_>,
    body: &[u8],
    anchors: &TrustAnchors,
    at: UnixTime,
) -> Result<SignedRequest, PossessionError> {
    let presented = presented(fields)?.ok_or(PossessionError::Field { field: "none" })?;
    presented.verify(target, &NAMES, anchors, at)?.covers(body)
}

fn code(result: Result<SignedRequest, PossessionError>) -> &'static str {
    result.err().map_or("proven", |error| error.code())
}

/// The value of a field, changed.
fn with(fields: &Fields, name: &str, change: impl Fn(&str) -> String) -> Fields {
    let mut fields = fields.clone();
    for (field, value) in &mut fields {
        if field == name {
            *value = change(std::str::from_utf8(value).unwrap()).into_bytes();
        }
    }
    fields
}

#[test]
fn a_request_is_proven_by_either_kind_of_key() {
    let agent = AgentId::from_random([7; 16]);
    let ed25519 = |_| KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let [other] = House::tenants([agent], "billing", "test root", ed25519);
    for house in [house(), other] {
        let sent = fields(&house, &TARGET, now(), [1; 16]);
        let request = judge(&sent, &TARGET, BODY, &house.anchors(), now()).unwrap();
        let proven = Nonces::new(now().plus(-60), 9).admit(request, None, now()).unwrap();
        assert_eq!(proven.agent(), agent);
        assert_eq!(proven.path().agent().decoded().der(), house.agent);
        // The names of fields have no case, the default port may be said, and so may the algorithm, in any place.
        let shouted = sent.iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect();
        let said = Target { authority: "API.example.com:443", ..TARGET };
        assert_eq!(code(judge(&shouted, &said, BODY, &house.anchors(), now())), "proven");
    }
}

#[test]
fn a_proof_is_for_one_request_at_one_place() {
    let house = house();
    let sent = fields(&house, &TARGET, now(), [1; 16]);
    for (why, target, expected) in [
        ("as sent", TARGET, "proven"),
        ("method", Target { method: "GET", ..TARGET }, "possession.signature"),
        ("path", Target { path: "/v1/agents/a%20c/renew", ..TARGET }, "possession.signature"),
        (
            "path in another spelling",
            Target { path: "/v1/agents/%61%20b/renew", ..TARGET },
            "possession.signature",
        ),
        ("query", Target { query: Some("x=1&y=/"), ..TARGET }, "possession.signature"),
        ("no query", Target { query: None, ..TARGET }, "possession.signature"),
        ("another of our names", Target { authority: "other.example.com", ..TARGET }, "possession.signature"),
        ("somebody else", Target { authority: "evil.example.com", ..TARGET }, "possession.authority"),
        (
            "a name that begins like ours",
            Target { authority: "api.example.com.evil", ..TARGET },
            "possession.authority",
        ),
        ("another port", Target { authority: "api.example.com:8443", ..TARGET }, "possession.authority"),
        ("a line more", Target { path: "/\n\"@query\": ?", ..TARGET }, "possession.malformed"),
    ] {
        assert_eq!(code(judge(&sent, &target, BODY, &house.anchors(), now())), expected, "{why}");
    }
    for body in [&b""[..], b"{\"a\":2}", b"{\"a\":1} "] {
        assert_eq!(code(judge(&sent, &TARGET, body, &house.anchors(), now())), "possession.content");
    }
    // A digest that fits another body is not the one that was signed.
    let other = fields(&house, &TARGET, now(), [2; 16]);
    let fits = prover(&house).prove(&TARGET, b"other", None, now(), [1; 16]).unwrap();
    let digest = fits.fields().next().unwrap().1.to_owned();
    let mixed = with(&other, "content-digest", |_| digest.clone());
    assert_eq!(code(judge(&mixed, &TARGET, b"other", &house.anchors(), now())), "possession.signature");
}

#[test]
fn a_proof_is_good_for_a_minute() {
    let house = house();
    for (seconds, expected) in [
        (0, "proven"),
        (-60, "proven"),
        (-61, "possession.created"),
        (-600, "possession.created"),
        (10, "proven"),
        (11, "possession.created"),
    ] {
        let sent = fields(&house, &TARGET, now().plus(seconds), [1; 16]);
        assert_eq!(code(judge(&sent, &TARGET, BODY, &house.anchors(), now())), expected, "{seconds} s");
    }
}

#[test]
fn a_certificate_that_is_not_the_signers_or_not_ours_proves_nothing() {
    let house = house();
    let agent = AgentId::from_random([7; 16]);
    let [ours, neighbour] = House::tenants([agent, agent], "billing", "test root", |_| key());
    let pinned = |house: &House| {
        house.anchors().pin_issuer(house.verified().path().issuing().decoded().key().key_id())
    };
    let sent = fields(&ours, &TARGET, now(), [1; 16]);
    assert_eq!(code(judge(&sent, &TARGET, BODY, &pinned(&ours), now())), "proven");
    // The same agent under another issuing authority of the same root, and a stranger's root.
    assert_eq!(code(judge(&sent, &TARGET, BODY, &pinned(&neighbour), now())), "certificate.untrusted");
    assert_eq!(code(judge(&sent, &TARGET, BODY, &house.anchors(), now())), "certificate.untrusted");

    let sent = fields(&house, &TARGET, now(), [1; 16]);
    let base64 = |der: &[u8]| {
        let other = Prover::new(signer(&house), &house.agent, &[der]).unwrap();
        let proof = other.prove(&TARGET, BODY, None, now(), [1; 16]).unwrap();
        let (_, chain) = proof.fields().nth(1).unwrap();
        chain.split(", ").nth(1).unwrap().to_owned()
    };
    // The key's other certificates: `keyid` names one of them, and that one is signed.
    let other = format!("{}, {}", base64(&house.earlier), base64(&house.issuing));
    let swapped = with(&sent, "kakunin-certificate-chain", |_| other.clone());
    assert_eq!(code(judge(&swapped, &TARGET, BODY, &house.anchors(), now())), "possession.key");
    let alone =
        with(&sent, "kakunin-certificate-chain", |chain| chain.split(", ").next().unwrap().to_owned());
    assert_eq!(code(judge(&alone, &TARGET, BODY, &house.anchors(), now())), "certificate.untrusted");
    // Not an agent's at all.
    let authority = with(&sent, "kakunin-certificate-chain", |_| base64(&house.issuing));
    assert_eq!(code(judge(&authority, &TARGET, BODY, &house.anchors(), now())), "possession.key");
    let many = with(&sent, "kakunin-certificate-chain", |chain| [chain; 3].join(", "));
    assert_eq!(code(judge(&many, &TARGET, BODY, &house.anchors(), now())), "possession.malformed");

    let ended = UnixTime::parse_rfc3339("2026-12-01T00:00:01Z").unwrap();
    let late = fields(&house, &TARGET, ended, [1; 16]);
    assert_eq!(code(judge(&late, &TARGET, BODY, &house.anchors(), ended)), "certificate.expired");
    let early = UnixTime::parse_rfc3339("2026-10-31T23:57:59Z").unwrap();
    let sent = fields(&house, &TARGET, early, [1; 16]);
    assert_eq!(code(judge(&sent, &TARGET, BODY, &house.anchors(), early)), "certificate.not_yet_valid");

    // Nor does the agent's side take a key for another's certificate.
    let stranger = self::house();
    let mixed = Prover::new(signer(&stranger), &house.agent, &[&house.issuing]);
    assert!(matches!(mixed, Err(ProveError::OtherKey)));
    let authority = Prover::new(signer(&house), &house.issuing, &[]);
    assert!(matches!(authority, Err(ProveError::Certificate(_))));
    let line = prover(&house).prove(&Target { query: Some("a b"), ..TARGET }, BODY, None, now(), [1; 16]);
    assert!(matches!(line, Err(ProveError::Target)));
}

#[test]
fn fields_have_one_form() {
    let house = house();
    let sent = fields(&house, &TARGET, now(), [1; 16]);
    let replace = |name: &str, from: &str, to: &str| {
        let changed = with(&sent, name, |value| value.replacen(from, to, 1));
        assert_ne!(changed, sent, "{name}: {from}");
        changed
    };
    let input = |from, to| replace("signature-input", from, to);
    let malformed = "possession.malformed";
    for (fields, expected) in [
        (input("kakunin=", "other="), malformed),
        (input("kakunin=", " kakunin ="), malformed),
        (input("\"@method\" ", ""), "possession.components"),
        (input("\"@query\" ", ""), "possession.components"),
        (input("\"content-digest\" ", ""), "possession.components"),
        (input(" \"kakunin-certificate-chain\"", ""), "possession.components"),
        (input("\"@method\" \"@authority\"", "\"@authority\" \"@method\""), "possession.components"),
        (input("\"@method\" ", "\"@method\" \"date\" "), "possession.components"),
        (input("\"@method\" ", "\"@method\";req "), "possession.components"),
        (input("\"@path\" ", "\"@path\"  "), "possession.components"),
        (input(";created", "; created"), malformed),
        (input(";created=", ";created=0"), malformed),
        (input(";created=", ";created=+"), malformed),
        (input(";created=", ";created=-"), malformed),
        (input(";created=", ";created=1000000"), malformed),
        (input(";tag=\"kakunin\"", ""), malformed),
        (input("tag=\"kakunin\"", "tag=\"other\""), malformed),
        (input("tag=\"kakunin\"", "tag=kakunin"), malformed),
        (input(";tag", ";expires=99999999999;tag"), malformed),
        (input(";tag", ";tag=\"kakunin\";tag"), malformed),
        (input(";tag", ";created=1;tag"), malformed),
        (input(";tag", ";;tag"), malformed),
        (input("nonce=\"01", "nonce=\"0"), malformed),
        (input("nonce=\"01", "nonce=\"0A"), malformed),
        (input("nonce=\"", "nonce=\"\\"), malformed),
        (input(";tag", ";alg=\"ed25519\";tag"), "possession.algorithm"),
        (input(";tag", ";alg=\"rsa-v1_5-sha256\";tag"), "possession.algorithm"),
        (input(";tag", ";alg=\"hmac-sha256\";tag"), "possession.algorithm"),
        (input(";tag", ";alg=\"ecdsa-p256-sha256\";tag"), "possession.signature"),
        (with(&sent, "signature-input", |value| format!("{value}, a=();created=1")), malformed),
        (replace("signature", "kakunin=:", "kakunin=:AAAA"), malformed),
        (replace("signature", "=:", "="), malformed),
        (with(&sent, "signature", |value| format!("{value}, {value}")), malformed),
        (replace("content-digest", "sha-256", "sha-512"), malformed),
        (replace("content-digest", "sha-256", "sha"), malformed),
        (with(&sent, "content-digest", |value| format!("{value}, md5=:AAAA:")), malformed),
        (replace("kakunin-certificate-chain", ", ", ","), malformed),
        (replace("kakunin-certificate-chain", ":", ""), malformed),
        (with(&sent, "kakunin-certificate-chain", |_| "x".repeat(48 * 1024 + 1)), malformed),
        (with(&sent, "kakunin-certificate-chain", |_| "\u{7f}".into()), malformed),
    ] {
        let said = String::from_utf8_lossy(&fields[2].1).into_owned();
        assert_eq!(code(judge(&fields, &TARGET, BODY, &house.anchors(), now())), expected, "{said}");
    }
    for (at, (name, value)) in sent.iter().enumerate() {
        let mut twice = sent.clone();
        twice.push((name.to_uppercase(), value.clone()));
        assert_eq!(presented(&twice).unwrap_err().code(), malformed, "{name} twice");
        let mut fewer = sent.clone();
        fewer.remove(at);
        assert_eq!(presented(&fewer).unwrap_err().code(), malformed, "no {name}");
        let bytes = sent
            .iter()
            .map(|(field, value)| (field.clone(), if field == name { vec![0xff] } else { value.clone() }));
        assert_eq!(presented(&bytes.collect()).unwrap_err().code(), malformed, "{name}");
    }
    // Without any of them there is no proof, and a digest alone is somebody else's.
    assert!(presented(&Vec::new()).unwrap().is_none());
    assert!(presented(&vec![sent[0].clone()]).unwrap().is_none());
}

fn link() -> ChainLink {
    ChainLink::new(ChainId::from_bytes([0xc4; 16]), ReceiptHash::of(b"what it follows from"))
}

fn linked(house: &House) -> Fields {
    let proof = prover(house).prove(&TARGET, BODY, Some(&link()), now(), [1; 16]).unwrap();
    proof.fields().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect()
}

#[test]
fn a_link_is_proven_with_the_request_that_follows_from_it() {
    let house = house();
    let head = |fields: &Fields| {
        let presented = presented(fields).unwrap().unwrap();
        presented.verify(&TARGET, &NAMES, &house.anchors(), now())
    };
    let sent = linked(&house);
    assert_eq!(sent.len(), 5);
    let signed = head(&sent).unwrap();
    assert_eq!(signed.link(), Some(&link()));
    let request = signed.covers(BODY).unwrap();
    assert_eq!(request.link(), Some(&link()));
    let proven = Nonces::new(now().plus(-60), 9).admit(request, None, now()).unwrap();
    assert_eq!(proven.link(), Some(&link()));
    // Who follows from nothing says nothing.
    assert_eq!(head(&fields(&house, &TARGET, now(), [1; 16])).unwrap().link(), None);
    // A link without any proof is a caller's word, for whoever asks for no more.
    assert!(presented(&vec![sent[4].clone()]).unwrap().is_none());
}

#[test]
fn a_link_beside_a_proof_is_covered_by_it() {
    let house = house();
    let bare = fields(&house, &TARGET, now(), [1; 16]);
    let judge = |fields: &Fields| code(judge(fields, &TARGET, BODY, &house.anchors(), now()));
    let value = link().to_header().into_bytes();
    let beside = |value: &[u8]| [bare.clone(), vec![("Kakunin-Chain".into(), value.to_vec())]].concat();
    // Put there by whoever passes the request on.
    assert_eq!(judge(&beside(&value)), "possession.components");
    assert_eq!(judge(&beside(b"nonsense")), "possession.components");
    // Taken away, exchanged, spelt in another way, twice.
    let sent = linked(&house);
    assert_eq!(judge(&sent), "proven");
    assert_eq!(judge(&sent[..4].to_vec()), "possession.components");
    let other = ChainLink::new(ChainId::from_bytes([0xc5; 16]), link().from()).to_header();
    assert_eq!(judge(&with(&sent, "kakunin-chain", |_| other.clone())), "possession.signature");
    assert_eq!(judge(&with(&sent, "kakunin-chain", str::to_uppercase)), "possession.malformed");
    assert_eq!(
        judge(&with(&sent, "kakunin-chain", |link| format!("{link}, {link}"))),
        "possession.malformed"
    );
    for more in [value.as_slice(), b"", b"\xff"] {
        let twice = [sent.clone(), vec![("kakunin-chain".into(), more.to_vec())]].concat();
        assert_eq!(judge(&twice), "possession.malformed");
    }
    // Said to be covered where it is not, or in another place.
    let six = with(&sent, "signature-input", |input| input.replace(" \"kakunin-chain\"", ""));
    assert_eq!(judge(&six), "possession.components");
    let seven = bare.clone();
    let seven = with(&seven, "signature-input", |input| input.replacen(")", " \"kakunin-chain\")", 1));
    assert_eq!(judge(&seven), "possession.components");
    let first = with(&sent, "signature-input", |input| {
        input.replace(" \"kakunin-chain\"", "").replacen("(", "(\"kakunin-chain\" ", 1)
    });
    assert_eq!(judge(&first), "possession.components");
}

#[test]
fn a_path_that_is_remembered_is_the_certificates_own() {
    let house = house();
    let verify = |path: Result<AgentPath, PossessionError>| {
        let presented = presented(&fields(&house, &TARGET, now(), [1; 16])).unwrap().unwrap();
        let head = presented.verify_by(&TARGET, &NAMES, now(), |sent| {
            let certificates = sent.read().unwrap();
            assert_eq!(certificates.leaf(), house.agent);
            assert!(certificates.others().eq([house.issuing.as_slice()]));
            assert_eq!(sent.keyid(), Digest::of(&house.agent));
            path
        });
        head.map(|head| head.agent())
    };
    let own = house.verified().path().clone();
    assert_eq!(verify(Ok(own.clone())).unwrap(), own.agent().agent());
    let other = self::house().verified().path().clone();
    assert_eq!(verify(Ok(other)).unwrap_err().code(), "possession.key");
    assert_eq!(verify(Err(PossessionError::Full)).unwrap_err().code(), "possession.full");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_other_octet_of_a_proof_is_accepted(field in 0_usize..5, at in any::<prop::sample::Index>(), octet: u8) {
        let house = house();
        let sent = linked(&house);
        let mut changed = sent.clone();
        let value = &mut changed[field].1;
        let at = at.index(value.len());
        value[at] = octet;
        prop_assume!(changed != sent);
        let judged = presented(&changed).and_then(|found| match found {
            Some(found) => found.verify(&TARGET, &NAMES, &house.anchors(), now())?.covers(BODY),
            None => Err(PossessionError::Signature),
        });
        prop_assert!(judged.is_err());
    }
}

/// A request that was made at `created`.
fn made(house: &House, created: UnixTime, nonce: u8, at: UnixTime) -> SignedRequest {
    let sent = fields(house, &TARGET, created, [nonce; 16]);
    judge(&sent, &TARGET, BODY, &house.anchors(), at).unwrap()
}

#[test]
fn a_proof_is_taken_once_for_as_long_as_it_is_good() {
    let house = house();
    let mut nonces = Nonces::new(now().plus(-600), 100);
    let mut admit = |created: UnixTime, nonce, at| nonces.admit(made(&house, created, nonce, at), None, at);
    for step in 0_u8..60 {
        // Each second of three minutes and more, so that every place within a bucket is met.
        let at = now().plus(i64::from(step) * 7);
        let created = at.plus(10 - i64::from(step % 8) * 10);
        assert!(admit(created, step, at).is_ok(), "{step}");
        for later in [0, 1, 30, 60, 70] {
            let again = at.plus(later);
            if created.plus(60) >= again {
                let code = admit(created, step, again).unwrap_err().code();
                assert_eq!(code, "possession.replayed", "{step} after {later} s");
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_back_brings_no_proof_back() {
    let house = house();
    let mut nonces = Nonces::new(now().plus(-600), 100);
    let mut admit =
        |nonce, at| nonces.admit(made(&house, at, nonce, at), None, at).map_err(|error| error.code());
    assert!(admit(1, now()).is_ok());
    assert!(admit(2, now().plus(300)).is_ok());
    assert_eq!(admit(1, now()).unwrap_err(), "possession.created");
    assert_eq!(admit(3, now()).unwrap_err(), "possession.created");
    assert_eq!(admit(2, now().plus(300)).unwrap_err(), "possession.replayed");
}

#[test]
fn without_room_nothing_is_admitted_until_what_is_kept_is_too_old() {
    let house = house();
    let mut nonces = Nonces::new(now().plus(-600), 3);
    let mut admit =
        |nonce, at| nonces.admit(made(&house, at, nonce, at), None, at).map_err(|error| error.code());
    for nonce in 0..3 {
        assert!(admit(nonce, now()).is_ok());
    }
    assert_eq!(admit(3, now()).unwrap_err(), "possession.full");
    assert_eq!(admit(0, now()).unwrap_err(), "possession.replayed");
    assert!(admit(3, now().plus(Nonces::SECONDS)).is_ok());
    // The older bucket is full as long as it is kept, and empty again afterwards.
    assert_eq!(admit(4, now()).unwrap_err(), "possession.full");
    assert!(admit(4, now().plus(2 * Nonces::SECONDS)).is_ok());
}

#[test]
fn a_verifier_that_has_just_begun_takes_no_proof_that_may_have_been_used_before() {
    let house = house();
    let admit = |created: i64, issued: Option<i64>| {
        let mut nonces = Nonces::new(now(), 9);
        let (at, issued) = (now().plus(created.max(0)), issued.map(|at| now().plus(at)));
        nonces.admit(made(&house, now().plus(created), 1, at), issued, at)
    };
    let code = |result: Result<Possession, PossessionError>| result.err().map(|error| error.code());
    for created in [-60, 0, 10] {
        assert_eq!(code(admit(created, None)), Some("possession.starting"), "{created}");
        assert_eq!(code(admit(created, Some(-5))), Some("possession.starting"), "{created}");
        assert_eq!(code(admit(created, Some(0))), Some("possession.starting"), "{created}");
        assert_eq!(code(admit(created, Some(1))), None, "{created}");
    }
    assert_eq!(code(admit(11, None)), None);
    let Err(PossessionError::Starting { wait }) = admit(-4, None) else { panic!("it is too early") };
    assert_eq!(wait, 15);
}
