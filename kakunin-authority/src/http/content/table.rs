//! What the table of this machine knows: a pattern, and what is asked beyond it.

use super::Kind;

/// One thing that can be found.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) what: &'static str,
    pub(super) pattern: &'static str,
    pub(super) asks: Asks,
}

/// What a match has to be beside matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Nothing,
    /// ISO 7064 over an IBAN.
    Iban,
    /// Luhn's sum over the digits of a card.
    Luhn,
}

const fn entry(kind: Kind, what: &'static str, pattern: &'static str, asks: Asks) -> Entry {
    Entry { kind, what, pattern, asks }
}

/// Tokens begin as their makers publish it. Sums are asked for where digits alone would be found everywhere.
pub(super) const TABLE: [Entry; 18] = [
    entry(Kind::Secret, "private-key", r"-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----", Asks::Nothing),
    entry(Kind::Secret, "aws-access-key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", Asks::Nothing),
    entry(
        Kind::Secret,
        "github-token",
        r"\b(?:gh[opsur]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40})",
        Asks::Nothing,
    ),
    entry(Kind::Secret, "slack-token", r"\bxox[abprs]-[A-Za-z0-9-]{10}", Asks::Nothing),
    entry(Kind::Secret, "payment-key", r"\b[rs]k_live_[A-Za-z0-9]{16}", Asks::Nothing),
    entry(Kind::Secret, "model-key", r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{24}", Asks::Nothing),
    entry(Kind::Secret, "google-key", r"\bAIza[A-Za-z0-9_-]{35}", Asks::Nothing),
    entry(Kind::Secret, "kakunin-key", r"\bka[kt]_(?:live|test)_[a-z2-7]{12}", Asks::Nothing),
    entry(
        Kind::Secret,
        "json-web-token",
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16}",
        Asks::Nothing,
    ),
    entry(
        Kind::Secret,
        "password",
        r#"(?i)\b(?:password|passwd|passphrase|api[_-]?key|secret[_-]?key)["']?\s{0,3}[:=]\s{0,3}["']?[^\s"',;]{8}"#,
        Asks::Nothing,
    ),
    entry(
        Kind::Personal,
        "iban",
        r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
        Asks::Iban,
    ),
    entry(Kind::Personal, "card-number", r"\b[0-9](?:[ -]?[0-9]){12,18}\b", Asks::Luhn),
    entry(
        Kind::Personal,
        "us-social-security-number",
        r"\b(?:00[1-9]|0[1-9][0-9]|[1-578][0-9]{2}|6(?:[0-57-9][0-9]|6[0-57-9]))-(?:0[1-9]|[1-9][0-9])-(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})\b",
        Asks::Nothing,
    ),
    entry(
        Kind::Personal,
        "email-address",
        r"(?i)\b[a-z0-9][a-z0-9._%+-]*@[a-z0-9][a-z0-9.-]*\.[a-z]{2,24}\b",
        Asks::Nothing,
    ),
    entry(Kind::Personal, "phone-number", r"\+[1-9][0-9](?:[ ().-]{0,2}[0-9]){6,12}\b", Asks::Nothing),
    entry(Kind::Commitment, "guarantee", r"(?i)\b(?:we|i)(?: hereby| can)? guarantee\b", Asks::Nothing),
    entry(
        Kind::Commitment,
        "promise",
        r"(?i)\b(?:(?:we|i)(?: hereby)? promise|you have (?:my|our) word|(?:we|i)(?: hereby)? (?:commit|undertake) to)\b",
        Asks::Nothing,
    ),
    entry(
        Kind::Commitment,
        "contract",
        r"(?i)\b(?:legally binding|(?:we|i)(?: hereby)? (?:accept|agree to) (?:the|your|all) (?:terms|contract|offer|liability)|on behalf of (?:the|our) company|full refund (?:is|will be))\b",
        Asks::Nothing,
    ),
];
