//! The laws, each beside the decoder or theorem that it is about.

mod audit;
mod bundle;
mod certificate;
mod enrolment;
mod feed;
mod gate;
mod gateway;
mod headers;
mod journal;
mod leash;
mod list;
mod log;
mod possession;
mod receipt;
mod risk;
mod scope;
mod words;

use crate::{Law, seeds};

pub(crate) use bundle::members;
pub(crate) use log::{files, leaves};

/// In the order of the floors of the core.
pub(crate) const ALL: &[Law] = &[
    law("words", words::holds, seeds::words, 20_000, Some(64)),
    law("scope", scope::der, seeds::scopes, 10_000, Some(256)),
    law("scope_document", scope::document, seeds::documents, 3_000, Some(512)),
    law("names", scope::names, seeds::names, 5_000, Some(256)),
    law("list", list::holds, seeds::lists, 10_000, Some(32)),
    law("list_signed", list::signed, seeds::signed_lists, 3_000, None),
    law("certificate", certificate::holds, seeds::certificates, 10_000, None),
    law("path", certificate::path, seeds::certified, 1_500, None),
    law("enrolment", enrolment::holds, seeds::requests, 1_000, None),
    law("feed_item", feed::holds, seeds::items, 5_000, None),
    law("leash", leash::answers, seeds::chances, 150, None),
    law("nesting", leash::nests, seeds::chances, 150, None),
    law("receipt", receipt::token, seeds::tokens, 10_000, Some(64)),
    law("payload", receipt::payload, seeds::payloads, 10_000, None),
    law("disclosure", receipt::disclosure, seeds::disclosures, 10_000, Some(256)),
    law("upload", receipt::upload, seeds::uploads, 2_000, None),
    law("chain", headers::chain, seeds::chains, 10_000, None),
    law("proven_names", headers::names, seeds::proven_names, 5_000, Some(64)),
    law("possession", possession::holds, seeds::requests_signed, 2_000, None),
    law("risk_policy", risk::policy, risk::policies, 5_000, Some(1024)),
    law("baseline", risk::baseline, risk::baselines, 200, None),
    law("monitor", risk::monitor, risk::states, 200, None),
    law("segment", journal::segment, seeds::segments, 2_000, None),
    law("journal", journal::verified, seeds::segments, 150, None),
    law("note", log::note, seeds::notes, 10_000, Some(64)),
    law("log_proof", log::proof, seeds::log_proofs, 10_000, Some(64)),
    law("tiles", log::tiles, seeds::tiles, 1_000, None),
    law("verifier_key", log::key, seeds::keys, 10_000, Some(256)),
    law("bundle", bundle::octets, seeds::bundles, 500, None),
    law("bundle_pieces", bundle::pieces, seeds::edits, 150, None),
    law("gate_policy", gate::policy, gate::policies, 3_000, None),
    law("suggestion", gate::suggestion, gate::weeks, 100, None),
    law("head", gateway::head, seeds::heads, 1_500, None),
    law("body", gateway::body, seeds::bodies, 10_000, Some(512)),
    law("content", gateway::content, seeds::contents, 10_000, None),
    law("audit_export", audit::export, audit::exports, 3_000, None),
];

const fn law(
    name: &'static str,
    holds: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    rounds: u32,
    memory: Option<usize>,
) -> Law {
    Law { name, holds, seeds, rounds, memory }
}
