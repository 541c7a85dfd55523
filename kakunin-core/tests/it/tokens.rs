//! Receipts as somebody may write them who hopes for a lenient reader, and the sizes at which a reader stops: each is
//! refused, whoever signed it.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_core::digest::Digest;
use kakunin_core::journal::StreamReader;
use kakunin_core::receipt::{ReceiptError, UnverifiedReceipt};
use kakunin_core::tree;
use proptest::prelude::*;

use crate::house::{House, stamp};
use crate::journal::house;

/// The three parts of a receipt of the house, and its certificate's digest.
struct Token {
    house: House,
    header: String,
    payload: String,
    signature: Vec<u8>,
    certificate: Digest,
}

impl Token {
    fn new() -> Self {
        let (house, dir) = (house(), tempfile::tempdir().unwrap());
        let journal = house.journal(dir.path());
        journal.close(stamp(1)).unwrap();
        let mut entries = StreamReader::open(dir.path(), journal.stream().unwrap()).unwrap();
        let text = entries.next().unwrap().unwrap().to_jws().unwrap();
        let parts: Vec<Vec<u8>> =
            text.split('.').map(|part| Base64UrlUnpadded::decode_vec(part).unwrap()).collect();
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
        Self {
            certificate: Digest::of(&house.agent),
            header: text(&parts[0]),
            payload: text(&parts[1]),
            signature: parts[2].clone(),
            house,
        }
    }

    /// A receipt of this header and payload, rightly signed.
    fn signed(&self, header: &str, payload: &[u8]) -> String {
        let input = input(header, payload);
        let signature = self.house.identity().signer.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", Base64UrlUnpadded::encode_string(signature.as_bytes()))
    }

    /// Reads and checks a token by the certificate and the key of the house.
    fn judge(&self, token: &str) -> Result<(), ReceiptError> {
        let (receipt, signature) = UnverifiedReceipt::from_jws(token)?;
        let identity = self.house.identity();
        receipt.verify(&self.certificate, identity.signer.public(), &signature).map(drop)
    }
}

fn input(header: &str, payload: &[u8]) -> String {
    let part = Base64UrlUnpadded::encode_string;
    format!("{}.{}", part(header.as_bytes()), part(payload))
}

#[test]
fn a_key_or_an_algorithm_that_a_token_brings_along_is_refused() {
    let token = Token::new();
    assert_eq!(token.judge(&token.signed(&token.header, token.payload.as_bytes())), Ok(()));
    let other = "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"AA\",\"y\":\"AA\"}";
    let certificate = base64ct::Base64::encode_string(&token.house.agent);
    let right = &token.header;
    let before_typ = |member: &str| right.replacen(",\"typ\"", &format!(",{member},\"typ\""), 1);
    for wrong in [
        right.replace("ES256", "none"),
        right.replace("ES256", "None"),
        right.replace("ES256", ""),
        right.replace("ES256", "HS256"),
        right.replace("ES256", "RS256"),
        right.replace("ES256", "PS256"),
        right.replace("ES256", "ES384"),
        right.replace("ES256", "ES256K"),
        right.replace("ES256", "es256"),
        right.replace("\"ES256\"", "null"),
        right.replace("\"ES256\"", "[\"ES256\"]"),
        right.replace("\"alg\":\"ES256\",", ""),
        right.replace("\"alg\":\"ES256\"", "\"alg\":\"none\",\"alg\":\"ES256\""),
        right.replace("\"alg\":\"ES256\"", "\"alg\":\"ES256\",\"alg\":\"none\""),
        right.replace("alg", "\\u0061lg"),
        right.replace("kakunin-receipt+jws", "JWT"),
        before_typ(&format!("\"jwk\":{other}")),
        before_typ("\"jku\":\"https://example.org/keys\""),
        before_typ("\"x5u\":\"https://example.org/chain\""),
        before_typ(&format!("\"x5c\":[\"{certificate}\"]")),
        before_typ("\"crit\":[\"exp\"],\"exp\":1"),
        before_typ("\"b64\":false,\"crit\":[\"b64\"]"),
        before_typ("\"kid\":\"../../etc/passwd\""),
        before_typ("\"zip\":\"DEF\""),
        before_typ("\"cty\":\"json\""),
        before_typ("\"nonce\":1"),
        format!(" {right}"),
        format!("{right} "),
        format!("\u{feff}{right}"),
        format!("{right}{right}"),
        right.replace("\"x5t#S256\"", "\"x5t\""),
        right.replace("\",\"x5t", "=\",\"x5t"),
        "{}".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        assert_ne!(wrong, *right);
        let refused = token.judge(&token.signed(&wrong, token.payload.as_bytes()));
        assert_eq!(refused, Err(ReceiptError::Header), "{wrong}");
    }
}

#[test]
fn signatures_of_other_kinds_and_lengths_are_refused() {
    let token = Token::new();
    let with = |header: &str, signature: &[u8]| {
        let input = input(header, token.payload.as_bytes());
        token.judge(&format!("{input}.{}", Base64UrlUnpadded::encode_string(signature)))
    };
    let input = input(&token.header, token.payload.as_bytes());
    assert_eq!(with(&token.header, &token.signature), Ok(()));

    // The public key as the secret of an HMAC, in each form that somebody may hold it in.
    let identity = token.house.identity();
    for secret in [identity.signer.public().raw(), identity.signer.public().spki(), &token.house.agent] {
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let named = token.header.replace("ES256", "HS256");
        for header in [&named, &token.header] {
            let input = self::input(header, token.payload.as_bytes());
            let code = ring::hmac::sign(&secret, input.as_bytes());
            assert_eq!(with(header, code.as_ref()), Err(ReceiptError::SignatureLength));
            let expected = if header == &named { ReceiptError::Header } else { ReceiptError::Signature };
            assert_eq!(with(header, &[code.as_ref(), code.as_ref()].concat()), Err(expected));
        }
    }

    let (r, s) = token.signature.split_at(32);
    let der = |part: &[u8]| [&[2, 33, 0][..], part].concat();
    for (wrong, error) in [
        (Vec::new(), ReceiptError::SignatureLength),
        (token.signature[..63].to_vec(), ReceiptError::SignatureLength),
        ([&token.signature[..], &[0]].concat(), ReceiptError::SignatureLength),
        ([&[0], &token.signature[..]].concat(), ReceiptError::SignatureLength),
        ([&[48, 70][..], &der(r), &der(s)].concat(), ReceiptError::SignatureLength),
        (vec![1; 256], ReceiptError::SignatureLength),
        (vec![0; 64], ReceiptError::Signature),
        (vec![0xff; 64], ReceiptError::Signature),
        ([&[0; 32][..], s].concat(), ReceiptError::Signature),
        ([r, &[0; 32][..]].concat(), ReceiptError::Signature),
        ([r, &ORDER[..]].concat(), ReceiptError::Signature),
        ([s, r].concat(), ReceiptError::Signature),
    ] {
        assert_eq!(with(&token.header, &wrong), Err(error), "{wrong:02x?}");
    }
    // Without a signature it is not even a token.
    assert_eq!(token.judge(&input), Err(ReceiptError::SignatureLength));
}

#[test]
fn the_second_signature_of_a_receipt_makes_no_second_receipt() {
    // Who has (r, s) has (r, n - s) too. It is the same receipt by name, and no entry of a log that has the first.
    let token = Token::new();
    let mut other = token.signature.clone();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i32::from(ORDER[at]) - i32::from(token.signature[32 + at]) - borrow;
        borrow = i32::from(difference < 0);
        other[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let input = input(&token.header, token.payload.as_bytes());
    let entry = |signature: &[u8]| format!("{input}.{}", Base64UrlUnpadded::encode_string(signature));
    let (one, two) = (entry(&token.signature), entry(&other));
    let name = |token: &str| UnverifiedReceipt::from_jws(token).unwrap().0.hash();
    assert_eq!(name(&one), name(&two));
    assert_ne!(tree::leaf_hash(one.as_bytes()), tree::leaf_hash(two.as_bytes()));
}

#[test]
fn payloads_in_another_spelling_are_refused_whoever_signed_them() {
    let token = Token::new();
    let right = &token.payload;
    let with = |from: &str, to: &str| {
        assert!(right.contains(from), "{from}");
        right.replacen(from, to, 1).into_bytes()
    };
    let sequence = "\"seq\":0";
    for wrong in [
        with("\"ph\"", "\"ph\":\"open\",\"ph\""),
        with("\"ph\":\"open\"", "\"ph\":\"open\",\"ph\":\"close\""),
        with("\"v\":1", "\"v\":1,\"w\":1"),
        with("\"v\":1", "\"v\":2"),
        with(sequence, "\"seq\":-0"),
        with(sequence, "\"seq\":0.0"),
        with(sequence, "\"seq\":0e0"),
        with(sequence, "\"seq\":00"),
        with(sequence, "\"seq\":NaN"),
        with(sequence, "\"seq\":Infinity"),
        with(sequence, "\"seq\":9007199254740992"),
        with(sequence, "\"seq\":18446744073709551616"),
        with(sequence, "\"seq\":\"0\""),
        with(sequence, "\"seq\":null"),
        with(sequence, "\"seq\":false"),
        with("{", "{ "),
        with("\"open\"", "\"\\u006fpen\""),
        with("\"open\"", "\"op\u{e9}n\""),
        with("\"open\"", "\"op\u{0}en\""),
        with("\"open\"", "\"op\u{202e}en\""),
        with("\"open\"", "\"\\ud800\""),
        format!("{right}\n").into_bytes(),
        format!("{right}\0").into_bytes(),
        format!("{right}{right}").into_bytes(),
        format!("\u{feff}{right}").into_bytes(),
        [right.as_bytes(), b"\xff\xfe"].concat(),
        right.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Vec::new(),
    ] {
        let text = String::from_utf8_lossy(&wrong).into_owned();
        let refused = token.judge(&token.signed(&token.header, &wrong)).unwrap_err();
        assert!(matches!(refused, ReceiptError::Payload(_)), "{text}: {refused}");
    }
}

#[test]
fn long_deep_and_wide_payloads_are_refused_in_bounded_time() {
    let token = Token::new();
    let right = &token.payload;
    // Members of an opening, longer by as much as is missing to each size.
    let sized = |size: usize| {
        let filled = right.replacen("\"ts\"", "\"tp\":\"\",\"ts\"", 1);
        let filler = "x".repeat(size - filled.len());
        filled.replacen("\"tp\":\"\"", &format!("\"tp\":\"{filler}\""), 1).into_bytes()
    };
    for (size, fits) in [
        (60_000, true),
        (65_535, true),
        (65_536, false),
        (65_600, false),
        (65_700, false),
        (1_000_000, false),
    ] {
        let payload = sized(size);
        assert_eq!(payload.len(), size);
        let expected = if fits { Ok(()) } else { Err(ReceiptError::TooLong) };
        assert_eq!(token.judge(&token.signed(&token.header, &payload)), expected, "{size}");
    }
    for depth in [4, 100, 30_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let payload = right.replacen("\"v\":1", &format!("\"tp\":{deep},\"v\":1"), 1);
        assert!(token.judge(&token.signed(&token.header, payload.as_bytes())).is_err(), "{depth}");
        let deep = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(token.judge(&token.signed(&token.header, deep.as_bytes())).is_err(), "{depth}");
    }
    let parent = format!("\"{}\"", Digest::of(b"p").to_base64url());
    for (parents, fits) in [(8, true), (9, false), (1000, false), (100_000, false)] {
        let list = vec![parent.as_str(); parents].join(",");
        let payload = right.replacen("\"ph\"", &format!("\"par\":[{list}],\"ph\""), 1);
        let refused = token.judge(&token.signed(&token.header, payload.as_bytes()));
        assert_eq!(refused.is_ok(), fits, "{parents}: {refused:?}");
    }
    // Millions of them, of which nothing is looked at.
    let signature = Base64UrlUnpadded::encode_string(&token.signature);
    let endless =
        format!("{}.{}.{signature}", input(&token.header, b""), "IngiLCJ4IiwieCIs".repeat(1_000_000));
    assert_eq!(token.judge(&endless), Err(ReceiptError::TooLong));
}

#[test]
fn no_token_with_an_octet_changed_lost_or_doubled_is_taken() {
    let token = Token::new();
    let right = token.signed(&token.header, token.payload.as_bytes());
    assert_eq!(token.judge(&right), Ok(()));
    for at in 0..right.len() {
        for bit in 0..7 {
            let mut octets = right.clone().into_bytes();
            octets[at] ^= 1 << bit;
            let wrong = String::from_utf8(octets).unwrap();
            assert!(token.judge(&wrong).is_err(), "octet {at}, bit {bit}");
        }
        let mut lost = right.clone();
        let octet = lost.remove(at);
        assert!(token.judge(&lost).is_err(), "without octet {at}");
        let mut doubled = right.clone();
        doubled.insert(at, octet);
        assert!(token.judge(&doubled).is_err(), "octet {at} twice");
        assert!(token.judge(&right[..at]).is_err() && token.judge(&right[at + 1..]).is_err(), "cut at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What is read at all is in the one spelling, so another payload than the true one is read only as itself.
    #[test]
    fn payloads_with_pieces_exchanged_are_refused_or_are_what_they_say(
        from in 0_usize..400, length in 0_usize..60, piece in "[ -~]{0,40}|\\PC{0,8}|(\\{|\\[|\"){0,200}",
    ) {
        let token = TOKEN.with(Clone::clone);
        let mut payload = token.payload.clone().into_bytes();
        let from = from.min(payload.len());
        let to = (from + length).min(payload.len());
        payload.splice(from..to, piece.bytes());
        let text = token.signed(&token.header, &payload);
        if let Ok((receipt, _)) = UnverifiedReceipt::from_jws(&text) {
            // Whoever has the key may sign anything that is a receipt; serde reads the same from it.
            let read: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            let again = read.to_string();
            prop_assert_eq!(again.as_bytes(), &payload[..]);
            prop_assert_eq!(receipt.signing_input(), text.rsplit_once('.').unwrap().0.as_bytes());
        }
    }
}

thread_local! {
    static TOKEN: std::rc::Rc<Token> = std::rc::Rc::new(Token::new());
}

/// The order of the group of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
