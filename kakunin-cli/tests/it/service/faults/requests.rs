//! Certificate requests of somebody who means no good: each is refused, or gives its key and nothing else.

use der::pem::{LineEnding, encode_string};
use der::{DecodePem, Encode};
use kakunin_core::digest::unhex;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use serde_json::{Value, json};
use x509_cert::Certificate;

use super::super::office::Office;
use super::super::web::Reply;
use crate::desk::Desk;

/// One piece of DER.
fn tlv(tag: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let content = pieces.concat();
    let mut out = vec![tag];
    let length = content.len();
    match length {
        0..=127 => out.push(u8::try_from(length).unwrap()),
        _ => {
            let octets: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
            out.push(0x80 | u8::try_from(octets.len()).unwrap());
            out.extend(octets);
        }
    }
    out.extend(content);
    out
}

fn sequence(pieces: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, pieces)
}

fn bits(octets: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], octets])
}

fn pem(label: &'static str, der: &[u8]) -> String {
    encode_string(label, LineEnding::LF, der).unwrap()
}

fn request(der: &[u8]) -> String {
    pem("CERTIFICATE REQUEST", der)
}

/// What a request is made of.
struct Parts {
    version: Vec<u8>,
    subject: Vec<u8>,
    key: Vec<u8>,
    attributes: Vec<u8>,
    algorithm: Vec<u8>,
}

impl Parts {
    fn of(signer: &Signer) -> Self {
        let algorithm = match signer.algorithm() {
            Algorithm::P256 => sequence(&[ECDSA_SHA256]),
            _ => sequence(&[ED25519]),
        };
        Self {
            version: tlv(0x02, &[&[0]]),
            subject: sequence(&[]),
            key: signer.spki().to_vec(),
            attributes: tlv(0xa0, &[]),
            algorithm,
        }
    }

    fn with(signer: &Signer, change: impl FnOnce(&mut Self)) -> Self {
        let mut parts = Self::of(signer);
        change(&mut parts);
        parts
    }

    fn info(&self) -> Vec<u8> {
        sequence(&[&self.version, &self.subject, &self.key, &self.attributes])
    }

    /// Signed as it is, by `signer`.
    fn signed(&self, signer: &Signer) -> String {
        let signature = signer.sign(&self.info()).unwrap().to_x509(signer.algorithm());
        self.with_signature(&bits(&signature))
    }

    fn with_signature(&self, signature: &[u8]) -> String {
        request(&sequence(&[&self.info(), &self.algorithm, signature]))
    }
}

fn named_curve(curve: &[u8], point: &[u8]) -> Vec<u8> {
    sequence(&[&sequence(&[EC_KEY, curve]), &bits(point)])
}

fn edwards(key: &[u8]) -> Vec<u8> {
    sequence(&[&sequence(&[ED25519]), &bits(key)])
}

fn rsa(octets: usize) -> Vec<u8> {
    let modulus = [vec![0, 0x81], vec![0xa5; octets - 2], vec![1]].concat();
    let key = sequence(&[&tlv(0x02, &[&modulus]), &tlv(0x02, &[&[1, 0, 1]])]);
    sequence(&[&sequence(&[RSA, &[5, 0]]), &bits(&key)])
}

/// Requests that prove no key that may be certified.
fn refused(signer: &Signer, edwards_signer: &Signer) -> Vec<(String, String)> {
    let parts = |change: &dyn Fn(&mut Parts)| Parts::with(signer, change).signed(signer);
    let keyed = |key: Vec<u8>| Parts::with(signer, |parts| parts.key = key).signed(signer);
    let spki = signer.spki();
    let (_, point) = spki.split_at(spki.len() - 65);
    let (x, y) = point.split_at(1).1.split_at(32);
    let formed =
        |first: u8, rest: &[&[u8]]| named_curve(P256, &[&[first], rest.concat().as_slice()].concat());
    let mut off = point.to_vec();
    *off.last_mut().unwrap() ^= 1;
    let good = Parts::of(signer);
    let signature = signer.sign(&good.info()).unwrap();
    let signature = signature.to_x509(Algorithm::P256);
    let content = [good.info(), good.algorithm.clone(), bits(&signature)].concat();
    let whole = sequence(&[&content]);
    let other = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
    let mut cases: Vec<(String, String)> = vec![
        ("a compressed point".into(), keyed(formed(2 | (y.last().unwrap() & 1), &[x]))),
        ("a hybrid point".into(), keyed(formed(6 | (y.last().unwrap() & 1), &[x, y]))),
        ("a point that is not on the curve".into(), keyed(named_curve(P256, &off))),
        ("the point at infinity".into(), keyed(named_curve(P256, &[0]))),
        ("a coordinate beyond the prime".into(), keyed(formed(4, &[&[0xff; 32], y]))),
        ("both coordinates zero".into(), keyed(formed(4, &[&[0; 64]]))),
        ("a point and an octet".into(), keyed(formed(4, &[x, y, &[0]]))),
        (
            "a key of loose bits".into(),
            keyed(sequence(&[&sequence(&[EC_KEY, P256]), &tlv(3, &[&[1], point])])),
        ),
        ("P-384".into(), keyed(named_curve(P384, &[4; 97]))),
        ("P-521".into(), keyed(named_curve(P521, &[4; 133]))),
        ("secp256k1".into(), keyed(named_curve(K256, point))),
        ("no curve".into(), keyed(sequence(&[&sequence(&[EC_KEY]), &bits(point)]))),
        ("an implicit curve".into(), keyed(sequence(&[&sequence(&[EC_KEY, &[5, 0]]), &bits(point)]))),
        ("X25519".into(), keyed(sequence(&[&sequence(&[X25519]), &bits(&[9; 32])]))),
        ("Ed448".into(), keyed(sequence(&[&sequence(&[ED448]), &bits(&[9; 57])]))),
        ("DSA".into(), keyed(sequence(&[&sequence(&[DSA, &[5, 0]]), &bits(&[2, 1, 5])]))),
        ("a key for agreement only".into(), keyed(sequence(&[&sequence(&[EC_DH, P256]), &bits(point)]))),
        (
            "Ed25519 with parameters".into(),
            keyed(sequence(&[&sequence(&[ED25519, &[5, 0]]), &bits(&[9; 32])])),
        ),
        ("31 octets of Ed25519".into(), keyed(edwards(&[9; 31]))),
        ("33 octets of Ed25519".into(), keyed(edwards(&[9; 33]))),
        ("the key of somebody else".into(), keyed(other.spki().to_vec())),
        (
            "parameters of the signature".into(),
            parts(&|parts| parts.algorithm = sequence(&[ECDSA_SHA256, &[5, 0]])),
        ),
        ("SHA-1".into(), parts(&|parts| parts.algorithm = sequence(&[ECDSA_SHA1]))),
        ("SHA-384".into(), parts(&|parts| parts.algorithm = sequence(&[ECDSA_SHA384]))),
        ("the algorithm of another key".into(), parts(&|parts| parts.algorithm = sequence(&[ED25519]))),
        ("version 2".into(), parts(&|parts| parts.version = tlv(2, &[&[1]]))),
        ("a padded version".into(), parts(&|parts| parts.version = tlv(2, &[&[0, 0]]))),
        ("no version".into(), parts(&|parts| parts.version = Vec::new())),
        ("no name".into(), parts(&|parts| parts.subject = Vec::new())),
        ("no key".into(), parts(&|parts| parts.key = Vec::new())),
        ("attributes that are none".into(), parts(&|parts| parts.attributes = tlv(0xa0, &[&[0x30, 0]]))),
        ("something behind the attributes".into(), parts(&|parts| parts.attributes.extend([5, 0]))),
        ("a signature of nothing".into(), good.with_signature(&bits(&[]))),
        ("r and s zero".into(), good.with_signature(&bits(&sequence(&[&[2, 1, 0], &[2, 1, 0]])))),
        ("r and s one".into(), good.with_signature(&bits(&sequence(&[&[2, 1, 1], &[2, 1, 1]])))),
        ("a signature that is not DER".into(), good.with_signature(&bits(&[7; 64]))),
        (
            "an octet behind the signature".into(),
            good.with_signature(&bits(&[signature.as_slice(), &[0]].concat())),
        ),
        ("loose bits".into(), good.with_signature(&tlv(3, &[&[4], signature.as_slice()]))),
        ("another type of signature".into(), good.with_signature(&tlv(4, &[signature.as_slice()]))),
        (
            "a fourth member".into(),
            request(&sequence(&[&good.info(), &good.algorithm, &bits(&signature), &[5, 0]])),
        ),
        ("only the information".into(), request(&good.info())),
        ("octets behind it".into(), request(&[whole.as_slice(), &[0]].concat())),
        ("it twice in one block".into(), request(&[whole.clone(), whole.clone()].concat())),
        ("a length of too many octets".into(), {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            request(&[&[0x30, 0x83, 0], length.as_slice(), &content].concat())
        }),
        ("an indefinite length".into(), request(&[&[0x30, 0x80], content.as_slice(), &[0, 0]].concat())),
        ("an endless length".into(), request(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff])),
        ("ten thousand sequences".into(), request(&[0x30, 0x80].repeat(5000))),
        ("a certificate".into(), pem("CERTIFICATE", &whole)),
        ("the older label".into(), pem("NEW CERTIFICATE REQUEST", &whole)),
        ("a key's label".into(), pem("PRIVATE KEY", &whole)),
        ("no armour".into(), String::from_utf8_lossy(&whole).into_owned()),
        ("blanks".into(), " \n\t\r\n".into()),
    ];
    for octets in [64, 128, 256, 512, 2048] {
        cases.push((format!("RSA of {} bits", octets * 8), keyed(rsa(octets))));
    }
    // Each point whose order divides eight, also where it is not written the usual way.
    let small: [&str; 7] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for key in small {
        let octets: [u8; 32] = unhex(key).unwrap();
        let made = Parts::with(edwards_signer, |parts| parts.key = edwards(&octets));
        // The signature that such a key makes of anything: its own point, and nothing.
        cases.push((format!("Ed25519 {key}"), made.with_signature(&bits(&[octets, [0; 32]].concat()))));
        cases.push((format!("Ed25519 {key}"), made.signed(edwards_signer)));
    }
    cases
}

/// Requests that prove their key and ask for more.
fn greedy(signer: &Signer) -> Vec<(&'static str, String)> {
    let text = |text: &str| tlv(0x0c, &[text.as_bytes()]);
    let name = |value: &[u8]| sequence(&[&tlv(0x31, &[&sequence(&[COMMON_NAME, value])])]);
    let extension = |oid: &[u8], value: &[u8]| sequence(&[oid, &[1, 1, 0xff], &tlv(4, &[value])]);
    let asked = |extensions: &[Vec<u8>]| {
        let all: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
        sequence(&[EXTENSION_REQUEST, &tlv(0x31, &[&sequence(&all)])])
    };
    let authority = extension(BASIC_CONSTRAINTS, &sequence(&[&[1, 1, 0xff]]));
    let signs = extension(KEY_USAGE, &[3, 2, 1, 6]);
    let anybody = extension(
        ALT_NAME,
        &sequence(&[
            &tlv(0x86, &[b"urn:kakunin:agent:00000000-0000-4000-8000-000000000000"]),
            &tlv(0x82, &[b"*.example.com"]),
        ]),
    );
    let any_use = extension(EXTENDED_KEY_USAGE, &sequence(&[ANY_USE]));
    // The extension with the scope, allowing whatever it may.
    let scope = extension(SCOPE, &sequence(&[&[2, 1, 1]]));
    let password = sequence(&[CHALLENGE_PASSWORD, &tlv(0x31, &[&text("let me in")])]);
    let attributes =
        |all: &[&[u8]]| Parts::with(signer, |parts| parts.attributes = tlv(0xa0, all)).signed(signer);
    let all = asked(&[authority.clone(), signs, anybody, any_use, scope]);
    vec![
        ("to be an authority with every use and scope", attributes(&[&all])),
        ("the same twice in one attribute", attributes(&[&asked(&[authority.clone(), authority.clone()])])),
        (
            "the same in two attributes",
            attributes(&[&asked(std::slice::from_ref(&authority)), &asked(&[authority])]),
        ),
        ("a password", attributes(&[&password])),
        (
            "a long name",
            Parts::with(signer, |parts| parts.subject = name(&text(&"n".repeat(8000)))).signed(signer),
        ),
        ("a name with NUL", Parts::with(signer, |parts| parts.subject = name(&text("a\0b"))).signed(signer)),
        (
            "a name of many",
            Parts::with(signer, |parts| {
                let one = tlv(0x31, &[&sequence(&[COMMON_NAME, &text("x")])]);
                parts.subject = sequence(&vec![one.as_slice(); 500]);
            })
            .signed(signer),
        ),
    ]
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or("yes").to_owned())
}

/// A certificate but for what differs between any two.
fn without_number_and_time(pem: &str) -> Vec<u8> {
    let certificate = Certificate::from_pem(pem).unwrap();
    let tbs = certificate.tbs_certificate();
    let key = tbs.subject_public_key_info();
    [tbs.issuer().to_der(), tbs.subject().to_der(), key.to_der(), tbs.extensions().cloned().to_der()]
        .map(Result::unwrap)
        .concat()
}

#[test]
fn hostile_requests_are_refused_or_give_their_key_and_nothing_else() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let named = office.post("/v1/agents", &json!({ "name": "robot", "scope": { "actions": ["read:*"] } }));
    assert_eq!(named.status, 201);
    let signer = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
    let edwards = Signer::soft(SoftKey::generate(Algorithm::Ed25519).unwrap().0);
    let routes = ["/v1/agents/robot/enrol", "/v1/agents/robot/certify"];
    let mut wrong = Vec::new();
    for (why, csr) in refused(&signer, &edwards) {
        for route in routes {
            let code = code(&office.post(route, &json!({ "csr": csr })));
            if code != (422, "csr.invalid".into()) {
                wrong.push(format!("{why}: {route} {code:?} {csr}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for route in routes {
        for (csr, expected) in [
            ("x".repeat(16_385), (400, "request.invalid")),
            ("x".repeat(1 << 20), (413, "request.too_large")),
        ] {
            let reply = office.post(route, &json!({ "csr": csr }));
            assert_eq!(code(&reply), (expected.0, expected.1.into()), "{route} {}", csr.len());
        }
    }
    let certificates =
        || office.get_as_owner("/v1/agents/robot").json().pointer("/data/certificates").cloned();
    assert_eq!(certificates(), Some(json!([])));

    let issue = |csr: &str| {
        let reply = office.post("/v1/agents/robot/enrol", &json!({ "csr": csr }));
        assert_eq!(reply.status, 201, "{} {csr}", reply.text());
        let pem = reply.json().pointer("/data/certificate_pem").and_then(Value::as_str).unwrap().to_owned();
        without_number_and_time(&pem)
    };
    let plain = issue(&Parts::of(&signer).signed(&signer));
    for (why, csr) in greedy(&signer) {
        assert!(issue(&csr) == plain, "{why}: {csr}");
    }
    issue(&Parts::of(&edwards).signed(&edwards));
}

const EC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const EC_DH: &[u8] = &[6, 5, 0x2b, 0x81, 4, 1, 12];
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 34];
const P521: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 35];
const K256: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 10];
const ECDSA_SHA1: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const ECDSA_SHA256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const X25519: &[u8] = &[6, 3, 0x2b, 0x65, 110];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 112];
const ED448: &[u8] = &[6, 3, 0x2b, 0x65, 113];
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1];
const DSA: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
const COMMON_NAME: &[u8] = &[6, 3, 0x55, 4, 3];
const EXTENSION_REQUEST: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 14];
const CHALLENGE_PASSWORD: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 7];
const BASIC_CONSTRAINTS: &[u8] = &[6, 3, 0x55, 29, 19];
const KEY_USAGE: &[u8] = &[6, 3, 0x55, 29, 15];
const ALT_NAME: &[u8] = &[6, 3, 0x55, 29, 17];
const EXTENDED_KEY_USAGE: &[u8] = &[6, 3, 0x55, 29, 37];
const ANY_USE: &[u8] = &[6, 4, 0x55, 29, 37, 0];
const SCOPE: &[u8] = &[6, 10, 0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 1, 1];
