//! Who calls, at a gateway that has seen the caller's chain before, beside the signature check and the digest of the body that
//! it cannot do without. Receipts are signed by a thread of their own, whose time is measured elsewhere.

use std::cell::RefCell;
use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::possession::Target;
use kakunin_core::request::ActionRequest;
use kakunin_gateway::{Caller, Gateway, GatewayOptions, Head, MemoryNonces, Refused};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use crate::agent::BenchAgent;
use crate::harness::{Subject, interleave};
use crate::{Outcome, table};

/// The fields of one request, which is sent once.
type Signed = Vec<(String, String)>;

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let guard = Guard::in_memory(agent.source()?, GuardOptions::default())?;
    // A gateway that has been open for a while takes every proof.
    let nonces = Arc::new(MemoryNonces::new(agent.now.plus(-3_600), 1_000_000));
    let lists = Some(agent.home.dir().join("names"));
    let options = GatewayOptions { nonces: Some(nonces), lists, ..GatewayOptions::named([SHOP]) };
    let gateway = Gateway::open(guard.clone(), options)?;
    let body = vec![b'x'; BODY];
    let target = Target { method: "POST", authority: SHOP, path: "/orders", query: None };
    let sign = || -> Outcome<Signed> {
        let proof = guard.prove(&target, &body, None)?;
        let proof = proof.fields().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(proof.chain([("host".to_owned(), SHOP.to_owned())]).collect())
    };
    let identify = |signed: &Signed| -> Result<Caller, Box<Refused>> {
        let fields: Vec<(&str, &[u8])> =
            signed.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        gateway.identify(&Head::new("POST", "/orders").fields(&fields), &body).map_err(Box::new)
    };
    let request = ActionRequest::new("payments:send").amount("125.00", "EUR").counterparty("vendor-0001");
    let admit = |signed: &Signed| -> Result<(), Box<Refused>> {
        let pass = identify(signed)?.admit(&request).map_err(Box::new)?;
        pass.begin().map_err(|denied| Box::new(Refused::from(denied)))?.returned();
        Ok(())
    };

    let first = sign()?;
    let _known = identify(&first).map_err(|refused| refused.detail().to_owned())?;
    admit(&sign()?).map_err(|refused| refused.detail().to_owned())?;
    if identify(&first).is_ok() {
        return Err("the gateway takes a proof twice".into());
    }
    // The base of the signature is about as long as what is sent of it.
    let base = vec![b'b'; first.iter().map(|(name, value)| name.len() + value.len()).sum()];
    let signer = Signer::soft(SoftKey::from_pkcs8(&agent.pkcs8()?)?);
    let signature = signer.sign(&base)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer.public().raw().to_vec());
    if key.verify(&base, signature.as_bytes()).is_err() {
        return Err("ring does not verify our signature".into());
    }

    let requests = (0..2 * (ROUNDS + 1) * CALLS).map(|_| sign()).collect::<Outcome<Vec<_>>>()?;
    let requests = RefCell::new(requests.into_iter());
    let next = || requests.borrow_mut().next();
    let refused = RefCell::new(0_u32);
    let took = |what: Option<bool>| *refused.borrow_mut() += u32::from(what != Some(true));
    let rounds = interleave(
        ROUNDS,
        &mut [
            Subject::new(CALLS_OF_A_ROUND, || {
                (key.verify(&base, signature.as_bytes()).is_ok(), Digest::of(&body))
            }),
            Subject::new(CALLS_OF_A_ROUND, || took(next().map(|next| identify(&next).is_ok()))),
            Subject::new(CALLS_OF_A_ROUND, || took(next().map(|next| admit(&next).is_ok()))),
        ],
        || (),
    );
    if *refused.borrow() > 0 {
        return Err(format!("{} requests were refused", refused.borrow()).into());
    }
    let floor = ("a bare ring verify and a digest of the body", rounds.nanos(0));
    let row = |what: &str, subject, hold| {
        table::ratio(what, rounds.nanos(subject), floor, rounds.ratio(subject, 0), hold);
    };
    row("a signed request of 1 KiB at a gateway that knows the chain", 1, Some(1.3));
    row("… and what it asks for decided and recorded", 2, None);
    guard.close();
    Ok(())
}

const SHOP: &str = "shop.example.com";
const BODY: usize = 1_024;
const ROUNDS: usize = 201;
const CALLS: usize = 10;
const CALLS_OF_A_ROUND: u32 = 10;
