//! What each code of INVALID means, in the words of docs/wire.md.

/// What is wrong where the verifier says `code`.
#[must_use]
pub fn what(code: &str) -> Option<&'static str> {
    WORDS.iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
}

/// As in the document; `scripts/codes.py` compares.
const WORDS: &[(&str, &str)] = &[
    ("bundle.digest", "a member is not what the manifest says"),
    ("bundle.form", "a member is not in its one spelling"),
    (
        "bundle.manifest",
        "the manifest is none, lists other members, or says another name or size of a log than its last checkpoint",
    ),
    ("bundle.member", "another member than a bundle has, or in another place, or too large"),
    ("bundle.receipts", "another number of receipts than the manifest says"),
    (
        "bundle.zip",
        "the file is not the one ZIP of its members: it was changed after `kakunin export`, or packed again",
    ),
    (
        "journal.archive",
        "an archived certificate, list or erasure is not what its name says, or not signed by its issuer",
    ),
    (
        "journal.disclosure",
        "a disclosure that is none, or that the next receipt does not commit to; an erased frame that holds something",
    ),
    ("journal.duplicate_receipt", "one receipt twice, one after the other"),
    ("journal.duplicate_sequence", "two receipts of one number"),
    ("journal.duplicate_stream", "one stream twice, in two journals"),
    ("journal.frame", "unreadable bytes in front of readable ones, or in a segment that is not the last"),
    ("journal.merged", "a stream of another agent, or of an agent of the same id under another root"),
    ("journal.segment", "a segment is missing, or is another's"),
    ("journal.signature", "a signature for no receipt"),
    ("log.checkpoint", "a checkpoint that the given key did not sign"),
    ("log.consistency", "a checkpoint that does not continue the one before; one log twice in a bundle"),
    (
        "log.equivocation",
        "the log holds another receipt of this stream and number, or one behind its end, signed by a key of the stream",
    ),
    ("log.fork", "one log with two pasts"),
    ("log.inclusion", "a path that does not lead from the receipt to the checkpoint"),
    (
        "receipt.caller",
        "the certificate of the agent that asked a gateway is not here, is of another issuing CA than the gateway's, leads to no root of the gateway, or is another agent's",
    ),
    (
        "receipt.certificate",
        "no path from the signing certificate to a given root, or another certificate without announcement",
    ),
    ("receipt.chain", "a gap in the counter of a chain"),
    ("receipt.close", "totals that do not agree, or none without a recovery"),
    (
        "receipt.feed",
        "an allow by a list that asks for the feed, without what the feed said; a feed that the list does not ask for, that goes back, or does not lead back to the list",
    ),
    (
        "receipt.list",
        "the list is not archived, not signed by the agent's issuer, not as described, or missing from an allow",
    ),
    ("receipt.list_number", "an older list than the receipt before"),
    ("receipt.list_stale", "an allow outside the interval of its list"),
    ("receipt.malformed", "no receipt of this version in its one spelling"),
    ("receipt.outcome", "an outcome of no open decision of this stream"),
    (
        "receipt.phase",
        "a stream that begins otherwise than with `open`, or goes on after `close` otherwise than by recovery",
    ),
    (
        "receipt.previous",
        "the previous hash is another, or the first receipt does not name certificate and nonce",
    ),
    ("receipt.recovered", "the number or digest of unsigned receipts does not agree"),
    ("receipt.seal", "a seal over other receipts than those before it"),
    ("receipt.replay", "decided again, it comes out otherwise"),
    (
        "receipt.revoked",
        "an allow that is proven to be later than the revocation of its certificate or of its issuer",
    ),
    ("receipt.sequence", "a number is missing"),
    ("receipt.signature", "the signature does not match"),
    ("receipt.standing", "an allow by a list on which the agent is held or revoked"),
    ("receipt.stream", "a receipt of another stream"),
    ("receipt.subject", "another agent than the certificate's"),
    ("receipt.validity", "an allow outside the validity of its certificate"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_words_and_anything_else_has_none() {
        assert_eq!(what("receipt.signature"), Some("the signature does not match"));
        assert_eq!(what("receipt"), None);
    }
}
