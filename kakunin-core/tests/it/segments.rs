//! A segment of a journal taken apart, changed, and put together again as somebody does it who knows the format.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_core::digest::Digest;
use serde_json::Value;

use crate::house::House;
use crate::journal::{RECEIPT, SIGNATURE, frame, frames};

/// A segment as what it holds: its header, and each receipt with the disclosures before it and its signature.
#[derive(Clone)]
pub(crate) struct Segment {
    header: Vec<u8>,
    pub(crate) units: Vec<Unit>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    disclosures: Vec<Vec<u8>>,
    pub(crate) signing_input: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Segment {
    pub(crate) fn read(path: &Path) -> Self {
        let segment = Self::read_sealed(path);
        assert!(segment.units.iter().all(|unit| unit.signature.len() == 64));
        segment
    }

    /// The same where receipts share signatures: these have none.
    pub(crate) fn read_sealed(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut all =
            frames(&bytes).into_iter().map(|(start, end, kind)| (kind, bytes[start + 9..end].to_vec()));
        let header = all.next().unwrap().1;
        let (mut units, mut waiting) = (Vec::<Unit>::new(), Vec::new());
        for (kind, content) in all {
            match kind {
                RECEIPT => units.push(Unit {
                    disclosures: std::mem::take(&mut waiting),
                    signing_input: content,
                    signature: Vec::new(),
                }),
                SIGNATURE => {
                    let sequence = u64::from_le_bytes(content[..8].try_into().unwrap());
                    units[usize::try_from(sequence).unwrap()].signature = content[8..].to_vec();
                }
                3 => waiting.push(content),
                _ => {}
            }
        }
        Self { header, units }
    }

    pub(crate) fn with(&self, units: Vec<Unit>) -> Self {
        Self { header: self.header.clone(), units }
    }

    pub(crate) fn write(&self, path: &Path) {
        let body = |kind: u8, content: &[u8]| frame(&[&[kind], content].concat());
        let mut bytes = body(4, &self.header);
        for unit in &self.units {
            unit.disclosures.iter().for_each(|text| bytes.extend(body(3, text)));
            bytes.extend(body(RECEIPT, &unit.signing_input));
            if !unit.signature.is_empty() {
                let sequence = payload(unit)["seq"].as_u64().unwrap().to_le_bytes();
                bytes.extend(body(SIGNATURE, &[&sequence[..], &unit.signature].concat()));
            }
        }
        fs::write(path, bytes).unwrap();
    }

    /// The receipts with `change` made to each, signed again by `house` from the first that differs, each naming the
    /// one before: what the agent's key can do.
    pub(crate) fn signed_again(&self, house: &House, change: impl Fn(&mut Value)) -> Self {
        let signer = house.identity().signer;
        let mut units: Vec<Unit> = Vec::new();
        let mut renamed: HashMap<String, String> = HashMap::new();
        for unit in &self.units {
            let mut other = unit.forged(|says| {
                change(says);
                if let Some(before) = units.last() {
                    says["prev"] = before.name().into();
                }
                for parent in says.get_mut("par").and_then(Value::as_array_mut).into_iter().flatten() {
                    *parent = renamed[parent.as_str().unwrap()].clone().into();
                }
            });
            other.signature = match other.signing_input == unit.signing_input {
                true => unit.signature.clone(),
                false => signer.sign(&other.signing_input).unwrap().as_bytes().to_vec(),
            };
            renamed.insert(unit.name(), other.name());
            units.push(other);
        }
        self.with(units)
    }
}

impl Unit {
    /// What anybody can write who has read it: with `change` made to what it says, and nobody's signature.
    pub(crate) fn forged(&self, change: impl FnOnce(&mut Value)) -> Self {
        let text = std::str::from_utf8(&self.signing_input).unwrap();
        Self { signing_input: forged(text, change).into_bytes(), signature: Vec::new(), ..self.clone() }
    }

    /// Its name, as others give it.
    pub(crate) fn name(&self) -> String {
        Digest::of(&self.signing_input).to_base64url()
    }

    /// What a log holds for it.
    pub(crate) fn entry(&self) -> String {
        let signing_input = std::str::from_utf8(&self.signing_input).unwrap();
        format!("{signing_input}.{}", Base64UrlUnpadded::encode_string(&self.signature))
    }
}

pub(crate) fn payload(unit: &Unit) -> Value {
    says(std::str::from_utf8(&unit.signing_input).unwrap())
}

/// What a token says, signed or not.
pub(crate) fn says(token: &str) -> Value {
    let body = Base64UrlUnpadded::decode_vec(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// The signing input of a receipt like that of `token`, with `change` made to what it says.
pub(crate) fn forged(token: &str, change: impl FnOnce(&mut Value)) -> String {
    let (header, mut payload) = (token.split_once('.').unwrap().0, says(token));
    change(&mut payload);
    format!("{header}.{}", Base64UrlUnpadded::encode_string(payload.to_string().as_bytes()))
}
