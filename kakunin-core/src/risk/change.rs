//! A change of level.

use super::feature::Evidence;
use super::level::RiskLevel;
use crate::json::ObjectWriter;
use crate::receipt::ReceiptHash;
use crate::time::UnixMillis;

/// The moment at which an agent came to another level, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, by the receipts; a receipt that claims an earlier time than what is known counts as of then.
    pub at: UnixMillis,
    /// The receipt that brought it about; none where it was no receipt: evidence from elsewhere, a release, time.
    pub receipt: Option<ReceiptHash>,
    /// The level before.
    pub from: RiskLevel,
    /// The level from now on.
    pub to: RiskLevel,
    /// From 0 to 1000.
    pub score: u16,
    /// What speaks for it, the weightiest first.
    pub evidence: Vec<Evidence>,
}

impl Change {
    /// One line of JSON in its one spelling: keys ascending, no spaces, times in milliseconds since 1970.
    #[must_use]
    pub fn line(&self) -> String {
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        object.number("at", u64::try_from(self.at.millis()).unwrap_or(0));
        object.objects("evidence", self.evidence.iter(), |object, evidence| {
            object.text("feature", evidence.feature.word());
            object.number("milli_nats", u64::from(evidence.milli_nats));
            object.text("sentence", &evidence.sentence);
        });
        object.text("from", self.from.word());
        if let Some(receipt) = &self.receipt {
            object.text("receipt", &receipt.to_string());
        }
        object.number("score", u64::from(self.score));
        object.text("to", self.to.word());
        object.close();
        // INVARIANT: sentences are printable ASCII, as is everything else.
        String::from_utf8(out).unwrap_or_default()
    }

    /// The same for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let why: Vec<&str> = self.evidence.iter().map(|evidence| evidence.sentence.as_str()).collect();
        let receipt = self.receipt.map_or_else(String::new, |receipt| {
            let short: String = receipt.to_string().chars().take(12).collect();
            format!(" [{short}]")
        });
        format!("{} {} -> {}, score {}: {}{receipt}", self.at, self.from, self.to, self.score, why.join("; "))
    }
}
